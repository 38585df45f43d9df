"""Payment methods, top-ups, automatic reloads and alerts; and the span in which a balance moves unnoticed."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_customers_and_methods()
    _create_topups()
    _create_reloads_and_alerts()
    for name in ("watch_low_micros", "watch_high_micros"):
        op.add_column("wallets", _number(name, nullable=True))


def _create_customers_and_methods() -> None:
    _create("payment_customers", [_text("provider"), _text("customer")], key=["account_id", "provider"])
    _create(
        "payment_methods",
        [
            _text("payment_method_id"),
            _text("provider"),
            _text("status"),
            _text("type"),
            *[_text(name, nullable=True) for name in ("reference", "token", "brand", "last4")],
            sa.Column("exp_month", sa.Integer(), nullable=True),
            sa.Column("exp_year", sa.Integer(), nullable=True),
            *[_text(name, nullable=True) for name in ("mandate", "failure_code", "setup_id")],
            sa.Column("setup_url", sa.Text(), nullable=True),
            sa.Column("is_default", sa.Boolean(), nullable=False),
            _number("created_at_us"),
            _number("changed_at_us"),
        ],
        key=["account_id", "payment_method_id"],
    )
    _index("ix_payment_methods_setup", "payment_methods", ["provider", "setup_id"], only="setup_id IS NOT NULL")


def _create_topups() -> None:
    _create(
        "topups",
        [
            *[_text(name) for name in ("topup_id", "payment_method_id", "provider", "origin", "currency")],
            _number("net_micros"),
            _number("tax_micros"),
            sa.Column("tax_rate_bp", sa.Integer(), nullable=False),
            _text("tax_treatment"),
            _number("created_at_us"),
            _number("changed_at_us"),
            _text("status"),
            _text("stage"),
            *[_number(f"{name}_micros") for name in ("received", "refunded", "withdrawn", "reinstated")],
            _text("failure_code", nullable=True),
            sa.Column("action_url", sa.Text(), nullable=True),
            _text("payment_id", nullable=True),
            sa.Column("answered", sa.Boolean(), nullable=False),
            _text("transaction_id", nullable=True),
            _number("check_at_us", nullable=True),
        ],
        key=["account_id", "topup_id"],
    )
    _index("ix_topups_payment", "topups", ["provider", "payment_id"], only="payment_id IS NOT NULL")
    _index("ix_topups_check", "topups", ["check_at_us", "account_id"], only="check_at_us IS NOT NULL")
    op.create_index("ix_topups_created", "topups", ["account_id", "created_at_us"])


def _create_reloads_and_alerts() -> None:
    _create(
        "auto_reloads",
        [
            sa.Column("enabled", sa.Boolean(), nullable=False),
            _number("threshold_micros"),
            _number("amount_micros", nullable=True),
            _number("target_micros", nullable=True),
            _text("payment_method_id", nullable=True),
            _number("monthly_cap_micros", nullable=True),
            _text("topup_id", nullable=True),
            _number("rests_until_us", nullable=True),
            sa.Column("paused", sa.Boolean(), nullable=False),
            sa.Column("declines", sa.Integer(), nullable=False),
            _text("capped_on", nullable=True),
            _text("last_failure", nullable=True),
            _number("last_failed_at_us", nullable=True),
        ],
    )
    _create("alerts", [_number("cooldown_s"), sa.Column("thresholds_json", sa.Text(), nullable=False)])
    _create("balance_checks", [_number("due_at_us")])
    op.create_index("ix_balance_checks_due", "balance_checks", ["due_at_us", "account_id"])


def _create(name: str, columns: list[sa.Column[Any]], *, key: list[str] | None = None) -> None:
    of_account = sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"])
    op.create_table(name, _text("account_id"), *columns, sa.PrimaryKeyConstraint(*(key or ["account_id"])), of_account)


def _index(name: str, table: str, columns: list[str], *, only: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(only), postgresql_where=sa.text(only))


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable, autoincrement=False)
