"""Moving a subscription to other prices of its plan: a pending change or cancel stays, and no customer undoes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.domain.accrual import total_micros
from billing_mcp.domain.errors import Refused
from billing_mcp.domain.plan_migration import Migration, migrate
from billing_mcp.domain.plan_terms import Plan, PlanBook
from billing_mcp.domain.plans import Account, cancel, change, plan_status, resume
from billing_mcp.domain.subscriptions import Phase, Subscription
from tests.domain.builders import MAILBOX, PROPERTY, PROXY, account, day, eur, moment

OLD = replace(MAILBOX, yearly_price_micros=eur("290.00"))
NEW = replace(OLD, version="2", valid_from=day("2026-07-01"), price_micros=eur("40.00"), yearly_price_micros=eur("400"))
BARE = replace(NEW, version="3", valid_from=day("2026-08-01"), yearly_price_micros=None)
BOOK = PlanBook.of([OLD, NEW, BARE, replace(PROXY, yearly_price_micros=eur("990.00"))])
TODAY, NOW = day("2026-06-12"), moment("2026-06-12T09:30")
BEGUN = Phase(day("2026-06-01"), "smtp_per_mailbox", "monthly", "1")
YEARLY = replace(BEGUN, billing_period="yearly", year_starts_on=day("2026-06-01"))
MOVED = Phase(day("2026-07-01"), "smtp_per_mailbox", "monthly", "2", migrates=True)
CHANGE = Phase(day("2026-06-20"), "smtp_per_proxy", "monthly", "1")


def of(*phases: Phase) -> Account:
    opened = account(available="1000.00")
    subscription = replace(opened.subscription, phases=phases, settled_through=phases[0].starts_on)
    return replace(opened, subscription=subscription, plans=BOOK)


def moving(*phases: Phase, on: str | None = None, to: Plan = NEW) -> Migration:
    return migrate(of(*phases).subscription, BOOK, to, on=day(on) if on else None, today=TODAY)


def at(*phases: Phase) -> Subscription:
    return of(*phases).subscription


def test_it_is_moved_when_its_month_ends_and_each_day_has_the_prices_of_its_side() -> None:
    moved = moving(BEGUN)
    assert (moved.status, moved.on, moved.previous_version) == ("migrated", day("2026-07-01"), "1")
    assert moved.subscription == at(BEGUN, MOVED)
    after = replace(of(BEGUN), subscription=moved.subscription)
    assert [x.amount_micros for x in after.accrued(day("2026-08-01"))] == [eur("29.00"), eur("40.00")]


def test_it_is_moved_when_its_plan_year_ends_if_it_is_paid_by_the_year() -> None:
    moved = moving(YEARLY)
    assert moved.on == day("2027-06-01")
    phase = moved.subscription.phases[-1]
    assert (phase.billing_period, phase.price_version, phase.year_starts_on) == ("yearly", "2", day("2026-06-01"))
    assert total_micros(replace(of(YEARLY), subscription=moved.subscription).accrued(day("2028-06-01"))) == eur(
        "690.00"
    )


def test_a_day_may_be_named_and_today_is_one_on_which_nothing_of_it_is_charged_yet() -> None:
    moved = moving(BEGUN, on="2026-06-12")
    now = replace(of(BEGUN), subscription=moved.subscription)
    assert [x.amount_micros for x in now.accrued(TODAY)] == [eur("10.633333")]
    assert [x.amount_micros for x in now.accrued(day("2026-07-01"))] == [eur("10.633333"), eur("25.333333")]


def test_in_the_middle_of_a_plan_year_the_rest_of_it_has_the_new_price_and_the_year_goes_on() -> None:
    moved = moving(YEARLY, on="2026-12-01")
    now = replace(of(YEARLY), subscription=moved.subscription)
    assert now.subscription.years_left(TODAY, day("2027-12-01")) == ()
    base = total_micros(now.accrued(day("2027-06-01")))
    assert base == eur("344.849315")  # 290.00 x 183/365 + 400.00 x 182/365


def test_to_do_it_again_does_nothing_more() -> None:
    once = moving(BEGUN).subscription
    again = migrate(once, BOOK, NEW, on=None, today=TODAY)
    assert (again.status, again.subscription) == ("already", once)
    assert migrate(once, BOOK, OLD, on=None, today=TODAY).subscription == at(BEGUN, replace(MOVED, price_version="1"))


def test_one_that_was_to_come_later_is_replaced_by_an_earlier_one() -> None:
    later = moving(BEGUN, on="2026-09-01").subscription
    assert migrate(later, BOOK, NEW, on=None, today=TODAY).subscription == at(BEGUN, MOVED)


def test_a_pending_change_stays_and_who_leaves_before_is_not_moved() -> None:
    assert moving(BEGUN, CHANGE).status == "leaves"
    assert moving(BEGUN, replace(CHANGE, starts_on=day("2026-07-01"))).status == "leaves"
    moved = moving(BEGUN, replace(CHANGE, starts_on=day("2026-07-10")))
    assert moved.subscription == at(BEGUN, MOVED, replace(CHANGE, starts_on=day("2026-07-10")))


def test_a_pending_cancel_stays_and_the_plan_still_ends() -> None:
    assert moving(BEGUN, Phase(day("2026-07-01"), None)).status == "leaves"
    moved = moving(BEGUN, Phase(day("2026-07-01"), None), on="2026-06-20").subscription
    assert moved.phases[1:] == (replace(MOVED, starts_on=day("2026-06-20")), Phase(day("2026-07-01"), None))
    assert plan_status(moved, "active", TODAY) == "canceling"


@pytest.mark.parametrize("on", ["2026-06-20", "2026-06-25", "2026-07-01"])
def test_a_pending_change_to_the_same_plan_by_the_year_gets_the_new_prices_too(on: str) -> None:
    pending = replace(YEARLY, starts_on=day("2026-06-25"), year_starts_on=day("2026-06-25"))
    moved = moving(BEGUN, pending, on=on).subscription
    last = moved.phases[-1]
    assert (last.billing_period, last.price_version, last.year_since) == ("yearly", "2", day("2026-06-25"))
    assert moved.pending_after(TODAY) is not None
    assert moved.phase_on(day("2026-06-24")) == (replace(MOVED, starts_on=day(on)) if on < "2026-06-25" else BEGUN)


def test_what_has_no_price_for_a_year_takes_none_that_is_paid_by_it() -> None:
    assert moving(YEARLY, to=BARE).status == "not_sold_yearly"
    pending = replace(YEARLY, starts_on=day("2026-09-01"))
    assert moving(BEGUN, pending, to=BARE).status == "not_sold_yearly"
    assert moving(BEGUN, to=BARE).status == "migrated"


def test_a_plan_that_has_not_begun_is_moved_after_its_first_month() -> None:
    assert moving(replace(BEGUN, starts_on=day("2026-07-01"))).on == day("2026-08-01")


def test_a_customer_neither_undoes_it_nor_takes_it_for_a_change_of_their_own() -> None:
    moved = of(BEGUN, MOVED)
    assert plan_status(moved.subscription, "active", TODAY) == "active"
    with pytest.raises(Refused) as refused:
        resume(moved, now=NOW)
    assert refused.value.code == "nothing_pending"
    canceling = cancel(moved, immediately=False, now=NOW).subscription
    assert canceling == at(BEGUN, Phase(day("2026-07-01"), None))


def test_it_stays_beside_what_the_customer_changes_later_and_undoes_again() -> None:
    moved = of(BEGUN, replace(MOVED, starts_on=day("2026-06-20")))
    changed = change(moved, PROXY, on=day("2026-07-05"), now=NOW)
    assert [p.starts_on.isoformat() for p in changed.subscription.phases] == ["2026-06-01", "2026-06-20", "2026-07-05"]
    undone = resume(replace(moved, subscription=changed.subscription), now=NOW)
    assert undone.subscription == moved.subscription


def test_it_holds_for_the_plan_that_is_left_and_for_no_other() -> None:
    moved = of(BEGUN, MOVED)
    assert change(moved, PROXY, on=None, now=NOW).subscription.phases == (BEGUN, replace(CHANGE, starts_on=TODAY))
    by_the_year = change(moved, OLD, on=None, now=NOW, billing_period="yearly").subscription
    assert by_the_year.phases[-1] == replace(MOVED, billing_period="yearly", year_starts_on=TODAY)
    ahead = change(moved, NEW, on=None, now=NOW).subscription
    assert [(p.starts_on, p.price_version) for p in ahead.phases] == [(BEGUN.starts_on, "1"), (TODAY, "2")]


def test_by_a_day_on_which_the_prices_are_moved_the_same_plan_is_no_change() -> None:
    moved = of(BEGUN, MOVED)
    with pytest.raises(Refused) as refused:
        change(moved, NEW, on=day("2026-07-03"), now=NOW)
    assert refused.value.code == "plan_unchanged"
    assert change(moved, NEW, on=day("2026-06-30"), now=NOW).scheduled


@PROPERTY
@given(
    pending=st.sampled_from(
        [None, CHANGE, Phase(day("2026-07-01"), None), replace(YEARLY, starts_on=day("2026-06-25"))]
    ),
    first=st.sampled_from([BEGUN, YEARLY]),
    on=st.integers(min_value=0, max_value=60),
)
def test_whatever_is_pending_each_day_keeps_its_plan_and_period_and_days_before_it_their_prices(
    pending: Phase | None, first: Phase, on: int
) -> None:
    before = of(*([first] if pending is None else [first, pending])).subscription
    moved_on = TODAY + timedelta(days=on)
    moved = migrate(before, BOOK, NEW, on=moved_on, today=TODAY).subscription
    for offset in range(90):
        was, now = (each.phase_on(date(2026, 6, 1) + timedelta(days=offset)) for each in (before, moved))
        assert (was and (was.plan_id, was.billing_period)) == (now and (now.plan_id, now.billing_period))
        if date(2026, 6, 1) + timedelta(days=offset) < moved_on:
            assert (was and was.price_version) == (now and now.price_version)
    assert before.pending_after(TODAY) is None or moved.pending_after(TODAY) is not None
