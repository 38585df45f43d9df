"""The time of a database for demos and tests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "test_clock",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("now_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
