"""Owns the schema, with the other `*_tables.py`. Every key begins with the account, or the principal; none spans two.

Moments are microseconds since 1970 (`*_us`), money is micros (`*_micros`), days are dates,
lists and objects are JSON texts (`*_json`): the same exact values on every database.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, Table, Text, UniqueConstraint, false, text
from sqlmodel import Field, SQLModel


def big(*, primary_key: bool = False, nullable: bool = False, default: str | None = None) -> Column[int]:
    """A column of 64-bit numbers."""
    return Column(BigInteger(), primary_key=primary_key, nullable=nullable, autoincrement=False, server_default=default)


def long_text(*, nullable: bool = False) -> Column[str]:
    """A column of texts of any length."""
    return Column(Text(), nullable=nullable)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def _only(status: str) -> dict[str, Any]:
    return _where(f"status = '{status}'")


_ONCE: dict[str, Any] = {
    f"{dialect}_where": text("status = 'waiting' AND only_once IS NOT NULL") for dialect in ("sqlite", "postgresql")
}


class AccountRow(SQLModel, table=True):
    """A customer account."""

    __tablename__ = "accounts"
    __table_args__ = (
        Index("ix_accounts_created", "created_at_us", "account_id"),
        Index("ix_accounts_dunning", "dunning_due_us", "account_id", **_where("dunning_due_us IS NOT NULL")),
    )
    account_id: str = Field(primary_key=True)
    name: str
    status: str
    currency: str
    created_at_us: int = Field(sa_column=big())
    country: str | None
    vat_id: str | None
    tax_exempt: bool = Field(sa_column_kwargs={"server_default": false()})
    status_since_us: int | None = Field(sa_column=big(nullable=True))
    dunning_due_us: int | None = Field(sa_column=big(nullable=True))
    """When the next step of dunning is due; null while nothing is owed, and after the last one."""
    reminders: int = Field(sa_column=big(default="0"))
    """How many were sent since it owes."""
    details_json: str | None = Field(sa_column=long_text(nullable=True))
    """Who invoices are addressed to, and in which language."""


class WalletRow(SQLModel, table=True):
    """Running balances of an account, the end of its chain of ledger transactions, and when somebody wants to hear."""

    __tablename__ = "wallets"
    account_id: str = Field(primary_key=True, foreign_key="accounts.account_id")
    currency: str
    available_micros: int = Field(sa_column=big())
    reserved_micros: int = Field(sa_column=big())
    last_seq: int = Field(sa_column=big())
    last_txn_seq: int = Field(sa_column=big())
    head_hash: str
    watch_low_micros: int | None = Field(sa_column=big(nullable=True))
    watch_high_micros: int | None = Field(sa_column=big(nullable=True))
    """While available is below the one, or not below the other, the engine says so once; then both are null."""


class LedgerTransactionRow(SQLModel, table=True):
    """A posted transaction. Append-only: triggers refuse update and delete."""

    __tablename__ = "ledger_transactions"
    __table_args__ = (
        UniqueConstraint("account_id", "transaction_id"),
        UniqueConstraint("account_id", "txn_seq"),
        # Without seq: PostgreSQL would look through it for (account_id, seq) as long as it has no statistics.
        Index("ix_ledger_transactions_created", "account_id", "created_at_us"),
    )
    account_id: str = Field(primary_key=True, foreign_key="accounts.account_id")
    seq: int = Field(sa_column=big(primary_key=True))
    txn_seq: int | None = Field(sa_column=big(nullable=True))
    transaction_id: str
    type: str
    direction: str
    amount_micros: int = Field(sa_column=big())
    currency: str
    status: str
    description: str
    effective_at_us: int = Field(sa_column=big())
    created_at_us: int = Field(sa_column=big())
    balance_after_micros: int = Field(sa_column=big())
    available_after_micros: int = Field(sa_column=big())
    reserved_after_micros: int = Field(sa_column=big())
    line_items_json: str = Field(sa_column=long_text())
    previous_hash: str
    hash: str
    hold_id: str | None


class LedgerEntryRow(SQLModel, table=True):
    """One leg of a transaction. Append-only: triggers refuse update and delete."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        ForeignKeyConstraint(["account_id", "seq"], ["ledger_transactions.account_id", "ledger_transactions.seq"]),
        Index("ix_ledger_entries_receivable", "account_id", "seq", **_where("ledger_account = 'receivable'")),
    )
    account_id: str = Field(primary_key=True)
    seq: int = Field(sa_column=big(primary_key=True))
    line: int = Field(primary_key=True)
    ledger_account: str
    amount_micros: int = Field(sa_column=big())
    currency: str


class HoldRow(SQLModel, table=True):
    """Money that is set aside. What is not open any more never changes.

    It and PostingKeyRow have no foreign key: only the posting engine writes them, for an account that
    it has locked, and looking it up again for each row costs PostgreSQL a tenth of all postings.
    """

    __tablename__ = "holds"
    __table_args__ = (
        Index("ix_holds_open", "account_id", "hold_id", **_only("open")),
        Index("ix_holds_due", "expires_at_us", "account_id", "hold_id", **_only("open")),
        {"sqlite_with_rowid": False},
    )
    account_id: str = Field(primary_key=True)
    hold_id: str = Field(primary_key=True)
    reference: str
    amount_micros: int = Field(sa_column=big())
    captured_micros: int = Field(sa_column=big())
    released_micros: int = Field(sa_column=big())
    status: str
    expires_at_us: int = Field(sa_column=big())
    created_at_us: int = Field(sa_column=big())
    closed_at_us: int | None = Field(sa_column=big(nullable=True))


class PostingKeyRow(SQLModel, table=True):
    """What was answered under an idempotency key. Written in the transaction of what it answers."""

    __tablename__ = "posting_keys"
    __table_args__ = ({"sqlite_with_rowid": False},)
    account_id: str = Field(primary_key=True)
    key_hash: str = Field(primary_key=True)
    request_hash: str
    receipt_json: str = Field(sa_column=long_text())
    created_at_us: int = Field(sa_column=big())


class SubscriptionRow(SQLModel, table=True):
    """How an account is billed: on which day periods start, and until when it is charged."""

    __tablename__ = "subscriptions"
    account_id: str = Field(primary_key=True, foreign_key="accounts.account_id")
    anchor_day: int
    settled_through: date


class SubscriptionPhaseRow(SQLModel, table=True):
    """The plan from a day on; a null plan is a canceled subscription."""

    __tablename__ = "subscription_phases"
    account_id: str = Field(primary_key=True, foreign_key="subscriptions.account_id")
    starts_on: date = Field(primary_key=True)
    plan_id: str | None
    billing_period: str = Field(sa_column_kwargs={"server_default": "monthly"})
    price_version: str | None
    """Null: the one in force on the phase's first day."""
    year_starts_on: date | None
    """The first day of the years that it is paid by; null: by the month."""
    migrates: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """Whether the platform moved it to other prices."""


class ComponentCountRow(SQLModel, table=True):
    """How many units of a component an account has from a day on."""

    __tablename__ = "component_counts"
    account_id: str = Field(primary_key=True, foreign_key="accounts.account_id")
    component_type: str = Field(primary_key=True)
    effective_on: date = Field(primary_key=True)
    quantity: int


class InvoiceRow(SQLModel, table=True):
    """What a billing period cost, or what was given back of it. Triggers refuse all but a new status and payment."""

    __tablename__ = "invoices"
    __table_args__ = (
        UniqueConstraint("account_id", "invoice_id"),
        Index("ix_invoices_number", "number"),
        Index("ix_invoices_unpaid", "account_id", "invoice_seq", **_only("past_due")),
    )
    account_id: str = Field(primary_key=True, foreign_key="accounts.account_id")
    invoice_seq: int = Field(sa_column=big(primary_key=True))
    invoice_id: str
    status: str
    currency: str
    amount_micros: int = Field(sa_column=big())
    paid_micros: int = Field(sa_column=big())
    issued_at_us: int = Field(sa_column=big())
    period_start: date
    period_end: date
    lines_json: str = Field(sa_column=long_text())
    number: str = Field(sa_column_kwargs={"server_default": ""})
    kind: str = Field(sa_column_kwargs={"server_default": "invoice"})
    corrects: str | None
    credits_micros: int = Field(sa_column=big(default="0"))
    tax_micros: int = Field(sa_column=big(default="0"))
    facts_json: str = Field(sa_column=Column(Text(), nullable=False, server_default="{}"))
    posting_seq: int | None = Field(sa_column=big(nullable=True))


class KeyRow(SQLModel, table=True):
    """An API key: only its prefix and SHA-256 are kept."""

    __tablename__ = "keys"
    key_id: str = Field(primary_key=True)
    name: str
    prefix: str = Field(unique=True)
    secret_sha256: str
    permissions_json: str = Field(sa_column=long_text())
    account_ids_json: str = Field(sa_column=long_text())
    read_only: bool
    created_at_us: int = Field(sa_column=big())
    expires_at_us: int | None = Field(sa_column=big(nullable=True))
    revoked_at_us: int | None = Field(sa_column=big(nullable=True))
    kind: str = Field(sa_column_kwargs={"server_default": "agent"})
    default_account_id: str | None


class ExecutionRow(SQLModel, table=True):
    """What a principal ran, and what was answered."""

    __tablename__ = "executions"
    principal_id: str = Field(primary_key=True)
    execution_id: str = Field(primary_key=True)
    created_at_us: int = Field(sa_column=big())
    duration_us: int = Field(sa_column=big())
    status: str
    changed: bool
    script: str = Field(sa_column=long_text())
    answer_json: str = Field(sa_column=long_text())


class IdempotencyKeyRow(SQLModel, table=True):
    """Which execution answered a key. Written in the transaction of what the execution changed."""

    __tablename__ = "idempotency_keys"
    principal_id: str = Field(primary_key=True)
    key_sha256: str = Field(primary_key=True)
    script_sha256: str
    execution_id: str
    created_at_us: int = Field(sa_column=big())


class PlatformRequestRow(SQLModel, table=True):
    """What a request of the platform was answered under an idempotency key; null while it is carried out."""

    __tablename__ = "platform_requests"
    __table_args__ = (Index("ix_platform_requests_created", "created_at_us"),)
    principal_id: str = Field(primary_key=True)
    key_sha256: str = Field(primary_key=True)
    request_sha256: str
    answer: str | None = Field(sa_column=long_text(nullable=True))
    created_at_us: int = Field(sa_column=big())
    leased_until_us: int = Field(sa_column=big())


class OutboxRow(SQLModel, table=True):
    """Work that is done after the commit that made it due: `event` says which.

    It is waiting or dead; what is done is deleted. Whoever takes it leaves a lease and makes it due when that
    ends; of those that wait, an account has one with the same `only_once`.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_due", "event", "due_at_us", **_only("waiting")),
        Index("ix_outbox_dead", "event", "ended_at_us", **_only("dead")),
        Index("ix_outbox_only_once", "account_id", "only_once", unique=True, **_ONCE),
    )
    account_id: str = Field(primary_key=True, foreign_key="accounts.account_id")
    event_id: str = Field(primary_key=True)
    event: str
    payload_json: str = Field(sa_column=long_text())
    created_at_us: int = Field(sa_column=big())
    status: str = Field(sa_column_kwargs={"server_default": "waiting"})
    due_at_us: int = Field(sa_column=big(default="0"))
    attempts: int = Field(sa_column=big(default="0"))
    lease: str | None
    only_once: str | None
    last_error: str | None
    ended_at_us: int | None = Field(sa_column=big(nullable=True))


def table(row: type[SQLModel]) -> Table:
    """The table behind a row class, for statements that bypass the identity map."""
    return SQLModel.metadata.tables[str(row.__tablename__)]
