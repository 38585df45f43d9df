"""Refunds of top-ups that were asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "topup_refunds",
        *[sa.Column(name, sa.String(), nullable=False) for name in ("account_id", "refund_id", "topup_id")],
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("failure_code", sa.String(), nullable=True),
        *[sa.Column(name, sa.BigInteger(), nullable=False) for name in ("created_at_us", "changed_at_us")],
        sa.PrimaryKeyConstraint("account_id", "refund_id"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"]),
    )
    op.create_index("ix_topup_refunds_topup", "topup_refunds", ["account_id", "topup_id"])
