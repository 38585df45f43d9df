"""A second model of plans, without phases: what is in force, what is pending, and what is due by now, day by day."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from functools import cache

from billing_mcp.domain.plan_terms import BillingPeriod, Plan

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class InForce:
    """A plan, how it is paid, and since when by the year."""

    plan: Plan
    period: BillingPeriod
    year_since: date


@dataclass(frozen=True, slots=True)
class Naive:
    """An account as someone would keep it on paper, with as many units of each component all the time."""

    today: date
    quantity: int
    anchor: int = 1
    now: InForce | None = None
    begun: bool = False
    pending: tuple[date, Plan | None, BillingPeriod] | None = None
    due_micros: int = 0
    """All that is due by now, paid or not."""
    stretch: tuple[int, int] = (0, 0)
    """What the days since the plan or the month began cost, and what they would have to at least."""
    year: tuple[int, int] = (0, 0)
    """What the days since the plan year began cost by the month, and by the year."""

    def change(self, plan: Plan, period: BillingPeriod) -> Naive | str:
        if self.now is not None and (self.now.plan, self.now.period) == (plan, period):
            return "plan_unchanged"
        begun = self if self.begun else replace(self, anchor=self.today.day)
        return replace(begun, pending=None)._become(plan, period)

    def change_later(self, on: date, plan: Plan, period: BillingPeriod) -> Naive | str:
        if self.now is not None and (self.now.plan, self.now.period) == (plan, period):
            return "plan_unchanged"
        return replace(self, pending=(on, plan, period), anchor=self.anchor if self.begun else on.day)

    def cancel(self, *, now: bool) -> Naive | str:
        if self.now is None:
            return "no_plan"
        if now:
            return replace(self, pending=None)._become(None, "monthly")
        if self.pending is not None and self.pending[1] is None:
            return "already_canceling"
        year_ends = _next_same_day(self.now.year_since, self.today)
        end = year_ends if self.now.period == "yearly" else _month_end(self.today, self.anchor)
        return replace(self, pending=(end, None, "monthly"))

    def resume(self) -> Naive | str:
        return "nothing_pending" if self.pending is None else replace(self, pending=None)

    def days(self, count: int) -> Naive:
        """So many days pass."""
        found = self
        for _ in range(count):
            found = found._day()
        return found

    def _day(self) -> Naive:
        found, tomorrow, now = self, self.today + DAY, self.now
        if now is None:
            found = replace(self, today=tomorrow)
        else:
            by_month, by_year, units, least = costs_of(now.plan, now.year_since, self.quantity, self.today, self.anchor)
            used = units + (by_year if now.period == "yearly" else by_month)
            found = replace(
                self,
                today=tomorrow,
                due_micros=self.due_micros + used,
                stretch=(self.stretch[0] + used, self.stretch[1] + least),
                year=(self.year[0] + by_month, self.year[1] + by_year),
            )
            if tomorrow == _month_end(self.today, self.anchor):
                found = found._stretch_ends()
            if tomorrow == _next_same_day(now.year_since, self.today):
                found = replace(found, year=(0, 0))
        if found.pending is not None and found.pending[0] == tomorrow:
            _, plan, period = found.pending
            return replace(found, pending=None)._become(plan, period)
        return found

    def _become(self, plan: Plan | None, period: BillingPeriod) -> Naive:
        """Another plan is in force from today on."""
        found = self._stretch_ends()
        was_yearly = self.now is not None and self.now.period == "yearly"
        stays_yearly = was_yearly and plan is not None and period == "yearly"
        if was_yearly and not stays_yearly:
            found = replace(found, due_micros=found.due_micros + max(0, self.year[0] - self.year[1]))
        since = self.now.year_since if self.now is not None and stays_yearly else self.today
        return replace(
            found,
            now=None if plan is None else InForce(plan, period, since),
            begun=True,
            year=found.year if stays_yearly else (0, 0),
        )

    def _stretch_ends(self) -> Naive:
        used, least = self.stretch
        return replace(self, due_micros=self.due_micros + max(0, least - used), stretch=(0, 0))


@cache
def costs_of(plan: Plan, year_since: date, quantity: int, day: date, anchor: int) -> tuple[int, int, int, int]:
    """What a day costs: base price by the month and by the year, units, and the least."""
    month_end = _month_end(day, anchor)
    month_start = _month_start(day, anchor)
    year_end = _next_same_day(year_since, day)
    year_start = max(d for d in (_same_day(year_since, year_end.year - n) for n in (1, 2)) if d <= day)
    month = ((day - month_start).days, (month_end - month_start).days)
    units = sum(share(max(0, quantity - c.included) * c.unit_price_micros, *month) for c in plan.components)
    by_year = share(plan.yearly_price_micros or 0, (day - year_start).days, (year_end - year_start).days)
    return share(plan.price_micros, *month), by_year, units, share(plan.minimum_micros, *month)


def share(price_micros: int, passed: int, days: int) -> int:
    """Today's share of a price: all until tonight, less all until this morning."""
    return round(price_micros * Fraction(passed + 1, days)) - round(price_micros * Fraction(passed, days))


def _same_day(first: date, year: int) -> date:
    return date(year, first.month, min(first.day, monthrange(year, first.month)[1]))


@cache
def _next_same_day(first: date, day: date) -> date:
    """The next anniversary after a day."""
    return next(d for year in range(day.year, day.year + 3) if (d := _same_day(first, year)) > day and d > first)


@cache
def _month_end(day: date, anchor: int) -> date:
    """The next day after `day` on which a month begins."""
    found = day + DAY
    while found.day != min(anchor, monthrange(found.year, found.month)[1]):
        found += DAY
    return found


@cache
def _month_start(day: date, anchor: int) -> date:
    while day.day != min(anchor, monthrange(day.year, day.month)[1]):
        day -= DAY
    return day
