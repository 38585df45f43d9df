"""Owns the ledger as CSV (RFC 4180): one row for each entry, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

from billing_mcp.domain.clock import iso
from billing_mcp.domain.ledger import LedgerTransaction
from billing_mcp.domain.money import format_micros

COLUMNS = (
    "date", "account_id", "account_name", "transaction_id", "seq", "type", "description", "ledger_account", "debit",
    "credit", "currency", "balance_after", "available_after", "reserved_after", "effective_date", "invoice_number",
    "hold_id", "created_at", "effective_at", "hash",
)  # fmt: skip

# Also what looks like them and some spreadsheets read as them. The apostrophe, so that one at the start is always ours.
_RUN_BY_SPREADSHEETS = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n']")  # noqa: RUF001 - they are meant


def header() -> str:
    """The first line."""
    return _lines([COLUMNS])


def rows(name: str, transaction: LedgerTransaction, invoice_number: str | None) -> str:
    """A row for each entry of a transaction of the account of that name, in the books of the seller.

    What adds to the customer's money is owed to them: a credit. So the ledger's positive amounts are credits on
    every ledger account, its negative ones debits.
    """
    before = (
        transaction.created_at.date().isoformat(),
        defused(transaction.account_id),
        defused(name),
        defused(transaction.transaction_id),
        str(transaction.seq),
        defused(transaction.type),
        defused(transaction.description),
    )
    after = (
        format_micros(transaction.balance_after_micros),
        format_micros(transaction.available_after_micros),
        format_micros(transaction.reserved_after_micros),
        transaction.effective_at.date().isoformat(),
        defused(invoice_number or ""),
        defused(transaction.hold_id or ""),
        iso(transaction.created_at),
        iso(transaction.effective_at),
        defused(transaction.hash),
    )
    return _lines(
        (*before, defused(entry.ledger_account), *_debit_and_credit(entry.amount_micros), entry.currency, *after)
        for entry in transaction.entries
    )


def defused(text: str) -> str:
    """A text that no spreadsheet takes for a formula: it gets an apostrophe first if it begins like one."""
    return f"'{text}" if _RUN_BY_SPREADSHEETS.match(text) else text


def _debit_and_credit(amount_micros: int) -> tuple[str, str]:
    return ("", format_micros(amount_micros)) if amount_micros >= 0 else (format_micros(-amount_micros), "")


def _lines(cells: Iterable[Iterable[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(cells)
    return text.getvalue()
