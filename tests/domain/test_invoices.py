"""An invoice is the sum of its lines, each rounded once, and what the wallet gave and what is owed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.domain.accrual import ComponentCount, total_micros
from billing_mcp.domain.clock import start_of
from billing_mcp.domain.closing import Standing, invoice_of, settle
from billing_mcp.domain.errors import Refused
from billing_mcp.domain.invoices import NO_FACTS, Invoice
from billing_mcp.domain.ledger import LedgerTransaction, LineItem, Posting, decide
from billing_mcp.domain.money import round_to_cents
from billing_mcp.domain.periods import Period, period_of
from billing_mcp.domain.plan_terms import Plan
from billing_mcp.domain.plans import ADJUSTMENT, Account, AccountStatus, Outcome, cancel, change
from billing_mcp.domain.subscriptions import Subscription
from tests.domain.builders import MAILBOX, PLANS, PROPERTY, PROXY, account, after, book, day, eur, mailboxes, moment

NOW = moment("2026-07-01T00:05")
COUNTS = (*mailboxes(("2026-06-01", 120)), ComponentCount("proxy", day("2026-06-01"), 2))


@dataclass(frozen=True)
class Closing:
    """What closing a period left."""

    invoice: Invoice
    posting: Posting | None
    subscription: Subscription
    account_status: AccountStatus


def close_period(of: Account, period: Period, charged: Sequence[LineItem], owed_micros: int) -> Closing | None:
    """The settlement of a period, posted, and its invoice."""
    settlement = settle(of, period, charged=charged, owed_micros=owed_micros, now=start_of(period.end))
    if settlement is None:
        return None
    owes = owed_micros
    if settlement.posting is not None:
        owes -= book(settlement.posting.entries).get("receivable", 0)
    standing = Standing(owes, 0, invoice_seq=4, invoice_id="inv", number="INV-2026-000004", posting_seq=9)
    invoice = invoice_of(of, period, settlement, standing, NO_FACTS, now=NOW)
    status = of.status_when_owing(invoice.unpaid_micros)
    return Closing(invoice, settlement.posting, of.subscription.settled(period.end), status)


def close_june(of: Account, charged: Sequence[LineItem] = (), *, unpaid_micros: int = 0) -> Closing | None:
    return close_period(of, Period(day("2026-06-01"), day("2026-07-01")), charged, unpaid_micros)


def closed(of: Account, charged: Sequence[LineItem] = (), *, unpaid_micros: int = 0) -> Closing:
    closing = close_june(of, charged, unpaid_micros=unpaid_micros)
    assert closing is not None
    return closing


def posting_of(closing: Closing) -> Posting:
    assert closing.posting is not None
    return closing.posting


def test_a_month_on_one_plan_is_charged_and_paid_when_it_ends() -> None:
    closing = closed(account(("2026-06-01", MAILBOX), available="100.00", counts=COUNTS))
    invoice, posting = closing.invoice, posting_of(closing)
    assert [x.amount_micros for x in invoice.lines] == [eur("29.00"), eur("42.00")]  # 120 x 0.35
    assert (invoice.amount_micros, invoice.paid_micros, invoice.status) == (eur("71.00"), eur("71.00"), "paid")
    assert (invoice.invoice_seq, invoice.invoice_id, invoice.currency, invoice.issued_at) == (4, "inv", "EUR", NOW)
    assert (invoice.period_start, invoice.period_end) == (day("2026-06-01"), day("2026-07-01"))
    assert book(posting.entries) == {"available": eur("-71.00"), "revenue": eur("71.00")}
    assert (posting.type, posting.effective_at) == ("charge", start_of(day("2026-07-01")))
    assert closing.subscription.settled_through == day("2026-07-01")
    assert closing.account_status == "active"


def test_a_change_within_the_month_is_on_its_invoice_and_the_close_charges_the_rest_in_whole_cents() -> None:
    now = moment("2026-06-12T09:30")
    before = account(("2026-06-01", MAILBOX), available="200.00", counts=COUNTS)
    changed, (settled,) = after(before, change(before, PROXY, on=None, now=now), now)
    closing = closed(changed, settled.line_items)
    assert [(x.component_type, x.amount_micros) for x in closing.invoice.lines] == [
        ("base", eur("10.633333")),  # 29.00 x 11/30, 10.63 on the invoice
        ("mailbox", eur("15.40")),  # 42.00 x 11/30
        ("base", eur("62.70")),  # 99.00 x 19/30
        ("proxy", eur("22.80")),  # 36.00 x 19/30
    ]
    assert closing.invoice.amount_micros == eur("111.53")  # 10.63 + 15.40 + 62.70 + 22.80
    assert book(posting_of(closing).entries) == {
        "available": eur("-85.496667"),  # 111.53 - 26.033333
        "revenue": eur("85.50"),
        "rounding": eur("-0.003333"),
    }
    wallet, _ = decide(changed.wallet, posting_of(closing), now=NOW)
    assert wallet.available_micros == eur("88.47")  # 200.00 - 111.53


def test_each_line_is_rounded_and_not_their_sum() -> None:
    counts = mailboxes(("2026-06-01", 2), ("2026-06-11", 5), ("2026-06-21", 8))
    closing = closed(account(("2026-06-01", MAILBOX), available="50.00", counts=counts))
    # 29.00, 0.233333, 0.583334 and 0.933333 are 30.75; in cents 29.00, 0.23, 0.58 and 0.93 are 30.74
    assert closing.invoice.amount_micros == eur("30.74")
    assert book(posting_of(closing).entries) == {
        "available": eur("-30.74"),
        "revenue": eur("30.75"),
        "rounding": eur("-0.01"),
    }
    assert total_micros(posting_of(closing).line_items) == eur("30.74")


def test_a_month_that_was_settled_before_it_ended_is_only_rounded() -> None:
    ended = account(("2026-06-01", MAILBOX), ("2026-06-11", None), available="5.00", settled_through="2026-06-11")
    was_on = account(("2026-06-01", MAILBOX))
    closing = closed(ended, was_on.accrued(day("2026-06-11")))  # 29.00 x 10/30 = 9.666667
    posting = posting_of(closing)
    assert (closing.invoice.amount_micros, closing.invoice.paid_micros) == (eur("9.67"), eur("9.67"))
    assert book(posting.entries) == {"available": eur("-0.003333"), "rounding": eur("0.003333")}
    assert posting.type == "rounding"
    assert [(x.component_type, x.source) for x in posting.line_items] == [("rounding", "adjustment")]
    assert closing.subscription.settled_through == day("2026-07-01")


def test_a_month_that_was_settled_in_whole_cents_needs_no_posting() -> None:
    ended = account(("2026-06-01", MAILBOX), ("2026-06-16", None), settled_through="2026-06-16")
    closing = closed(ended, account(("2026-06-01", MAILBOX)).accrued(day("2026-06-16")))
    assert (closing.posting, closing.invoice.amount_micros, closing.invoice.status) == (None, eur("14.50"), "paid")


def test_what_the_wallet_cannot_pay_without_its_holds_is_owed_and_the_invoice_is_past_due() -> None:
    closing = closed(account(("2026-06-01", MAILBOX), available="10.00", reserved="500.00", counts=COUNTS))
    posting, invoice = posting_of(closing), closing.invoice
    assert book(posting.entries) == {
        "available": eur("-10.00"),
        "receivable": eur("-61.00"),
        "revenue": eur("71.00"),
    }
    assert (invoice.amount_micros, invoice.paid_micros, invoice.status) == (eur("71.00"), eur("10.00"), "past_due")
    assert closing.account_status == "past_due"
    assert posting.description == "Plan charges 2026-06-01 to 2026-07-01; 61.00 EUR unpaid"
    assert total_micros(posting.line_items) == eur("10.00")
    assert ADJUSTMENT not in {x.source for x in invoice.lines}


def test_the_last_cent_pays_the_invoice() -> None:
    closing = closed(account(("2026-06-01", MAILBOX), available="71.00", counts=COUNTS))
    assert (closing.invoice.status, closing.invoice.paid_micros) == ("paid", eur("71.00"))
    assert book(posting_of(closing).entries) == {"available": eur("-71.00"), "revenue": eur("71.00")}


def test_what_a_cancel_left_owed_is_still_owed_on_the_invoice() -> None:
    now = moment("2026-06-16T09:30")
    before = account(("2026-06-01", MAILBOX), available="10.00")
    ended, (settled,) = after(before, cancel(before, immediately=True, now=now), now)  # 14.50, of it 4.50 unpaid
    use = [line for line in settled.line_items if line.source != ADJUSTMENT]
    closing = closed(ended, use, unpaid_micros=eur("4.50"))
    invoice = closing.invoice
    assert (invoice.amount_micros, invoice.paid_micros, invoice.status) == (eur("14.50"), eur("10.00"), "past_due")
    assert (closing.posting, closing.account_status) == (None, "past_due")


@pytest.mark.parametrize(
    "idle",
    [
        account(available="100.00", counts=COUNTS),
        account(("2026-05-01", MAILBOX), ("2026-06-01", None), counts=COUNTS, settled_through="2026-06-01"),
        account(("2026-07-01", MAILBOX), counts=COUNTS),
    ],
    ids=["never had a plan", "ended before", "begins after"],
)
def test_a_month_without_use_has_no_invoice(idle: Account) -> None:
    assert close_june(idle) is None


def test_a_late_close_leaves_the_next_month_to_its_own_invoice() -> None:
    late = account(("2026-06-01", MAILBOX), available="500.00", counts=COUNTS)
    closing = close_june(replace(late, counts=(*COUNTS, *mailboxes(("2026-07-02", 500)))))
    assert closing is not None
    assert closing.invoice.amount_micros == eur("71.00")
    assert closing.subscription.settled_through == day("2026-07-01")


def test_closing_does_not_open_again_days_that_a_later_change_has_settled() -> None:
    settled = account(("2026-06-01", MAILBOX), ("2026-07-03", PROXY), settled_through="2026-07-03", available="5.00")
    june = account(("2026-06-01", MAILBOX)).accrued(day("2026-07-01"))
    closing = closed(settled, june)
    assert closing.subscription == settled.subscription
    assert (closing.posting, closing.invoice.amount_micros) == (None, eur("29.00"))


@pytest.mark.parametrize("status", ["active", "past_due", "suspended"])
def test_a_month_that_is_paid_leaves_the_status_of_the_account(status: AccountStatus) -> None:
    paid = account(("2026-06-01", MAILBOX), available="100.00", status=status)
    assert closed(paid).account_status == status


DAYS = st.integers(min_value=0, max_value=31)
EVENTS = st.lists(
    st.tuples(DAYS, st.sampled_from([*PLANS.values(), None])), max_size=4, unique_by=lambda event: event[0]
)
QUANTITIES = st.lists(
    st.tuples(st.sampled_from(["mailbox", "proxy"]), DAYS, st.integers(min_value=0, max_value=400)),
    max_size=5,
    unique_by=lambda count: count[:2],
)


def lived(
    before: Account, first: date, events: list[tuple[int, Plan | None]]
) -> tuple[Account, list[LedgerTransaction]]:
    """The account after changes (and immediate cancels, where the plan is None) on days of the period."""
    posted: list[LedgerTransaction] = []
    for offset, plan in sorted(events, key=lambda event: event[0]):
        now = start_of(first + timedelta(days=offset)) + timedelta(hours=8)
        try:
            outcome: Outcome = (
                change(before, plan, on=None, now=now) if plan else cancel(before, immediately=True, now=now)
            )
            before, charged = after(before, outcome, now)
        except Refused:
            continue
        posted.extend(charged)
    return before, posted


@PROPERTY
@given(
    anchor_day=st.integers(min_value=1, max_value=31),
    month=st.dates(date(2026, 1, 1), date(2029, 1, 1)),
    available_micros=st.integers(min_value=0, max_value=400 * 10**6),
    quantities=QUANTITIES,
    first=st.sampled_from([MAILBOX, PROXY]),
    events=EVENTS,
)
def test_an_invoice_is_its_rounded_lines_and_what_the_wallet_gave_and_what_is_owed(
    anchor_day: int, month: date, available_micros: int, quantities: list[tuple[str, int, int]],
    first: Plan, events: list[tuple[int, Plan | None]],
) -> None:  # fmt: skip
    period = period_of(month, anchor_day=anchor_day)
    counts = [ComponentCount(kind, period.start + timedelta(days=n), quantity) for kind, n, quantity in quantities]
    opened = account((period.start.isoformat(), first), counts=counts, anchor_day=anchor_day)
    funded = replace(opened, wallet=replace(opened.wallet, available_micros=available_micros))
    before, posted = lived(funded, period.start, [event for event in events if event[0] < period.days])
    receivable = -sum(e.amount_micros for t in posted for e in t.entries if e.ledger_account == "receivable")
    charged = [x for t in posted for x in t.line_items if x.source != ADJUSTMENT]
    closing = close_period(before, period, charged, receivable)
    if closing is None:
        assert before.wallet == funded.wallet
        return
    wallet = before.wallet
    if closing.posting is not None:
        wallet, transaction = decide(wallet, closing.posting, now=start_of(period.end))
        posted.append(transaction)
        given_now = before.wallet.available_micros - wallet.available_micros
        assert total_micros(transaction.line_items) == given_now
    moved = {name: sum(book(t.entries).get(name, 0) for t in posted) for name in ("receivable", "revenue", "rounding")}
    invoice = closing.invoice
    assert invoice.amount_micros == 10_000 * sum(round_to_cents(line.amount_micros) for line in invoice.lines)
    assert invoice.paid_micros == available_micros - wallet.available_micros
    assert invoice.amount_micros == invoice.paid_micros - moved["receivable"]
    assert moved["revenue"] == total_micros(invoice.lines)
    assert moved["rounding"] == invoice.amount_micros - total_micros(invoice.lines)
    assert invoice.status == closing.account_status.replace("active", "paid")
    assert invoice.status == ("past_due" if moved["receivable"] else "paid")
    assert before.subscription.settled_through <= closing.subscription.settled_through == period.end
