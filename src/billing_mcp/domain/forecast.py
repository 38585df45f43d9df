"""Owns forecasts: how long a wallet lasts if its account goes on as it has lately.

Anyone can do it again with a list of what messages cost on each day (UTC). Today is not over and does not count:

1. The days begin with the first of the last 56 on which messages cost anything, and end with yesterday. They are cut
   into weeks of seven days, counted back from yesterday: so each week has every day of the week once.
2. Expected is what a day cost on average in the last 4 weeks. Low and high are what it cost in the cheapest and in
   the dearest of the last 8. With fewer weeks it is those that there are; with less than one, days take their place.
3. To each is added what the plan accrues a day: what it will over the next 30 days, with the changes and counts that
   are known by now, divided by 30.
4. The runway is what is available, less what has accrued and is not charged yet, divided by spending a day: whole
   days from today on. The money runs out on the day after them, on which it does not last till the end.

With less than 28 days behind it a forecast is a first guess, and says so. Nothing is drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from billing_mcp.domain.money import divide_half_even

HISTORY_DAYS = 56
ENOUGH_DAYS = 28
PLAN_DAYS = 30
MOST_RUNWAY_DAYS = 36_500
"""A hundred years: what lasts longer is said to last as long."""
_WEEK_DAYS = 7
_EXPECTED_WEEKS = ENOUGH_DAYS // _WEEK_DAYS


@dataclass(frozen=True, slots=True)
class Spending:
    """What a day costs, in micros: low, expected and high."""

    low_micros: int
    expected_micros: int
    high_micros: int

    def plus(self, amount_micros: int) -> Spending:
        """All three, with so much more a day."""
        return Spending(
            self.low_micros + amount_micros, self.expected_micros + amount_micros, self.high_micros + amount_micros
        )


@dataclass(frozen=True, slots=True)
class Forecast:
    """What an account has, what it spends a day, and from how many days that is known.

    `plan_micros` is the plan's share of each day's spending.
    """

    today: date
    available_micros: int
    accrued_micros: int
    plan_micros: int
    history_days: int
    daily: Spending

    @property
    def net_micros(self) -> int:
        """What is available, less what has accrued and is not charged yet."""
        return self.available_micros - self.accrued_micros

    @property
    def has_enough_history(self) -> bool:
        """Whether there are as many days as the expected spending is made of."""
        return self.history_days >= ENOUGH_DAYS

    def runway_days(self, daily_micros: int) -> int | None:
        """How many whole days the money lasts, today included; None if nothing is spent: it never ends."""
        if daily_micros <= 0:
            return None
        return min(max(0, self.net_micros) // daily_micros, MOST_RUNWAY_DAYS)

    def available_for(self, days: int) -> int | None:
        """With less than so much available the expected runway is below so many days; None if nothing is spent."""
        return days * self.daily.expected_micros + self.accrued_micros if self.daily.expected_micros > 0 else None


def history_from(today: date) -> date:
    """The first day that may count."""
    return today - timedelta(days=HISTORY_DAYS)


def forecast(
    spent: Mapping[date, int], accrued_until: Callable[[date], int], available_micros: int, today: date
) -> Forecast:
    """The forecast on a day. `spent` is what messages cost by day, in micros; less than none was taken back.

    `accrued_until` is what the plan has accrued before a day and not charged, in micros, on days to come as well.
    """
    days = _days(spent, today)
    accrued_micros = accrued_until(today)
    plan_micros = divide_half_even(accrued_until(today + timedelta(days=PLAN_DAYS)) - accrued_micros, PLAN_DAYS)
    daily = spending_of(days).plus(plan_micros)
    return Forecast(today, available_micros, accrued_micros, plan_micros, len(days), daily)


def spending_of(days: Sequence[int]) -> Spending:
    """What a day costs, by what the days before cost, oldest first. The range always has the expected in it."""
    weeks = [days[end - _WEEK_DAYS : end] for end in range(len(days), _WEEK_DAYS - 1, -_WEEK_DAYS)]
    parts = weeks or [[day] for day in days]
    if not parts:
        return Spending(0, 0, 0)
    expected = [day for week in weeks[:_EXPECTED_WEEKS] for day in week] or days
    averages = [_average(part) for part in parts]
    return Spending(min(averages), _average(expected), max(averages))


def _days(spent: Mapping[date, int], today: date) -> list[int]:
    """What each day cost from the first that cost anything on, up to yesterday."""
    first = history_from(today)
    costly = [day for day, micros in spent.items() if micros and first <= day < today]
    if not costly:
        return []
    begin = min(costly)
    return [spent.get(begin + timedelta(days=number), 0) for number in range((today - begin).days)]


def _average(days: Sequence[int]) -> int:
    """What was taken back may be more than what was spent: that is no income."""
    return max(0, divide_half_even(sum(days), len(days)))
