"""Holds, the idempotency keys of postings, and a ledger that is read by date and grows at a steady cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SAME_ROW = {
    "ledger_transactions": ("seq = NEW.seq", "txn_seq = NEW.txn_seq", "transaction_id = NEW.transaction_id"),
    "ledger_entries": ("seq = NEW.seq AND line = NEW.line",),
}
"""Which row an insert would replace, each found by an index of its own."""


def upgrade() -> None:
    op.add_column("ledger_transactions", sa.Column("hold_id", sa.String(), nullable=True))
    op.create_index("ix_ledger_transactions_created", "ledger_transactions", ["account_id", "created_at_us", "seq"])
    _create_holds()
    _create_posting_keys()
    if op.get_bind().dialect.name == "sqlite":
        _look_for_what_would_be_replaced_by_index()


def _create_holds() -> None:
    op.create_table(
        "holds",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("hold_id", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("captured_micros", sa.BigInteger(), nullable=False),
        sa.Column("released_micros", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("expires_at_us", sa.BigInteger(), nullable=False),
        sa.Column("created_at_us", sa.BigInteger(), nullable=False),
        sa.Column("closed_at_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "hold_id"),
        sqlite_with_rowid=False,
    )
    for name, columns in (
        ("ix_holds_open", ["account_id", "hold_id"]),
        ("ix_holds_due", ["expires_at_us", "account_id", "hold_id"]),
    ):
        only = sa.text("status = 'open'")
        op.create_index(name, "holds", columns, sqlite_where=only, postgresql_where=only)


def _create_posting_keys() -> None:
    op.create_table(
        "posting_keys",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("key_hash", sa.String(), nullable=False),
        sa.Column("request_hash", sa.String(), nullable=False),
        sa.Column("receipt_json", sa.Text(), nullable=False),
        sa.Column("created_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "key_hash"),
        sqlite_with_rowid=False,
    )


def _look_for_what_would_be_replaced_by_index() -> None:
    # One EXISTS with OR walked all rows of the account for each insert.
    for table, conditions in SAME_ROW.items():
        exists = " OR ".join(
            f"EXISTS (SELECT 1 FROM {table} WHERE account_id = NEW.account_id AND {condition})"
            for condition in conditions
        )
        op.execute(f"DROP TRIGGER {table}_no_replace")
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {exists} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
