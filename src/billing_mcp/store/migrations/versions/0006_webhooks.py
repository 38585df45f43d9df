"""Where accounts hear of events, and what became of telling them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add them."""
    op.create_table(
        "webhook_endpoints",
        _text("account_id"),
        _text("endpoint_id"),
        _text("url"),
        sa.Column("events_json", sa.Text(), nullable=False),
        _text("secret"),
        _text("previous_secret", nullable=True),
        _number("previous_until_us", nullable=True),
        _text("status"),
        _text("reason", nullable=True),
        _number("failing_since_us", nullable=True),
        _number("due_at_us", nullable=True),
        _text("lease", nullable=True),
        _number("created_at_us"),
        _number("changed_at_us"),
        sa.PrimaryKeyConstraint("account_id", "endpoint_id"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"]),
    )
    _index("ix_webhook_endpoints_due", "webhook_endpoints", ["due_at_us"], "due_at_us IS NOT NULL")
    op.create_table(
        "webhook_deliveries",
        _text("account_id"),
        _text("delivery_id"),
        _text("endpoint_id"),
        _text("event_id"),
        _text("event"),
        sa.Column("body", sa.Text(), nullable=False),
        _text("status"),
        _number("attempts"),
        _number("due_at_us"),
        _number("last_status", nullable=True),
        _text("last_error", nullable=True),
        sa.Column("log_json", sa.Text(), nullable=False),
        _number("created_at_us"),
        _number("ended_at_us", nullable=True),
        sa.PrimaryKeyConstraint("account_id", "delivery_id"),
    )
    waiting = ["account_id", "endpoint_id", "due_at_us"]
    _index("ix_webhook_deliveries_waiting", "webhook_deliveries", waiting, "status = 'waiting'")
    _index("ix_webhook_deliveries_ended", "webhook_deliveries", ["ended_at_us"], "ended_at_us IS NOT NULL")


def _index(name: str, table: str, columns: list[str], condition: str) -> None:
    only = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=only, postgresql_where=only)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable, autoincrement=False)
