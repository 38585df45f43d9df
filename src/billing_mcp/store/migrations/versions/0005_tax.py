"""Whose VAT is added to money that comes in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("country", sa.String(), nullable=True))
    op.add_column("accounts", sa.Column("vat_id", sa.String(), nullable=True))
    op.add_column("accounts", sa.Column("tax_exempt", sa.Boolean(), nullable=False, server_default=sa.false()))
