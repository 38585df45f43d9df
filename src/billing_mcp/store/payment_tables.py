"""Owns the tables of money that comes in: methods, top-ups, reloads, alerts. The rules are those of `tables.py`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from billing_mcp.store.tables import big, long_text


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class PaymentCustomerRow(SQLModel, table=True):
    """Who an account is at a payment provider."""

    __tablename__ = "payment_customers"
    account_id: str = Field(primary_key=True, foreign_key="accounts.account_id")
    provider: str = Field(primary_key=True)
    customer: str


class PaymentMethodRow(SQLModel, table=True):
    """A way to pay. What identifies a card or a bank account beyond its last four digits is the provider's alone.

    `token` is what was given to add it by, until the provider has taken it.
    """

    __tablename__ = "payment_methods"
    __table_args__ = (Index("ix_payment_methods_setup", "provider", "setup_id", **_where("setup_id IS NOT NULL")),)
    account_id: str = Field(primary_key=True, foreign_key="accounts.account_id")
    payment_method_id: str = Field(primary_key=True)
    provider: str
    status: str
    type: str
    reference: str | None
    token: str | None
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    mandate: str | None
    failure_code: str | None
    setup_id: str | None
    setup_url: str | None = Field(sa_column=long_text(nullable=True))
    is_default: bool
    created_at_us: int = Field(sa_column=big())
    changed_at_us: int = Field(sa_column=big())


class TopUpRow(SQLModel, table=True):
    """Money that was asked of a payment method, and all that the provider has told of it.

    `check_at_us` is when the provider is asked again if it has not told by then; null when nothing is to come.
    """

    __tablename__ = "topups"
    __table_args__ = (
        Index("ix_topups_payment", "provider", "payment_id", **_where("payment_id IS NOT NULL")),
        Index("ix_topups_check", "check_at_us", "account_id", **_where("check_at_us IS NOT NULL")),
        Index("ix_topups_created", "account_id", "created_at_us"),
    )
    account_id: str = Field(primary_key=True, foreign_key="accounts.account_id")
    topup_id: str = Field(primary_key=True)
    payment_method_id: str
    provider: str
    origin: str
    currency: str
    net_micros: int = Field(sa_column=big())
    tax_micros: int = Field(sa_column=big())
    tax_rate_bp: int
    tax_treatment: str
    created_at_us: int = Field(sa_column=big())
    changed_at_us: int = Field(sa_column=big())
    status: str
    stage: str
    received_micros: int = Field(sa_column=big())
    refunded_micros: int = Field(sa_column=big())
    withdrawn_micros: int = Field(sa_column=big())
    reinstated_micros: int = Field(sa_column=big())
    failure_code: str | None
    action_url: str | None = Field(sa_column=long_text(nullable=True))
    payment_id: str | None
    answered: bool
    transaction_id: str | None
    check_at_us: int | None = Field(sa_column=big(nullable=True))


class RefundRow(SQLModel, table=True):
    """Money of a top-up that somebody asked to give back; what is asked for is nobody else's to ask for."""

    __tablename__ = "topup_refunds"
    __table_args__ = (Index("ix_topup_refunds_topup", "account_id", "topup_id"),)
    account_id: str = Field(primary_key=True, foreign_key="accounts.account_id")
    refund_id: str = Field(primary_key=True)
    topup_id: str
    amount_micros: int = Field(sa_column=big())
    status: str
    failure_code: str | None
    created_at_us: int = Field(sa_column=big())
    changed_at_us: int = Field(sa_column=big())


class AutoReloadRow(SQLModel, table=True):
    """How a wallet is topped up by itself, and what came of it."""

    __tablename__ = "auto_reloads"
    account_id: str = Field(primary_key=True, foreign_key="accounts.account_id")
    enabled: bool
    threshold_micros: int = Field(sa_column=big())
    amount_micros: int | None = Field(sa_column=big(nullable=True))
    target_micros: int | None = Field(sa_column=big(nullable=True))
    payment_method_id: str | None
    monthly_cap_micros: int | None = Field(sa_column=big(nullable=True))
    topup_id: str | None
    rests_until_us: int | None = Field(sa_column=big(nullable=True))
    paused: bool
    declines: int
    capped_on: str | None
    last_failure: str | None
    last_failed_at_us: int | None = Field(sa_column=big(nullable=True))


class AlertsRow(SQLModel, table=True):
    """The thresholds of an account, and which of them are crossed."""

    __tablename__ = "alerts"
    account_id: str = Field(primary_key=True, foreign_key="accounts.account_id")
    cooldown_s: int = Field(sa_column=big())
    thresholds_json: str = Field(sa_column=long_text())


class BalanceCheckRow(SQLModel, table=True):
    """When to look at a balance though nothing has moved."""

    __tablename__ = "balance_checks"
    __table_args__ = (Index("ix_balance_checks_due", "due_at_us", "account_id"),)
    account_id: str = Field(primary_key=True, foreign_key="accounts.account_id")
    due_at_us: int = Field(sa_column=big())
