"""Platform keys, what their requests were answered, and an outbox whose work is leased and tried again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("keys", sa.Column("kind", sa.String(), nullable=False, server_default="agent"))
    op.add_column("keys", sa.Column("default_account_id", sa.String(), nullable=True))
    op.create_index("ix_accounts_created", "accounts", ["created_at_us", "account_id"])
    op.drop_index("ix_ledger_transactions_created", "ledger_transactions")
    op.create_index("ix_ledger_transactions_created", "ledger_transactions", ["account_id", "created_at_us"])
    op.create_table(
        "platform_requests",
        sa.Column("principal_id", sa.String(), nullable=False),
        sa.Column("key_sha256", sa.String(), nullable=False),
        sa.Column("request_sha256", sa.String(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("created_at_us", sa.BigInteger(), nullable=False),
        sa.Column("leased_until_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("principal_id", "key_sha256"),
    )
    op.create_index("ix_platform_requests_created", "platform_requests", ["created_at_us"])
    _lease_the_outbox()


def _lease_the_outbox() -> None:
    # Every column has a default: whoever adds an event says only what happened.
    for column in (
        sa.Column("status", sa.String(), nullable=False, server_default="waiting"),
        sa.Column("due_at_us", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("attempts", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("lease", sa.String(), nullable=True),
        sa.Column("only_once", sa.String(), nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("ended_at_us", sa.BigInteger(), nullable=True),
    ):
        op.add_column("outbox", column)
    waiting = sa.text("status = 'waiting'")
    op.drop_index("ix_outbox_created", "outbox")
    op.create_index("ix_outbox_due", "outbox", ["event", "due_at_us"], sqlite_where=waiting, postgresql_where=waiting)
    dead = sa.text("status = 'dead'")
    op.create_index("ix_outbox_dead", "outbox", ["event", "ended_at_us"], sqlite_where=dead, postgresql_where=dead)
    op.create_index(
        "ix_outbox_only_once",
        "outbox",
        ["account_id", "only_once"],
        unique=True,
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
