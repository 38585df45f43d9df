"""The books of the embedded test provider, and the secret that it signs webhooks with."""

from __future__ import annotations

import secrets
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "provider_objects",
        _text("account_id"),
        _text("object_id"),
        _text("kind"),
        _number("created_at_us"),
        _number("due_at_us", nullable=True),
        sa.Column("body_json", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "object_id"),
    )
    op.create_index("ix_provider_objects_id", "provider_objects", ["object_id"])
    op.create_index("ix_provider_objects_created", "provider_objects", ["kind", "created_at_us"])
    due = sa.text("due_at_us IS NOT NULL")
    op.create_index(
        "ix_provider_objects_due", "provider_objects", ["due_at_us"], sqlite_where=due, postgresql_where=due
    )
    op.create_table(
        "provider_answers",
        _text("account_id"),
        _text("key"),
        _text("asked_sha256"),
        sa.Column("answer_json", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "key"),
    )
    op.create_table(
        "provider_webhooks",
        _text("account_id"),
        _text("delivery_id"),
        _number("due_at_us"),
        sa.Column("body_json", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "delivery_id"),
    )
    op.create_index("ix_provider_webhooks_due", "provider_webhooks", ["due_at_us"])
    named = sa.table("secrets", sa.column("name", sa.String()), sa.column("value", sa.String()))
    op.bulk_insert(named, [{"name": "test_provider", "value": secrets.token_hex(32)}])


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.String(), nullable=False)


def _number(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)
