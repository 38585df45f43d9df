"""A year's price is earned day by day, leaving it early takes the discount back, and a month costs at least its fee."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.domain.accrual import ComponentCount, total_micros
from billing_mcp.domain.errors import InvalidArgument, Refused
from billing_mcp.domain.ledger import LineItem
from billing_mcp.domain.periods import Period, year_of
from billing_mcp.domain.plan_terms import BillingPeriod, Plan, PlanBook
from billing_mcp.domain.plans import Account, cancel, change
from billing_mcp.domain.subscriptions import Phase
from tests.domain.builders import (
    MAILBOX,
    MAILBOX_COUNT,
    PROPERTY,
    PROXY,
    account,
    after,
    day,
    eur,
    mailboxes,
    moment,
)

YEARLY_MAILBOX = replace(MAILBOX, yearly_price_micros=eur("290.00"))
YEARLY_PROXY = replace(PROXY, yearly_price_micros=eur("990.00"))
LEAST = replace(
    YEARLY_MAILBOX, minimum_micros=eur("50.00"), components=(replace(MAILBOX_COUNT, included=10),), version="least"
)
DEARER = replace(
    YEARLY_MAILBOX, version="2", valid_from=day("2026-05-01"), price_micros=eur("35.00"),
    yearly_price_micros=eur("365.00"),
)  # fmt: skip
BOOK = PlanBook.of([YEARLY_MAILBOX, YEARLY_PROXY, DEARER])


def on_plans(
    *phases: Phase, book: PlanBook = BOOK, counts: Sequence[ComponentCount] = (), anchor_day: int = 1
) -> Account:
    """An account with these phases that has paid for nothing, and has money."""
    opened = account(available="10000.00", counts=counts, anchor_day=anchor_day)
    subscription = replace(opened.subscription, phases=phases, settled_through=phases[0].starts_on)
    return replace(opened, subscription=subscription, plans=book)


def yearly(on: str, plan: Plan = YEARLY_MAILBOX, since: str | None = None) -> Phase:
    return Phase(day(on), plan.plan_id, "yearly", plan.version, day(since or on))


def told(lines: Sequence[LineItem]) -> list[tuple[str, str, str | None, str | None, int]]:
    return [(x.component_type, x.quantity, x.period_start, x.period_end, x.amount_micros) for x in lines]


@pytest.mark.parametrize(
    ("on", "first", "start", "end"),
    [
        ("2026-03-12", "2026-03-12", "2026-03-12", "2027-03-12"),
        ("2028-03-11", "2026-03-12", "2027-03-12", "2028-03-12"),
        ("2026-02-27", "2024-02-29", "2025-02-28", "2026-02-28"),
        ("2028-02-28", "2024-02-29", "2027-02-28", "2028-02-29"),  # the 29th again
        ("2028-02-29", "2024-02-29", "2028-02-29", "2029-02-28"),
    ],
)
def test_a_plan_year_begins_on_the_same_date_and_on_the_28th_where_there_is_no_29th(
    on: str, first: str, start: str, end: str
) -> None:
    assert year_of(day(on), first=day(first)) == Period(day(start), day(end))


@PROPERTY
@given(first=st.dates(date(2000, 1, 1), date(2040, 1, 1)), days=st.integers(min_value=0, max_value=4000))
def test_every_day_is_in_one_plan_year_of_365_or_366_days(first: date, days: int) -> None:
    on = first + timedelta(days=days)
    year = year_of(on, first=first)
    assert year.start <= on < year.end
    assert year.days in (365, 366)
    assert year_of(year.end, first=first).start == year.end


def test_a_year_costs_its_price_and_a_month_of_it_the_share_of_its_days() -> None:
    of = on_plans(yearly("2026-03-12"), counts=mailboxes(("2026-03-01", 100)), anchor_day=12)
    assert told(of.accrued(day("2026-04-12"))) == [
        ("base", "1", "2026-03-12", "2026-04-12", eur("24.630137")),  # 290.00 x 31/365
        ("mailbox", "100", "2026-03-12", "2026-04-12", eur("35.00")),
    ]
    whole = of.accrued(day("2027-03-12"))
    assert sum(line.amount_micros for line in whole if line.component_type == "base") == eur("290.00")
    assert total_micros(whole) == eur("710.00")  # 290.00 + 12 x 35.00


def test_a_line_of_a_year_says_how_many_of_its_days_it_is_for() -> None:
    (line,) = on_plans(yearly("2026-03-12"), anchor_day=12).accrued(day("2026-04-12"))
    assert (line.unit, line.unit_price_micros, line.source) == ("year", eur("290.00"), "plan")
    assert line.description == "SMTP per mailbox, yearly, 31 of 365 days"
    assert line.metadata == {
        "plan_id": "smtp_per_mailbox", "version": "1", "days": "31", "days_in_period": "365",
        "year_start": "2026-03-12",
    }  # fmt: skip


def test_a_plan_year_that_ends_within_a_month_cuts_its_line() -> None:
    of = on_plans(Phase(day("2027-01-01"), "smtp_per_proxy"), yearly("2027-06-15"), anchor_day=1)
    lines = [x for x in of.accrued(day("2028-07-01")) if x.period_start and x.period_start >= "2028-06-01"]
    assert [(x.period_start, x.period_end, x.metadata and x.metadata["days_in_period"]) for x in lines] == [
        ("2028-06-01", "2028-06-15", "366"),  # 2028 has a 29 February
        ("2028-06-15", "2028-07-01", "365"),
    ]


def test_leaving_a_year_early_costs_what_its_days_would_have_cost_by_the_month() -> None:
    of = on_plans(yearly("2026-03-12"), anchor_day=12)
    left, (charged,) = after(
        of,
        change(of, YEARLY_MAILBOX, on=None, now=moment("2026-05-12"), billing_period="monthly"),
        moment("2026-05-12"),
    )
    # 61 days: 58.00 by the month, 290.00 x 61/365 = 48.465753 by the year
    assert charged.amount_micros == eur("58.00")
    back = charged.line_items[-1]
    assert (back.component_type, back.source, back.amount_micros) == ("base", "plan", eur("9.534247"))
    assert (back.period_start, back.period_end) == ("2026-05-12", "2026-05-13")
    assert back.description == "SMTP per mailbox: yearly discount taken back for 61 days from 2026-03-12"
    assert back.metadata == {
        "plan_id": "smtp_per_mailbox", "version": "1", "yearly_discount": "taken_back", "year_start": "2026-03-12",
        "days": "61", "days_in_period": "365", "by_month_micros": "58000000", "by_year_micros": "48465753",
    }  # fmt: skip
    assert charged.description == "Plan charges 2026-03-12 to 2026-05-12"
    phase = left.subscription.phase_on(day("2026-05-12"))
    assert phase is not None
    assert (phase.billing_period, phase.year_starts_on) == ("monthly", None)
    assert left.accrued(day("2026-05-12")) == ()


def test_the_example_of_the_page_on_plans_is_right() -> None:
    of = on_plans(yearly("2026-03-12"), counts=mailboxes(("2026-03-01", 100)), anchor_day=12)
    (charged,) = change(of, YEARLY_MAILBOX, on=None, now=moment("2026-06-01"), billing_period="monthly").postings
    back = charged.line_items[-1]
    assert back.amount_micros == eur("12.353513")
    assert back.metadata is not None
    assert (back.metadata["by_month_micros"], back.metadata["by_year_micros"]) == ("76709677", "64356164")
    assert back.metadata["days"] == "81"


def test_only_the_discount_of_the_year_that_is_left_is_taken_back() -> None:
    of = on_plans(yearly("2025-03-12"), anchor_day=12)
    ended, (charged,) = after(of, cancel(of, immediately=True, now=moment("2026-03-22")), moment("2026-03-22"))
    back = charged.line_items[-1]
    assert back.metadata is not None
    assert (back.metadata["year_start"], back.metadata["days"]) == ("2026-03-12", "10")
    # 29.00 x 10/31 = 9.354839, 290.00 x 10/365 = 7.945205
    assert back.amount_micros == eur("1.409634")
    assert ended.accrued(day("2030-01-01")) == ()


@pytest.mark.parametrize("on", ["2027-03-12", "2028-03-12"])
def test_leaving_on_the_day_on_which_a_year_ends_takes_nothing_back(on: str) -> None:
    of = on_plans(yearly("2026-03-12"), anchor_day=12)
    _, (charged,) = after(of, cancel(of, immediately=True, now=moment(on)), moment(on))
    years = int(on[:4]) - 2026
    assert charged.amount_micros == years * eur("290.00")


def test_leaving_takes_back_nothing_where_the_year_was_no_cheaper() -> None:
    dear = replace(YEARLY_MAILBOX, yearly_price_micros=eur("400.00"))
    of = on_plans(yearly("2026-03-12"), book=PlanBook.of([dear]), anchor_day=12)
    (posting,) = cancel(of, immediately=True, now=moment("2026-04-12")).postings
    assert [line.amount_micros for line in posting.line_items] == [eur("33.972603")]  # 400.00 x 31/365


def test_a_pending_departure_takes_the_discount_back_on_its_day() -> None:
    of = on_plans(yearly("2026-03-12"), anchor_day=12)
    pending, posted = after(
        of, change(of, YEARLY_PROXY, on=day("2026-04-12"), now=moment("2026-03-20"), billing_period="monthly"),
        moment("2026-03-20"),
    )  # fmt: skip
    assert posted == ()
    assert [x.amount_micros for x in pending.accrued(day("2026-04-11"))] == [eur("23.835616")]  # 290.00 x 30/365
    assert [x.amount_micros for x in pending.accrued(day("2026-04-12"))] == [
        eur("24.630137"),
        eur("4.369863"),  # 29.00 - 24.630137
    ]


def test_a_departure_on_a_day_that_is_settled_already_takes_the_discount_back_once() -> None:
    of = on_plans(yearly("2026-03-12"), anchor_day=12)
    closed = replace(of, subscription=of.subscription.settled(day("2026-04-12")))
    now = moment("2026-04-12T10:00")
    left, (charged,) = after(closed, change(closed, YEARLY_MAILBOX, on=None, now=now, billing_period="monthly"), now)
    assert charged.amount_micros == eur("4.369863")
    assert charged.description == "Plan charges on 2026-04-12"
    back, posted = after(left, change(left, YEARLY_MAILBOX, on=None, now=now, billing_period="yearly"), now)
    assert posted == ()
    assert back.subscription.phases[-1].year_starts_on == day("2026-04-12")
    assert cancel(back, immediately=True, now=now).postings == ()


def test_moving_between_yearly_plans_keeps_the_year_going_and_leaving_looks_at_both() -> None:
    of = on_plans(yearly("2026-03-12"), anchor_day=12)
    moved, (first,) = after(of, change(of, YEARLY_PROXY, on=None, now=moment("2026-04-12")), moment("2026-04-12"))
    assert [x.amount_micros for x in first.line_items] == [eur("24.630137")]
    assert moved.subscription.phases[-1] == yearly("2026-04-12", YEARLY_PROXY, since="2026-03-12")
    assert [x.amount_micros for x in moved.accrued(day("2026-05-12"))] == [eur("81.369863")]  # 990 x (61 - 31)/365
    assert cancel(moved, immediately=False, now=moment("2026-05-01")).effective_at == moment("2027-03-12")
    (left,) = cancel(moved, immediately=True, now=moment("2026-05-12")).postings
    # by the month 29.00 + 99.00, by the year 24.630137 + 81.369863
    assert left.line_items[-1].amount_micros == eur("22.00")


def test_without_a_billing_period_a_change_keeps_the_one_in_force_and_a_first_plan_is_monthly() -> None:
    fresh = replace(account(), plans=BOOK)
    first = change(fresh, YEARLY_MAILBOX, on=None, now=moment("2026-06-12"))
    assert first.subscription.phases[-1].billing_period == "monthly"
    of = on_plans(yearly("2026-03-12"))
    assert (
        change(of, YEARLY_PROXY, on=None, now=moment("2026-06-12")).subscription.phases[-1].billing_period == "yearly"
    )


@pytest.mark.parametrize("asked", [None, "yearly"])
def test_a_plan_without_a_yearly_price_is_not_sold_by_the_year(asked: BillingPeriod | None) -> None:
    of = on_plans(yearly("2026-03-12"))
    with pytest.raises(InvalidArgument) as refused:
        change(of, PROXY, on=None, now=moment("2026-06-12"), billing_period=asked)
    assert (refused.value.code, refused.value.field) == ("not_sold_yearly", "billing_period")


def test_the_same_plan_is_a_change_only_by_another_period_or_other_prices() -> None:
    of = on_plans(Phase(day("2026-03-12"), "smtp_per_mailbox"))
    now = moment("2026-04-20")
    with pytest.raises(Refused) as refused:
        change(of, YEARLY_MAILBOX, on=None, now=now, billing_period="monthly")
    assert refused.value.code == "plan_unchanged"
    assert change(of, YEARLY_MAILBOX, on=None, now=now, billing_period="yearly").subscription.phases[-1] == yearly(
        "2026-04-20"
    )
    moved = change(of, DEARER, on=None, now=moment("2026-05-02"))
    assert moved.subscription.phases[-1].price_version == "2"


def test_a_phase_without_a_version_has_the_one_of_its_first_day_and_keeps_it() -> None:
    of = on_plans(Phase(day("2026-04-01"), "smtp_per_mailbox"))
    assert total_micros(of.accrued(day("2026-06-01"))) == eur("58.00")
    later = on_plans(Phase(day("2026-05-01"), "smtp_per_mailbox"))
    assert total_micros(later.accrued(day("2026-06-01"))) == eur("35.00")


def test_a_version_that_the_book_has_lost_is_replaced_by_that_of_the_day() -> None:
    of = on_plans(Phase(day("2026-04-01"), "smtp_per_mailbox", "monthly", "gone"))
    assert total_micros(of.accrued(day("2026-05-01"))) == eur("29.00")


def test_only_what_is_above_the_included_units_is_billed_and_the_line_says_so() -> None:
    of = on_plans(
        Phase(day("2026-06-01"), "smtp_per_mailbox"),
        book=PlanBook.of([LEAST]),
        counts=mailboxes(("2026-06-01", 8), ("2026-06-11", 110)),
    )
    base, counted = of.accrued(day("2026-07-01"))
    assert (counted.quantity, counted.period_start, counted.amount_micros) == ("100", "2026-06-11", eur("23.333333"))
    assert counted.description == "Mailboxes above 10 included, 20 of 30 days"
    assert counted.metadata is not None
    assert (counted.metadata["counted"], counted.metadata["included"]) == ("110", "10")
    assert base.amount_micros == eur("29.00")


def test_what_is_missing_to_the_minimum_fee_is_due_when_the_month_ends_and_shown_before() -> None:
    of = on_plans(Phase(day("2026-06-01"), "smtp_per_mailbox"), book=PlanBook.of([LEAST]))
    assert [x.component_type for x in of.accrued(day("2026-06-30"))] == ["base"]
    assert of.accrued_micros(day("2026-06-16")) == eur("25.00")  # 15 of 30 days of 50.00
    base, missing = of.accrued(day("2026-07-01"))
    assert (missing.component_type, missing.source, missing.amount_micros) == ("minimum", "plan", eur("21.00"))
    assert (missing.period_start, missing.period_end) == ("2026-06-01", "2026-07-01")
    assert missing.description == "SMTP per mailbox, up to the minimum fee"
    assert missing.metadata == {
        "plan_id": "smtp_per_mailbox", "version": "least", "days": "30", "days_in_period": "30",
        "minimum_micros": "50000000", "used_micros": str(base.amount_micros),
    }  # fmt: skip


def test_who_uses_more_than_the_minimum_fee_pays_what_is_used() -> None:
    counts = mailboxes(("2026-06-01", 110))
    of = on_plans(Phase(day("2026-06-01"), "smtp_per_mailbox"), book=PlanBook.of([LEAST]), counts=counts)
    assert [x.amount_micros for x in of.accrued(day("2026-07-01"))] == [eur("29.00"), eur("35.00")]
    assert of.accrued_micros(day("2026-06-16")) == eur("32.00")


def test_a_minimum_fee_is_for_the_days_on_the_plan() -> None:
    of = on_plans(Phase(day("2026-06-01"), "smtp_per_mailbox"), book=PlanBook.of([LEAST]))
    (posting,) = cancel(of, immediately=True, now=moment("2026-06-12")).postings
    assert sum(x.amount_micros for x in posting.line_items) == eur("18.333333")  # 50.00 x 11/30


PLANS = st.sampled_from([YEARLY_MAILBOX, YEARLY_PROXY, LEAST, DEARER, None])
OFFSETS = st.integers(min_value=0, max_value=800)
START = date(2027, 2, 28)


def _lived(dated: list[tuple[int, Plan | None, BillingPeriod]]) -> tuple[Phase, ...]:
    """The phases of such a life: years go on from yearly plan to yearly plan."""
    phases: list[Phase] = []
    for offset, plan, period in sorted(dated, key=lambda each: each[0]):
        on = START + timedelta(days=offset)
        before = phases[-1] if phases and phases[-1].plan_id else None
        goes_on = before is not None and before.billing_period == "yearly"
        year = (before.year_since if before and goes_on else on) if plan and period == "yearly" else None
        phases.append(Phase(on, plan.plan_id, period, plan.version, year) if plan else Phase(on, None))
    return tuple(phases)


@PROPERTY
@given(
    dated=st.lists(
        st.tuples(OFFSETS, PLANS, st.sampled_from(["monthly", "yearly"])), min_size=1, max_size=6,
        unique_by=lambda each: each[0],
    ),
    counts=st.lists(
        st.builds(
            ComponentCount, component_type=st.sampled_from(["mailbox", "proxy"]),
            effective_on=OFFSETS.map(lambda n: START + timedelta(days=n)), quantity=st.integers(0, 60),
        ),
        max_size=5, unique_by=lambda c: (c.component_type, c.effective_on),
    ),
    cuts=st.lists(OFFSETS, max_size=12),
    anchor_day=st.integers(min_value=1, max_value=31),
)  # fmt: skip
def test_a_life_settled_in_any_parts_comes_to_the_same(
    dated: list[tuple[int, Plan | None, BillingPeriod]], counts: list[ComponentCount], cuts: list[int], anchor_day: int
) -> None:
    book = PlanBook.of([YEARLY_MAILBOX, YEARLY_PROXY, DEARER, replace(LEAST, valid_from=day("2026-06-01"))])
    of = on_plans(*_lived(dated), book=book, counts=counts, anchor_day=anchor_day)
    end = START + timedelta(days=900)
    parts = 0
    settling = of
    for until in [*(START + timedelta(days=n) for n in sorted(cuts)), end]:
        lines = settling.accrued(until)
        assert all(line.amount_micros > 0 for line in lines)
        assert settling.accrued_micros(until) >= total_micros(lines)
        parts += total_micros(lines)
        settling = replace(settling, subscription=settling.subscription.settled(until))
    assert parts == total_micros(of.accrued(end))
