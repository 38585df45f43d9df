"""What a change, cancel or resume settles, schedules and refuses; on a plan of 29.00 and 0.35 a mailbox."""

from __future__ import annotations

from dataclasses import replace

import pytest

from billing_mcp.domain.accrual import total_micros
from billing_mcp.domain.errors import BillingError, InsufficientFunds, InvalidArgument, Refused
from billing_mcp.domain.plan_terms import Plan
from billing_mcp.domain.plans import (
    Account,
    AccountStatus,
    PlanStatus,
    cancel,
    change,
    charge,
    plan_status,
    resume,
)
from billing_mcp.domain.subscriptions import Phase
from tests.domain.builders import MAILBOX, PROXY, account, after, book, day, eur, mailboxes, moment

NOW = moment("2026-06-12T09:30")
TODAY = day("2026-06-12")
COUNTS = mailboxes(("2026-06-01", 120))
# 11 of 30 days: 29.00 x 11/30 = 10.633333, and 120 x 0.35 x 11/30 = 15.40
ACCRUED = eur("26.033333")


def northwind(available: str = "100.00", *, reserved: str = "0.00", status: AccountStatus = "active") -> Account:
    return account(("2026-06-01", MAILBOX), available=available, reserved=reserved, counts=COUNTS, status=status)


def phases(of: Account) -> list[tuple[str, str | None]]:
    return [(phase.starts_on.isoformat(), phase.plan_id) for phase in of.subscription.phases]


def code_of(refused: pytest.ExceptionInfo[BillingError]) -> str:
    return refused.value.code


def test_a_change_now_charges_what_has_accrued_and_then_switches() -> None:
    outcome = change(northwind(), PROXY, on=None, now=NOW)
    changed, (charged,) = after(northwind(), outcome, NOW)
    assert book(charged.entries) == {"available": -ACCRUED, "revenue": ACCRUED}
    assert (charged.type, charged.direction, charged.effective_at) == ("charge", "debit", NOW)
    assert charged.description == "Plan charges 2026-06-01 to 2026-06-12"
    assert [x.amount_micros for x in charged.line_items] == [eur("10.633333"), eur("15.40")]
    assert changed.wallet.available_micros == eur("73.966667")
    assert phases(changed) == [("2026-06-01", "smtp_per_mailbox"), ("2026-06-12", "smtp_per_proxy")]
    assert changed.subscription.settled_through == TODAY
    assert (outcome.previous_plan_id, outcome.target_plan_id) == ("smtp_per_mailbox", "smtp_per_proxy")
    assert (outcome.scheduled, outcome.effective_at, outcome.account_status) == (False, NOW, "active")


def test_the_day_of_a_change_belongs_to_the_new_plan() -> None:
    changed, _ = after(northwind(), change(northwind(), PROXY, on=None, now=NOW), NOW)
    (line,) = changed.accrued(day("2026-06-13"))
    assert (line.period_start, line.period_end, line.amount_micros) == (
        "2026-06-12",
        "2026-06-13",
        eur("3.30"),
    )  # 99/30
    assert changed.accrued(TODAY) == ()


def test_a_change_dated_today_is_a_change_now() -> None:
    assert change(northwind(), PROXY, on=TODAY, now=NOW) == change(northwind(), PROXY, on=None, now=NOW)


def test_two_changes_on_one_day_charge_once_and_leave_the_last_plan() -> None:
    once, _ = after(northwind(), change(northwind(), PROXY, on=None, now=NOW), NOW)
    twice, posted = after(once, change(once, MAILBOX, on=None, now=NOW), NOW)
    assert posted == ()
    assert phases(twice) == [("2026-06-01", "smtp_per_mailbox"), ("2026-06-12", "smtp_per_mailbox")]


def test_the_first_plan_costs_nothing_on_its_day() -> None:
    outcome = change(account(), MAILBOX, on=None, now=NOW)
    assert (outcome.postings, outcome.previous_plan_id) == ((), None)
    assert outcome.subscription.phases == (Phase(TODAY, "smtp_per_mailbox", price_version="1"),)
    assert outcome.subscription.settled_through == TODAY


def test_days_without_a_plan_are_not_charged_when_one_begins_again() -> None:
    gone = account(("2026-06-01", MAILBOX), ("2026-06-04", None), counts=COUNTS, settled_through="2026-06-04")
    back = change(gone, MAILBOX, on=None, now=NOW)
    assert back.postings == ()
    assert back.subscription.settled_through == TODAY


def test_a_change_for_a_later_day_charges_nothing_until_that_day() -> None:
    outcome = change(northwind("0.00"), PROXY, on=day("2026-06-21"), now=NOW)
    waiting, posted = after(northwind("0.00"), outcome, NOW)
    assert (posted, outcome.scheduled, outcome.effective_at) == ((), True, moment("2026-06-21"))
    assert waiting.subscription.settled_through == day("2026-06-01")
    assert waiting.subscription.plan_on(day("2026-06-20")) == "smtp_per_mailbox"
    assert waiting.subscription.plan_on(day("2026-06-21")) == "smtp_per_proxy"
    assert waiting.subscription.pending_after(TODAY) == Phase(day("2026-06-21"), "smtp_per_proxy", price_version="1")
    assert waiting.subscription.pending_after(day("2026-06-21")) is None


def test_a_pending_change_whose_day_has_come_is_settled_at_both_prices() -> None:
    pending = account(("2026-06-01", MAILBOX), ("2026-06-16", PROXY), available="100.00", counts=COUNTS)
    _, (charged,) = after(pending, change(pending, MAILBOX, on=None, now=moment("2026-06-21")), NOW)
    assert [(x.component_type, x.period_start, x.period_end, x.amount_micros) for x in charged.line_items] == [
        ("base", "2026-06-01", "2026-06-16", eur("14.50")),  # 29.00 x 15/30
        ("mailbox", "2026-06-01", "2026-06-16", eur("21.00")),  # 42.00 x 15/30
        ("base", "2026-06-16", "2026-06-21", eur("16.50")),  # 99.00 x 5/30
    ]


@pytest.mark.parametrize("pending", [PROXY, None], ids=["change", "cancel"])
def test_a_new_change_replaces_what_was_pending(pending: Plan | None) -> None:
    waiting = account(("2026-06-01", MAILBOX), ("2026-06-16", pending), available="100.00")
    later, _ = after(waiting, change(waiting, PROXY, on=day("2026-06-25"), now=NOW), NOW)
    at_once, _ = after(waiting, change(waiting, PROXY, on=None, now=NOW), NOW)
    assert phases(later) == [("2026-06-01", "smtp_per_mailbox"), ("2026-06-25", "smtp_per_proxy")]
    assert phases(at_once) == [("2026-06-01", "smtp_per_mailbox"), ("2026-06-12", "smtp_per_proxy")]


def test_a_change_that_the_wallet_cannot_pay_is_refused_and_says_what_is_missing() -> None:
    poor = northwind("20.00")
    with pytest.raises(InsufficientFunds) as refused:
        after(poor, change(poor, PROXY, on=None, now=NOW), NOW)
    assert code_of(refused) == "insufficient_funds"
    assert refused.value.hint == "Top up at least 6.033333 EUR first."


def test_a_change_cannot_be_dated_before_today() -> None:
    with pytest.raises(InvalidArgument) as refused:
        change(northwind(), PROXY, on=day("2026-06-11"), now=NOW)
    assert (code_of(refused), refused.value.field) == ("effective_date_in_past", "effective_date")


@pytest.mark.parametrize(("pending", "hinted"), [((), False), ((("2026-06-16", PROXY),), True)])
def test_a_change_to_the_same_plan_is_refused(pending: tuple[tuple[str, Plan]], hinted: bool) -> None:
    with pytest.raises(Refused) as refused:
        change(account(("2026-06-01", MAILBOX), *pending), MAILBOX, on=None, now=NOW)
    assert code_of(refused) == "plan_unchanged"
    assert ("billing.plan.resume" in (refused.value.hint or "")) is hinted


@pytest.mark.parametrize("status", ["past_due", "suspended", "closed"])
@pytest.mark.parametrize("on", [None, "2026-06-20"])
def test_an_account_that_is_not_active_cannot_change_its_plan(status: AccountStatus, on: str | None) -> None:
    with pytest.raises(Refused) as refused:
        change(northwind(status=status), PROXY, on=day(on) if on else None, now=NOW)
    assert code_of(refused) == "account_not_active"


def test_a_plan_in_another_currency_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        change(northwind(), replace(PROXY, currency="USD"), on=None, now=NOW)
    assert code_of(refused) == "currency_mismatch"


def test_a_cancel_takes_effect_when_the_period_ends_and_charges_nothing_now() -> None:
    outcome = cancel(northwind("0.00"), immediately=False, now=NOW)
    canceling, posted = after(northwind("0.00"), outcome, NOW)
    assert (posted, outcome.scheduled, outcome.effective_at) == ((), True, moment("2026-07-01"))
    assert (outcome.previous_plan_id, outcome.target_plan_id) == ("smtp_per_mailbox", None)
    assert phases(canceling) == [("2026-06-01", "smtp_per_mailbox"), ("2026-07-01", None)]
    assert total_micros(canceling.accrued(day("2026-08-01"))) == eur("71.00")  # June, and no day of July


def test_a_cancel_ends_with_the_period_of_the_account_not_of_the_calendar() -> None:
    from_the_31st = account(("2026-01-31", MAILBOX), anchor_day=31)
    outcome = cancel(from_the_31st, immediately=False, now=moment("2026-02-14"))
    assert outcome.effective_at == moment("2026-02-28")


def test_a_cancel_replaces_a_pending_change() -> None:
    waiting = account(("2026-06-01", MAILBOX), ("2026-06-16", PROXY))
    canceling, _ = after(waiting, cancel(waiting, immediately=False, now=NOW), NOW)
    assert phases(canceling) == [("2026-06-01", "smtp_per_mailbox"), ("2026-07-01", None)]


def test_a_second_cancel_is_refused_but_an_immediate_one_still_ends_the_plan_now() -> None:
    canceling = account(("2026-06-01", MAILBOX), ("2026-07-01", None), available="100.00", counts=COUNTS)
    with pytest.raises(Refused) as refused:
        cancel(canceling, immediately=False, now=NOW)
    assert code_of(refused) == "already_canceling"
    ended, (charged,) = after(canceling, cancel(canceling, immediately=True, now=NOW), NOW)
    assert phases(ended) == [("2026-06-01", "smtp_per_mailbox"), ("2026-06-12", None)]
    assert charged.amount_micros == ACCRUED


def test_an_immediate_cancel_charges_what_has_accrued_and_no_later_day() -> None:
    outcome = cancel(northwind(), immediately=True, now=NOW)
    ended, (charged,) = after(northwind(), outcome, NOW)
    assert book(charged.entries) == {"available": -ACCRUED, "revenue": ACCRUED}
    assert (outcome.scheduled, outcome.effective_at, ended.status) == (False, NOW, "active")
    assert ended.subscription.settled_through == TODAY
    assert ended.accrued(day("2026-12-31")) == ()


def test_an_immediate_cancel_without_the_money_leaves_the_rest_owed_and_money_on_hold_alone() -> None:
    poor = northwind("20.00", reserved="500.00")
    outcome = cancel(poor, immediately=True, now=NOW)
    ended, (charged,) = after(poor, outcome, NOW)
    owed = eur("6.033333")  # 26.033333 - 20.00
    assert book(charged.entries) == {"available": eur("-20.00"), "receivable": -owed, "revenue": ACCRUED}
    assert (ended.wallet.available_micros, ended.wallet.reserved_micros) == (0, eur("500.00"))
    assert ended.status == "past_due"
    assert charged.description == "Plan charges 2026-06-01 to 2026-06-12; 6.033333 EUR unpaid"
    unpaid = charged.line_items[-1]
    assert (unpaid.component_type, unpaid.source, unpaid.amount_micros) == ("receivable", "adjustment", -owed)
    assert total_micros(charged.line_items) == eur("20.00")


@pytest.mark.parametrize("status", ["active", "past_due", "suspended"])
def test_an_immediate_cancel_that_takes_the_last_cent_leaves_nothing_owed(status: AccountStatus) -> None:
    exact = northwind("26.033333", status=status)
    ended, (charged,) = after(exact, cancel(exact, immediately=True, now=NOW), NOW)
    assert (ended.wallet.available_micros, ended.status) == (0, status)
    assert "receivable" not in book(charged.entries)


def test_a_plan_that_is_canceled_on_its_first_day_costs_nothing() -> None:
    fresh = account(("2026-06-12", MAILBOX), counts=COUNTS)
    outcome = cancel(fresh, immediately=True, now=NOW)
    assert (outcome.postings, outcome.account_status) == ((), "active")
    assert outcome.subscription.phases == (Phase(TODAY, None),)


@pytest.mark.parametrize("immediately", [True, False])
@pytest.mark.parametrize(
    "without",
    [account(), account(("2026-06-01", MAILBOX), ("2026-06-12", None)), account(("2026-06-13", MAILBOX))],
    ids=["never had one", "ended today", "begins tomorrow"],
)
def test_without_a_plan_there_is_nothing_to_cancel(without: Account, immediately: bool) -> None:
    with pytest.raises(Refused) as refused:
        cancel(without, immediately=immediately, now=NOW)
    assert code_of(refused) == "no_plan"


@pytest.mark.parametrize("pending", [PROXY, None], ids=["change", "cancel"])
def test_resume_undoes_what_is_pending_and_costs_nothing(pending: Plan | None) -> None:
    waiting = account(("2026-06-01", MAILBOX), ("2026-06-16", pending), counts=COUNTS)
    outcome = resume(waiting, now=NOW)
    assert (outcome.postings, outcome.subscription) == ((), northwind().subscription)
    assert (outcome.scheduled, outcome.effective_at) == (False, NOW)
    assert (outcome.previous_plan_id, outcome.target_plan_id) == (pending and pending.plan_id, "smtp_per_mailbox")


@pytest.mark.parametrize("settled", [account(), northwind(), account(("2026-06-01", MAILBOX), ("2026-06-12", PROXY))])
def test_a_change_whose_day_has_come_or_none_at_all_cannot_be_undone(settled: Account) -> None:
    with pytest.raises(Refused) as refused:
        resume(settled, now=NOW)
    assert code_of(refused) == "nothing_pending"


@pytest.mark.parametrize(
    ("dated", "status", "expected"),
    [
        ((), "active", "none"),
        ((("2026-06-13", MAILBOX),), "active", "none"),
        ((("2026-06-12", MAILBOX),), "active", "active"),
        ((("2026-06-01", MAILBOX), ("2026-06-16", PROXY)), "active", "active"),
        ((("2026-06-01", MAILBOX), ("2026-07-01", None)), "active", "canceling"),
        ((("2026-06-01", MAILBOX), ("2026-06-12", None)), "active", "canceled"),
        ((("2026-06-01", MAILBOX), ("2026-07-01", None)), "past_due", "past_due"),
        ((("2026-06-01", MAILBOX),), "suspended", "suspended"),
        ((("2026-06-01", MAILBOX), ("2026-06-12", None)), "past_due", "canceled"),
    ],
)
def test_the_status_of_a_plan_follows_its_days_and_trouble_with_the_account_comes_first(
    dated: tuple[tuple[str, Plan | None], ...], status: AccountStatus, expected: PlanStatus
) -> None:
    assert plan_status(account(*dated).subscription, status, TODAY) == expected


def test_an_account_that_never_had_a_subscription_has_no_plan() -> None:
    assert plan_status(None, "active", TODAY) == "none"


def test_a_charge_with_a_debt_and_a_rounding_says_both_and_its_lines_sum_to_what_the_wallet_gives() -> None:
    poor = northwind("20.00")
    lines = poor.accrued(TODAY)
    owed, rounding = eur("6.04"), eur("0.006667")  # 26.033333 + 0.006667 = 26.04 = 20.00 + 6.04
    wish = charge(poor, lines, NOW, receivable_micros=owed, rounding_micros=rounding)
    assert book(wish.entries) == {
        "available": eur("-20.00"),
        "receivable": eur("-6.04"),
        "revenue": eur("26.033333"),
        "rounding": eur("0.006667"),
    }
    added = wish.line_items[len(lines) :]
    assert [(x.component_type, x.amount_micros) for x in added] == [("rounding", rounding), ("receivable", -owed)]
    assert {x.source for x in added} == {"adjustment"}
    assert total_micros(wish.line_items) == eur("20.00")
