"""Messages, what they are charged as, the tiers that they earn, and what is used of each channel, day by day."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "campaigns",
        _text("account_id"),
        _text("campaign_id"),
        _text("name"),
        _text("status"),
        _number("created_at_us"),
        _number("changed_at_us"),
        sa.PrimaryKeyConstraint("account_id", "campaign_id"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"]),
    )
    _create_messages()
    _create_thread_events()
    _create_active_users()
    _create_channel_states()
    _create_usage()
    _index_only_what_is_once()
    made = op.create_table("secrets", _text("name"), _text("value"), sa.PrimaryKeyConstraint("name"))
    op.bulk_insert(made, [{"name": "recipients", "value": secrets.token_hex(32)}])


def _index_only_what_is_once() -> None:
    # Most events have no such name: an index of nothing was written with each.
    once = sa.text("status = 'waiting' AND only_once IS NOT NULL")
    op.drop_index("ix_outbox_only_once", "outbox")
    op.create_index(
        "ix_outbox_only_once",
        "outbox",
        ["account_id", "only_once"],
        unique=True,
        sqlite_where=once,
        postgresql_where=once,
    )


def _create_messages() -> None:
    op.create_table(
        "messages",
        _text("account_id"),
        _text("message_id"),
        _text("campaign_id", nullable=True),
        _text("reference"),
        _text("channel"),
        _text("message_type"),
        _text("sender"),
        _text("market"),
        _text("thread", nullable=True),
        sa.Column("facts_json", sa.Text(), nullable=False),
        sa.Column("recipients", sa.Text(), nullable=False),
        _text("catalog_version"),
        _text("tier"),
        _text("rule_id"),
        _text("unit"),
        _number("quantity"),
        _number("unit_price_micros"),
        _number("a2p_micros", nullable=True),
        _number("p2a_micros", nullable=True),
        _text("expected"),
        _number("mau_micros"),
        _text("hold_id", nullable=True),
        _number("created_at_us"),
        _text("status"),
        sa.Column("outcomes", sa.Text(), nullable=False),
        _number("delivered_at_us", nullable=True),
        _number("segments", nullable=True),
        _text("place", nullable=True),
        _text("charged_unit", nullable=True),
        _number("charged_quantity"),
        _number("charged_micros"),
        sa.PrimaryKeyConstraint("account_id", "message_id"),
        sqlite_with_rowid=False,
    )
    only = sa.text("campaign_id IS NOT NULL")
    columns = ["account_id", "campaign_id", "message_id"]
    op.create_index("ix_messages_campaign", "messages", columns, sqlite_where=only, postgresql_where=only)


def _create_thread_events() -> None:
    op.create_table(
        "thread_events",
        _text("account_id"),
        _text("thread"),
        _number("at_us"),
        _text("event_id"),
        _number("outbound"),
        _number("open_until_us", nullable=True),
        _number("asked_at_us", nullable=True),
        _text("alone_id", nullable=True),
        _number("alone_at_us", nullable=True),
        sa.PrimaryKeyConstraint("account_id", "thread", "at_us", "event_id"),
        sqlite_with_rowid=False,
    )


def _create_active_users() -> None:
    op.create_table(
        "active_users",
        _text("account_id"),
        _number("month"),
        _text("channel"),
        _text("recipient"),
        _number("nth"),
        sa.PrimaryKeyConstraint("account_id", "month", "channel", "recipient"),
        sqlite_with_rowid=False,
    )


def _create_channel_states() -> None:
    op.create_table(
        "channel_states",
        _text("account_id"),
        _text("channel"),
        _number("month"),
        _number("volume"),
        _number("active_users"),
        _number("tier"),
        _number("earned_this_month"),
        _number("missed_months"),
        _number("commitment", nullable=True),
        _number("override", nullable=True),
        sa.PrimaryKeyConstraint("account_id", "channel"),
        sqlite_with_rowid=False,
    )


def _create_usage() -> None:
    by = ("account_id", "day", "channel", "message_type", "unit", "tier", "market")
    op.create_table(
        "usage",
        *[_text(name) for name in by],
        *[_number(name) for name in ("accepted", "delivered", "failed", "quantity", "amount_micros")],
        sa.PrimaryKeyConstraint(*by),
        sqlite_with_rowid=False,
    )


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable, autoincrement=False)
