"""Which invoice a transaction is on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from billing_mcp.domain.ledger import LedgerTransaction, Wallet, decide
from billing_mcp.exports.invoiced import Invoiced
from billing_mcp.store.invoices import Issued
from tests.store.books import ACCOUNT, charge, eur, topup

FEBRUARY = Issued("INV2026-000001", "invoice", date(2026, 2, 1), date(2026, 3, 1), 10)
MARCH = Issued("INV2026-000002", "invoice", date(2026, 3, 1), date(2026, 4, 1), None)
NOTE = Issued("INV2026-000003", "credit_note", date(2026, 2, 1), date(2026, 3, 1), 20)
MAY = Issued("INV2026-000004", "invoice", date(2026, 5, 1), date(2026, 6, 1), 30)


def _posted(seq: int, day: str, *, charged: bool = True) -> LedgerTransaction:
    moment = datetime.fromisoformat(f"2026-{day}T23:59:59").replace(tzinfo=UTC)
    wallet = Wallet(ACCOUNT, "EUR", available_micros=eur("100.00"), last_seq=seq - 1)
    return decide(wallet, charge("1.00") if charged else topup("1.00"), now=moment)[1]


@pytest.mark.parametrize(
    ("transaction", "number"),
    [
        (_posted(9, "02-28"), "INV2026-000001"),
        (_posted(10, "03-01"), "INV2026-000001"),  # posted as February was closed
        (_posted(11, "02-28"), "INV2026-000002"),  # of February, but posted after that was closed
        (_posted(12, "03-31"), "INV2026-000002"),
        (_posted(20, "04-10"), "INV2026-000003"),
        (_posted(20, "04-10", charged=False), "INV2026-000003"),
        (_posted(21, "04-10"), None),  # nothing of April was invoiced
        (_posted(22, "06-01"), None),
        (_posted(9, "02-28", charged=False), None),
        (_posted(3, "01-31"), None),
    ],
)
def test_a_transaction_is_on_the_invoice_of_its_period_or_on_the_next_when_it_came_late(
    transaction: LedgerTransaction, number: str | None
) -> None:
    assert Invoiced([FEBRUARY, MARCH, NOTE, MAY]).number_of(transaction) == number


def test_without_invoices_there_is_no_number() -> None:
    assert Invoiced([]).number_of(replace(_posted(1, "02-28"), seq=2)) is None
