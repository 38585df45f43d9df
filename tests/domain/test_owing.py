"""What is owed, to the micro: nobody is given money, and no debt is forgotten or invented."""

from __future__ import annotations

from dataclasses import replace

import pytest

from billing_mcp.domain.plan_terms import Plan, PlanBook
from billing_mcp.domain.plans import ADJUSTMENT, AccountStatus, cancel, change
from tests.domain.builders import MAILBOX, PROXY, account, after, book, day, eur, moment
from tests.domain.test_invoices import closed, posting_of


def test_rounding_down_lowers_the_debt_and_gives_the_wallet_nothing() -> None:
    now = moment("2026-06-12T09:30")
    broke = account(("2026-06-01", MAILBOX), available="0.00")
    ended, (settled,) = after(broke, cancel(broke, immediately=True, now=now), now)  # 10.633333, all unpaid
    use = [line for line in settled.line_items if line.source != ADJUSTMENT]

    closing = closed(ended, use, unpaid_micros=eur("10.633333"))

    assert book(posting_of(closing).entries) == {"receivable": 3333, "rounding": -3333}
    assert (closing.invoice.amount_micros, closing.invoice.paid_micros) == (eur("10.63"), 0)


def test_a_close_whose_charge_rounds_to_nothing_is_still_in_the_books() -> None:
    tiny = Plan("smtp_per_mailbox", "Tiny", "", "EUR", 4000, ())  # 0.004 a month
    of = replace(account(("2026-06-01", MAILBOX), available="1.00"), plans=PlanBook.of([tiny]))

    assert book(posting_of(closed(of)).entries) == {"revenue": 4000, "rounding": -4000}


@pytest.mark.parametrize("status", ["suspended", "closed"])
def test_a_debt_does_not_lift_an_account_out_of_a_worse_status(status: AccountStatus) -> None:
    of = account(("2026-06-01", MAILBOX), status=status)

    assert cancel(of, immediately=True, now=moment("2026-06-12")).account_status == status
    assert closed(of).account_status == status


def test_a_clock_that_steps_back_over_midnight_does_not_open_a_settled_day() -> None:
    of = account(("2026-06-01", MAILBOX), ("2026-06-13", None), settled_through="2026-06-13", available="100.00")

    outcome = change(of, PROXY, on=None, now=moment("2026-06-12T23:59"))

    assert outcome.subscription.settled_through == day("2026-06-13")


def test_an_invoice_owes_no_more_than_its_amount() -> None:
    assert closed(account(("2026-06-01", MAILBOX), available="-5.00")).invoice.paid_micros == 0


def test_less_than_a_cent_of_rounding_is_no_debt() -> None:
    ended = account(("2026-06-01", MAILBOX), ("2026-06-11", None), settled_through="2026-06-11")

    closing = closed(ended, account(("2026-06-01", MAILBOX)).accrued(day("2026-06-11")))

    assert (closing.account_status, closing.invoice.status) == ("active", "paid")


def test_the_first_plan_starts_the_billing_periods_on_its_own_first_day() -> None:
    bare = account(settled_through="2026-06-12")

    outcome = change(bare, PROXY, on=day("2026-06-20"), now=moment("2026-06-12T09:30"))

    assert outcome.subscription.anchor_day == 20
    assert outcome.subscription.settled_through == day("2026-06-20")
