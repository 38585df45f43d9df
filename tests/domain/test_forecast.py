"""How long a wallet lasts: cases done again by hand, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.domain.forecast import Forecast, Spending, forecast, spending_of
from tests.domain.builders import PROPERTY, eur

TODAY = date(2026, 3, 12)


def nothing(_until: date) -> int:
    return 0


def accruing(a_day: str, *, since: int = 0) -> Callable[[date], int]:
    """A plan that accrues so much a day, and has for so many days that are not charged yet."""
    return lambda until: eur(a_day) * ((until - TODAY).days + since)


def days_ago(*costs: tuple[int, str]) -> dict[date, int]:
    return {TODAY - timedelta(days=ago): eur(cost) for ago, cost in costs}


def told(spending: Spending) -> tuple[int, int, int]:
    return (spending.low_micros, spending.expected_micros, spending.high_micros)


def test_by_hand_five_weeks_and_three_days() -> None:
    # A day of each week, newest first: 3.00, 1.00, 2.00, 2.00, 9.00; and three days before them that are in no week.
    weeks = ["3.00", "1.00", "2.00", "2.00", "9.00"]
    days = [eur("100.00")] * 3 + [eur(cost) for cost in reversed(weeks) for _ in range(7)]

    # Expected: (21 + 7 + 14 + 14) / 28 = 2.00. Low and high: the cheapest and the dearest of the five weeks.
    assert told(spending_of(days)) == (eur("1.00"), eur("2.00"), eur("9.00"))


def test_a_week_has_its_quiet_days_and_its_busy_ones() -> None:
    week = [eur("7.00"), 0, 0, 0, 0, 0, 0]
    for turned in range(7):
        days = (week * 9)[turned : turned + 56]
        assert told(spending_of(days)) == (eur("1.00"),) * 3


def test_nine_weeks_ago_does_not_count() -> None:
    days = [eur("50.00")] * 7 + [eur("1.00")] * 56
    assert spending_of(days[-56:]).high_micros == eur("1.00")
    spent = {TODAY - timedelta(days=ago): eur("50.00") for ago in range(57, 64)}
    assert forecast(spent, nothing, 0, TODAY).history_days == 0


def test_with_less_than_a_week_days_take_the_place_of_weeks() -> None:
    assert told(spending_of([eur("1.00"), eur("2.00"), eur("6.00")])) == (eur("1.00"), eur("3.00"), eur("6.00"))


def test_with_less_than_four_weeks_it_is_those_that_there_are() -> None:
    days = [eur("9.00")] * 2 + [eur("1.00")] * 7 + [eur("2.00")] * 7
    assert told(spending_of(days)) == (eur("1.00"), eur("1.50"), eur("2.00"))


def test_what_was_taken_back_is_no_income() -> None:
    assert told(spending_of([-eur("7.00")] * 7)) == (0, 0, 0)
    assert told(spending_of([-eur("7.00")] * 7 + [eur("9.00")] * 7)) == (0, eur("1.00"), eur("9.00"))


def test_a_forecast_by_hand() -> None:
    # 28 days at 2.00 for messages; a plan of 0.50 a day, 10 days of which are not charged: 5.00 of 105.00 are gone.
    spent = days_ago(*((ago, "2.00") for ago in range(1, 29)))
    found = forecast(spent, accruing("0.50", since=10), eur("105.00"), TODAY)

    assert (found.accrued_micros, found.net_micros, found.plan_micros) == (eur("5.00"), eur("100.00"), eur("0.50"))
    assert told(found.daily) == (eur("2.50"),) * 3
    assert found.runway_days(found.daily.expected_micros) == 40
    assert (found.history_days, found.has_enough_history) == (28, True)


@pytest.mark.parametrize(
    ("available", "days"),
    [("0.00", 0), ("2.99", 0), ("3.00", 1), ("8.99", 2), ("9.00", 3), ("-5.00", 0), ("999999999999.00", 36_500)],
)
def test_a_day_counts_if_the_money_lasts_till_its_end(available: str, days: int) -> None:
    spent = days_ago((1, "3.00"))
    found = forecast(spent, nothing, eur(available), TODAY)
    assert found.runway_days(found.daily.expected_micros) == days


def test_what_is_not_spent_never_runs_out() -> None:
    found = forecast({}, nothing, eur("10.00"), TODAY)
    assert told(found.daily) == (0, 0, 0)
    assert found.runway_days(0) is None
    assert found.available_for(7) is None
    assert not found.has_enough_history


def test_a_plan_alone_has_a_runway() -> None:
    found = forecast({}, accruing("1.00", since=3), eur("10.00"), TODAY)
    assert found.runway_days(found.daily.expected_micros) == 7


def test_a_plan_that_ends_in_ten_days_counts_a_third() -> None:
    def ending(until: date) -> int:
        return eur("3.00") * min(10, (until - TODAY).days)

    assert forecast({}, ending, 0, TODAY).plan_micros == eur("1.00")


def test_today_and_what_is_to_come_do_not_count() -> None:
    found = forecast(days_ago((0, "9.00"), (-1, "9.00"), (1, "2.00")), nothing, 0, TODAY)
    assert (found.history_days, told(found.daily)) == (1, (eur("2.00"),) * 3)


def test_history_begins_with_the_first_day_that_cost_anything() -> None:
    found = forecast(days_ago((40, "0.00"), (10, "7.00"), (1, "7.00")), nothing, 0, TODAY)
    # Ten days: a week with 7.00, and three days before it.
    assert (found.history_days, told(found.daily)) == (10, (eur("1.00"),) * 3)
    assert not found.has_enough_history


costs = st.lists(st.integers(-(10**7), 10**9), max_size=70)
amounts = st.integers(-(10**9), 10**12)


def made(costs: Sequence[int], available_micros: int, plan_micros: int = 0) -> Forecast:
    spent = {TODAY - timedelta(days=ago): cost for ago, cost in enumerate(costs)}
    return forecast(spent, lambda until: plan_micros * ((until - TODAY).days + 5), available_micros, TODAY)


@PROPERTY
@given(costs)
def test_the_range_has_the_expected_in_it(costs: list[int]) -> None:
    daily = made(costs, 0).daily
    assert 0 <= daily.low_micros <= daily.expected_micros <= daily.high_micros


def lasting(days: int | None) -> float:
    return float("inf") if days is None else days


@PROPERTY
@given(costs, amounts, st.integers(0, 10**12), st.integers(0, 10**8))
def test_more_money_lasts_no_shorter_and_higher_spending_no_longer(
    costs: list[int], available: int, more: int, plan: int
) -> None:
    found, richer, dearer = made(costs, available), made(costs, available + more), made(costs, available, plan)
    for each in told(found.daily):
        assert lasting(found.runway_days(each)) <= lasting(richer.runway_days(each))
    runways = [lasting(found.runway_days(each)) for each in told(found.daily)]
    assert runways == sorted(runways, reverse=True)
    if found.daily.expected_micros:
        assert lasting(dearer.runway_days(dearer.daily.expected_micros)) <= runways[1]


@PROPERTY
@given(costs, st.integers(0, 10**11), st.integers(1, 365), st.integers(0, 10**8))
def test_an_amount_for_so_many_days_is_where_the_runway_goes_below_them(
    costs: list[int], available: int, days: int, plan: int
) -> None:
    found = made(costs, available, plan)
    needed, runway = found.available_for(days), found.runway_days(found.daily.expected_micros)
    if needed is None or runway is None:
        assert needed is runway
    else:
        assert (available < needed) == (runway < days)
