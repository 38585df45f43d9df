"""Owns the tables of the month: how far accounts are billed, their credits, invoice numbers, and the test clock."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from billing_mcp.store.tables import big


class BillingCycleRow(SQLModel, table=True):
    """How far an account is billed, and when something of its calendar is due next: a period's end, or an expiry."""

    __tablename__ = "billing_cycles"
    __table_args__ = (Index("ix_billing_cycles_due", "next_due_us", "account_id"),)
    account_id: str = Field(primary_key=True, foreign_key="accounts.account_id")
    closed_through: date
    """Every period before it is closed."""
    through_seq: int = Field(sa_column=big(default="0"))
    """Where the ledger ended when the last one was."""
    next_due_us: int = Field(sa_column=big(default="0"))
    credits_seq: int = Field(sa_column=big(default="0"))
    """Up to which ledger transaction it is settled what was paid by credits."""
    credits_used_micros: int = Field(sa_column=big(default="0"))
    """How much of that is on no invoice yet."""


class CreditGrantRow(SQLModel, table=True):
    """Money of the platform's own that was given to an account, and what is left of it."""

    __tablename__ = "credit_grants"
    __table_args__ = (
        Index(
            "ix_credit_grants_open",
            "account_id",
            "grant_id",
            sqlite_where=text("remaining_micros > 0"),
            postgresql_where=text("remaining_micros > 0"),
        ),
    )
    account_id: str = Field(primary_key=True, foreign_key="accounts.account_id")
    grant_id: str = Field(primary_key=True)
    """The ledger transaction that gave it."""
    reason: str
    priority: int
    amount_micros: int = Field(sa_column=big())
    remaining_micros: int = Field(sa_column=big())
    expired_micros: int = Field(sa_column=big(default="0"))
    granted_at_us: int = Field(sa_column=big())
    expires_at_us: int | None = Field(sa_column=big(nullable=True))


class InvoiceNumberRow(SQLModel, table=True):
    """The last number of a seller's invoices in a year: without gaps, so whoever issues one holds this row."""

    __tablename__ = "invoice_numbers"
    series: str = Field(primary_key=True)
    year: int = Field(primary_key=True)
    last: int = Field(sa_column=big())


class TestClockRow(SQLModel, table=True):
    """Marks a database as one for demos and tests, and holds its time.

    Without a moment it is the system's until the clock is first advanced; without a row, for good.
    """

    __tablename__ = "test_clock"
    __test__ = False
    name: str = Field(primary_key=True)
    now_us: int | None = Field(sa_column=big(nullable=True))
