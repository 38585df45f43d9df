"""How far accounts are billed, their credits, and since when one owes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_DEBTS_BEGAN = "UPDATE accounts SET status_since_us = {0}, dunning_due_us = {0} WHERE status = 'past_due'".format(
    "(SELECT coalesce(max(t.created_at_us), accounts.created_at_us) FROM ledger_transactions t "
    "WHERE t.account_id = accounts.account_id)"
)
"""Since when those that are past due owe was not kept: it is taken for what last happened to them."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def upgrade() -> None:
    for name in ("status_since_us", "dunning_due_us"):
        op.add_column("accounts", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("accounts", _number("reminders", default="0"))
    op.add_column("accounts", sa.Column("details_json", sa.Text(), nullable=True))
    op.execute(_DEBTS_BEGAN)
    _index("ix_accounts_dunning", "accounts", ["dunning_due_us", "account_id"], "dunning_due_us IS NOT NULL")
    _index("ix_ledger_entries_receivable", "ledger_entries", ["account_id", "seq"], "ledger_account = 'receivable'")
    _index("ix_channel_states_earned", "channel_states", ["month", "account_id"], "tier > 0")
    cycles = op.create_table(
        "billing_cycles",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("closed_through", sa.Date(), nullable=False),
        *[_number(name, default="0") for name in ("through_seq", "next_due_us", "credits_seq", "credits_used_micros")],
        sa.PrimaryKeyConstraint("account_id"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"]),
    )
    op.create_index("ix_billing_cycles_due", "billing_cycles", ["next_due_us", "account_id"])
    op.create_table(
        "credit_grants",
        *[sa.Column(name, sa.String(), nullable=False) for name in ("account_id", "grant_id", "reason")],
        sa.Column("priority", sa.Integer(), nullable=False),
        *[_number(name) for name in ("amount_micros", "remaining_micros")],
        _number("expired_micros", default="0"),
        _number("granted_at_us"),
        sa.Column("expires_at_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "grant_id"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"]),
    )
    _index("ix_credit_grants_open", "credit_grants", ["account_id", "grant_id"], "remaining_micros > 0")
    started = list(_started())
    if started:
        op.bulk_insert(cycles, started)


def _started() -> Iterator[dict[str, Any]]:
    """Where billing stands for each account: what was charged before its last invoice's end is on no new one."""
    billed = sa.text(
        "SELECT a.account_id, a.created_at_us, w.last_seq, "
        "(SELECT max(period_end) FROM invoices i WHERE i.account_id = a.account_id) AS ended, "
        "(SELECT min(starts_on) FROM subscription_phases p WHERE p.account_id = a.account_id) AS begun "
        "FROM accounts a JOIN wallets w ON w.account_id = a.account_id ORDER BY a.account_id"
    ).columns(ended=sa.Date(), begun=sa.Date())
    for row in op.get_bind().execute(billed):
        opened = _day_of(row.created_at_us)
        through: date = row.ended or min(row.begun or opened, opened)
        yield {
            "account_id": row.account_id,
            "closed_through": through,
            "through_seq": _last_seq_before(row.account_id, through) if row.ended else 0,
            "next_due_us": 0,
            "credits_seq": row.last_seq,
            "credits_used_micros": 0,
        }


def _last_seq_before(account_id: str, day: date) -> int:
    found = sa.text(
        "SELECT coalesce(max(seq), 0) FROM ledger_transactions "
        "WHERE account_id = :account_id AND created_at_us < :until_us"
    )
    until_us = (datetime(day.year, day.month, day.day, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
    return int(op.get_bind().execute(found, {"account_id": account_id, "until_us": until_us}).scalar_one())


def _day_of(moment_us: int) -> date:
    return (_EPOCH + timedelta(microseconds=moment_us)).date()


def _index(name: str, table: str, columns: list[str], condition: str) -> None:
    only = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=only, postgresql_where=only)


def _number(name: str, *, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, autoincrement=False, server_default=default)
