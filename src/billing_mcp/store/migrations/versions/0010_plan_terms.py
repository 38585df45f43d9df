"""By which price version, and for how long a period, an account is on a plan."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    monthly = sa.Column("billing_period", sa.String(), nullable=False, server_default="monthly")
    op.add_column("subscription_phases", monthly)
    op.add_column("subscription_phases", sa.Column("price_version", sa.String(), nullable=True))
    op.add_column("subscription_phases", sa.Column("year_starts_on", sa.Date(), nullable=True))
    op.add_column("subscription_phases", sa.Column("migrates", sa.Boolean(), nullable=False, server_default=sa.false()))
