"""Money pays the oldest invoice first, and no cent twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.domain.debts import pay, settle
from billing_mcp.domain.invoices import Invoice
from billing_mcp.domain.ledger import Wallet
from tests.domain.builders import PROPERTY, book, day, eur, moment

NOW = moment("2026-06-12")
WALLET = Wallet("account", "EUR")


def invoice(unpaid: int, paid: int = 0) -> Invoice:
    start, end = day("2026-05-01"), day("2026-06-01")
    return Invoice("account", 1, "invoice", "past_due", "EUR", unpaid + paid, paid, NOW, start, end, ())


@pytest.mark.parametrize(
    ("available", "owed", "paid"),
    [("10.00", "4.00", "4.00"), ("3.00", "4.00", "3.00"), ("4.00", "0.000001", "0.000001")],
)
def test_what_is_available_pays_what_is_owed_as_far_as_it_goes(available: str, owed: str, paid: str) -> None:
    posting = settle(replace(WALLET, available_micros=eur(available)), eur(owed), credits_micros=0, now=NOW)

    assert posting is not None
    assert book(posting.entries) == {"available": -eur(paid), "receivable": eur(paid)}
    assert sum(line.amount_micros for line in posting.line_items) == eur(paid)


@pytest.mark.parametrize(("available", "owed"), [("0.00", "4.00"), ("-1.00", "4.00"), ("4.00", "0.00")])
def test_nothing_is_posted_where_nothing_can_be_paid(available: str, owed: str) -> None:
    assert settle(replace(WALLET, available_micros=eur(available)), eur(owed), credits_micros=0, now=NOW) is None


@pytest.mark.parametrize(
    ("available", "reserved", "credit", "paid"),
    [("10.00", "0.00", "7.00", "3.00"), ("7.00", "0.00", "7.00", None), ("6.00", "2.00", "7.00", "1.00")],
)
def test_credits_of_the_seller_pay_no_debt(available: str, reserved: str, credit: str, paid: str | None) -> None:
    wallet = replace(WALLET, available_micros=eur(available), reserved_micros=eur(reserved))

    posting = settle(wallet, eur("4.00"), credits_micros=eur(credit), now=NOW)

    assert (posting and book(posting.entries)["receivable"]) == (paid and eur(paid))


def test_an_invoice_that_lacks_less_than_a_cent_is_paid() -> None:
    almost = [invoice(eur("22.496")), invoice(eur("5.00"))]

    assert [(p.status, p.paid_micros) for p in pay(almost, eur("22.49"))] == [("paid", eur("22.496"))]
    assert [(p.status, p.paid_micros) for p in pay(almost, eur("22.48"))] == [("past_due", eur("22.48"))]


@PROPERTY
@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), max_size=6), st.integers(0, 400))
def test_invoices_are_paid_one_after_the_other_and_never_more_than_there_is(
    cents: list[tuple[int, int]], money: int
) -> None:
    unpaid = [invoice(rest * 10_000, paid * 10_000) for rest, paid in cents]

    payments = pay(unpaid, money * 10_000)

    assert [each.invoice for each in payments] == unpaid[: len(payments)]
    assert all(each.status == "paid" for each in payments[:-1])
    parts = [each.paid_micros - each.invoice.paid_micros for each in payments]
    assert sum(parts) == min(money * 10_000, sum(each.unpaid_micros for each in unpaid))
    for each in payments:
        assert (each.status == "paid") == (each.paid_micros == each.invoice.amount_micros)
