"""Invoices have a number, parties and tax; and nothing of them changes but whether they are paid."""

from __future__ import annotations

import secrets
from collections import Counter
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SERIES = "INV-"
"""Of those that were issued before there were numbers."""
_POSTED = (
    "UPDATE invoices SET posting_seq = (SELECT max(t.seq) FROM ledger_transactions t "
    "WHERE t.account_id = invoices.account_id AND t.created_at_us = invoices.issued_at_us "
    "AND t.type IN ('charge', 'rounding'))"
)
"""What was posted as a period was closed: at the same moment."""
MAY_CHANGE = ("status", "paid_micros")


def upgrade() -> None:
    op.add_column("invoices", sa.Column("number", sa.String(), nullable=False, server_default=""))
    op.add_column("invoices", sa.Column("kind", sa.String(), nullable=False, server_default="invoice"))
    op.add_column("invoices", sa.Column("corrects", sa.String(), nullable=True))
    for name in ("credits_micros", "tax_micros"):
        op.add_column("invoices", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("invoices", sa.Column("facts_json", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("invoices", sa.Column("posting_seq", sa.BigInteger(), nullable=True))
    op.execute(_POSTED)
    numbers = op.create_table(
        "invoice_numbers",
        sa.Column("series", sa.String(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("series", "year"),
    )
    last = _number_what_is_there()
    if last:
        op.bulk_insert(numbers, [{"series": SERIES, "year": year, "last": n} for year, n in sorted(last.items())])
    op.create_index("ix_invoices_number", "invoices", ["number"])
    unpaid = sa.text("status = 'past_due'")
    op.create_index(
        "ix_invoices_unpaid", "invoices", ["account_id", "invoice_seq"], sqlite_where=unpaid, postgresql_where=unpaid
    )
    _refuse_changes()
    kept = sa.table("secrets", sa.column("name", sa.String()), sa.column("value", sa.String()))
    op.bulk_insert(kept, [{"name": "documents", "value": secrets.token_hex(32)}])


def _number_what_is_there() -> Counter[int]:
    """In the order in which they were issued, each year for itself."""
    connection = op.get_bind()
    last: Counter[int] = Counter()
    issued = sa.text(
        "SELECT account_id, invoice_seq, issued_at_us FROM invoices ORDER BY issued_at_us, account_id, invoice_seq"
    )
    for row in connection.execute(issued).all():
        year = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row.issued_at_us)).year
        last[year] += 1
        connection.execute(
            sa.text("UPDATE invoices SET number = :number WHERE account_id = :account_id AND invoice_seq = :seq"),
            {"number": f"{SERIES}{year}-{last[year]:06d}", "account_id": row.account_id, "seq": row.invoice_seq},
        )
    return last


def _refuse_changes() -> None:
    says = "an issued invoice does not change"
    if op.get_bind().dialect.name == "sqlite":
        columns = [each["name"] for each in sa.inspect(op.get_bind()).get_columns("invoices")]
        fixed = ", ".join(name for name in columns if name not in MAY_CHANGE)
        same_row = (
            "SELECT 1 FROM invoices WHERE account_id = NEW.account_id "
            "AND (invoice_seq = NEW.invoice_seq OR invoice_id = NEW.invoice_id)"
        )
        for name, when in (
            ("update", f"BEFORE UPDATE OF {fixed} ON invoices"),
            ("delete", "BEFORE DELETE ON invoices"),
            ("replace", f"BEFORE INSERT ON invoices WHEN EXISTS ({same_row})"),
        ):
            op.execute(f"CREATE TRIGGER invoices_no_{name} {when} BEGIN SELECT RAISE(ABORT, '{says}'); END")
        return
    kept = " - ".join(["to_jsonb({0})", *(f"'{name}'" for name in MAY_CHANGE)])
    op.execute(
        "CREATE FUNCTION refuse_change_of_invoice() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF TG_OP = 'UPDATE' THEN IF {kept.format('OLD')} = {kept.format('NEW')} "
        f"THEN RETURN NEW; END IF; END IF; RAISE EXCEPTION '{says}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER invoices_fixed BEFORE UPDATE OR DELETE ON invoices "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change_of_invoice()"
    )
    op.execute(
        "CREATE TRIGGER invoices_kept BEFORE TRUNCATE ON invoices "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_invoice()"
    )
