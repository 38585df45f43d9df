"""A month's price is earned day by day, and a period costs the same however it is settled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.domain.accrual import ComponentCount, PlanSpan, accrue, total_micros
from billing_mcp.domain.ledger import LineItem
from billing_mcp.domain.periods import period_of
from billing_mcp.domain.plan_terms import Plan, PlanBook
from tests.domain.builders import BOOK, MAILBOX, MAILBOX_COUNT, PROPERTY, PROXY, cost_of_day, day, eur, mailboxes

START = date(2027, 11, 20)  # what is generated runs over the leap February of 2028
OFFSETS = st.integers(min_value=0, max_value=200)
COUNTS = st.lists(
    st.builds(
        ComponentCount,
        component_type=st.sampled_from(["mailbox", "proxy"]),
        effective_on=OFFSETS.map(lambda n: START + timedelta(days=n - 40)),
        quantity=st.integers(min_value=0, max_value=2000),
    ),
    max_size=8,
    unique_by=lambda c: (c.component_type, c.effective_on),
)


def used(
    start: str, end: str, *counts: ComponentCount, plan: Plan = MAILBOX, anchor_day: int = 1
) -> tuple[LineItem, ...]:
    return accrue([PlanSpan(plan.plan_id, day(start), day(end))], counts, BOOK, anchor_day=anchor_day)


def told(lines: Sequence[LineItem]) -> list[tuple[str, str, str | None, str | None, int]]:
    return [(x.component_type, x.quantity, x.period_start, x.period_end, x.amount_micros) for x in lines]


def test_a_whole_month_costs_its_price() -> None:
    assert told(used("2026-06-01", "2026-07-01", *mailboxes(("2026-06-01", 120)))) == [
        ("base", "1", "2026-06-01", "2026-07-01", eur("29.00")),
        ("mailbox", "120", "2026-06-01", "2026-07-01", eur("42.00")),  # 120 x 0.35
    ]


def test_11_of_30_days_cost_eleven_thirtieths() -> None:
    assert told(used("2026-06-01", "2026-06-12", *mailboxes(("2026-06-01", 120)))) == [
        ("base", "1", "2026-06-01", "2026-06-12", eur("10.633333")),  # 29.00 x 11/30 = 10.6333333...
        ("mailbox", "120", "2026-06-01", "2026-06-12", eur("15.40")),  # 120 x 0.35 x 11/30
    ]


def test_the_19_days_that_follow_cost_the_rest_of_the_month() -> None:
    assert told(used("2026-06-12", "2026-07-01", *mailboxes(("2026-06-01", 120)))) == [
        ("base", "1", "2026-06-12", "2026-07-01", eur("18.366667")),  # 29.00 - 10.633333
        ("mailbox", "120", "2026-06-12", "2026-07-01", eur("26.60")),  # 42.00 - 15.40
    ]


def test_a_count_that_changes_within_the_month_is_charged_from_its_day_on() -> None:
    counts = mailboxes(("2026-06-01", 10), ("2026-06-11", 25), ("2026-07-01", 9000))
    assert told(used("2026-06-01", "2026-07-01", *counts)) == [
        ("base", "1", "2026-06-01", "2026-07-01", eur("29.00")),
        ("mailbox", "10", "2026-06-01", "2026-06-11", eur("1.166667")),  # 3.50 x 10/30
        ("mailbox", "25", "2026-06-11", "2026-07-01", eur("5.833333")),  # 8.75 - 8.75 x 10/30
    ]


def test_what_is_counted_from_a_later_day_on_costs_nothing_before_it() -> None:
    counts = mailboxes(("2026-06-16", 10), ("2026-06-26", 0))
    assert told(used("2026-06-01", "2026-07-01", *counts)[1:]) == [
        ("mailbox", "10", "2026-06-16", "2026-06-26", eur("1.166667")),  # 3.50 x 25/30 - 3.50 x 15/30
    ]


def test_a_count_from_before_the_days_is_still_in_force_and_the_last_one_wins() -> None:
    counts = mailboxes(("2025-01-01", 3), ("2026-02-01", 7))
    assert told(used("2026-06-01", "2026-07-01", *counts)[1:]) == [
        ("mailbox", "7", "2026-06-01", "2026-07-01", eur("2.45")),
    ]


def test_a_count_that_repeats_the_quantity_does_not_cut_a_line() -> None:
    counts = mailboxes(("2026-06-01", 10), ("2026-06-11", 10))
    assert told(used("2026-06-01", "2026-07-01", *counts)[1:]) == [
        ("mailbox", "10", "2026-06-01", "2026-07-01", eur("3.50")),
    ]


def test_14_days_of_february_cost_more_than_in_a_leap_year() -> None:
    assert total_micros(used("2026-02-01", "2026-02-15")) == eur("14.50")  # 29.00 x 14/28
    assert total_micros(used("2028-02-01", "2028-02-15")) == eur("14.00")  # 29.00 x 14/29
    assert total_micros(used("2028-02-01", "2028-03-01")) == eur("29.00")


def test_a_tie_in_the_last_micro_goes_to_the_even_one() -> None:
    odd = Plan("smtp_per_mailbox", "Odd", "", "EUR", eur("0.000003"), ())
    span = PlanSpan("smtp_per_mailbox", day("2026-06-01"), day("2026-06-16"))
    (line,) = accrue([span], [], PlanBook.of([odd]), anchor_day=1)
    assert line.amount_micros == 2  # 3 x 15/30 = 1.5


def test_days_over_several_periods_make_a_line_for_each_at_its_own_length() -> None:
    assert [
        (x.period_start, x.period_end, x.amount_micros) for x in used("2026-01-20", "2026-03-10", anchor_day=31)
    ] == [
        ("2026-01-20", "2026-01-31", eur("10.290323")),  # 29.00 - 29.00 x 20/31 = 29.00 - 18.709677
        ("2026-01-31", "2026-02-28", eur("29.00")),
        ("2026-02-28", "2026-03-10", eur("9.354839")),  # 29.00 x 10/31
    ]


def test_a_plan_charges_only_what_it_counts() -> None:
    counts = (*mailboxes(("2026-06-01", 500)), ComponentCount("proxy", day("2026-06-01"), 4))
    assert told(used("2026-06-01", "2026-07-01", *counts, plan=PROXY)) == [
        ("base", "1", "2026-06-01", "2026-07-01", eur("99.00")),
        ("proxy", "4", "2026-06-01", "2026-07-01", eur("72.00")),  # 4 x 18.00
    ]


def test_no_days_cost_nothing_and_make_no_line() -> None:
    assert used("2026-06-12", "2026-06-12", *mailboxes(("2026-06-01", 120))) == ()
    assert accrue([], mailboxes(("2026-06-01", 120)), BOOK, anchor_day=1) == ()


def test_a_plan_without_a_base_price_has_no_base_line() -> None:
    free = Plan("smtp_per_mailbox", "Free base", "", "EUR", 0, (MAILBOX_COUNT,))
    span = PlanSpan(free.plan_id, day("2026-06-01"), day("2026-07-01"))
    lines = accrue([span], mailboxes(("2026-06-01", 2)), PlanBook.of([free]), anchor_day=1)
    assert told(lines) == [("mailbox", "2", "2026-06-01", "2026-07-01", eur("0.70"))]


def test_a_line_says_what_it_is_for() -> None:
    base, counted = used("2026-06-01", "2026-06-12", *mailboxes(("2026-06-01", 120)))
    assert (base.description, counted.description) == ("SMTP per mailbox, 11 of 30 days", "Mailboxes, 11 of 30 days")
    assert (base.unit, base.unit_price_micros, base.source) == ("month", eur("29.00"), "plan")
    assert (counted.unit, counted.unit_price_micros, counted.source) == ("mailbox", eur("0.35"), "component_count")
    assert base.metadata == {"plan_id": "smtp_per_mailbox", "version": "1", "days": "11", "days_in_period": "30"}
    assert used("2026-06-01", "2026-07-01")[0].description == "SMTP per mailbox"


@pytest.mark.parametrize("anchor_day", [1, 15, 31])
def test_31_settlements_of_a_day_cost_the_month(anchor_day: int) -> None:
    period = period_of(day("2026-07-15"), anchor_day=anchor_day)
    days = [period.start + timedelta(days=n) for n in range(period.days)]
    counts = mailboxes(("2026-01-01", 7))
    spans = [PlanSpan("smtp_per_mailbox", d, d + timedelta(days=1)) for d in days]
    paid = sum(total_micros(accrue([span], counts, BOOK, anchor_day=anchor_day)) for span in spans)
    assert paid == eur("31.45")  # 29.00 + 7 x 0.35


@PROPERTY
@given(
    counts=COUNTS,
    cuts=st.lists(OFFSETS, min_size=2, max_size=12),
    plan=st.sampled_from([MAILBOX, PROXY]),
    price_micros=st.integers(min_value=0, max_value=10**9),
    anchor_day=st.integers(min_value=1, max_value=31),
)
def test_a_period_settled_in_parts_costs_what_it_costs_whole(
    counts: list[ComponentCount], cuts: list[int], plan: Plan, price_micros: int, anchor_day: int
) -> None:
    priced = Plan(plan.plan_id, plan.name, "", "EUR", price_micros, plan.components)
    days = [START + timedelta(days=n) for n in sorted(cuts)]

    def settle(start: date, end: date) -> int:
        span = PlanSpan(plan.plan_id, start, end)
        return total_micros(accrue([span], counts, PlanBook.of([priced]), anchor_day=anchor_day))

    assert sum(settle(start, end) for start, end in pairwise(days)) == settle(days[0], days[-1])


@PROPERTY
@given(
    counts=COUNTS,
    start=OFFSETS,
    length=st.integers(min_value=0, max_value=70),
    plan=st.sampled_from([MAILBOX, PROXY]),
    anchor_day=st.integers(min_value=1, max_value=31),
)
def test_every_day_costs_the_plan_and_the_counts_in_force_on_it(
    counts: list[ComponentCount], start: int, length: int, plan: Plan, anchor_day: int
) -> None:
    first = START + timedelta(days=start)
    expected = 0
    for on in (first + timedelta(days=n) for n in range(length)):
        in_force = sorted((c for c in counts if c.effective_on <= on), key=lambda c: c.effective_on)
        quantities = {c.component_type: c.quantity for c in in_force}
        expected += cost_of_day(plan, quantities, on, anchor_day=anchor_day)
    span = PlanSpan(plan.plan_id, first, first + timedelta(days=length))
    assert total_micros(accrue([span], counts, BOOK, anchor_day=anchor_day)) == expected


@PROPERTY
@given(counts=COUNTS.flatmap(st.permutations), anchor_day=st.integers(min_value=1, max_value=31))
def test_lines_do_not_depend_on_the_order_of_counts_and_stay_within_a_period(
    counts: list[ComponentCount], anchor_day: int
) -> None:
    spans = [PlanSpan("smtp_per_mailbox", START, START + timedelta(days=100))]
    lines = accrue(spans, counts, BOOK, anchor_day=anchor_day)
    assert lines == accrue(spans, sorted(counts, key=str), BOOK, anchor_day=anchor_day)
    for line in lines:
        assert line.period_start is not None
        assert line.period_end is not None
        period = period_of(day(line.period_start), anchor_day=anchor_day)
        assert period.start <= day(line.period_start) < day(line.period_end) <= period.end
        assert line.amount_micros > 0
