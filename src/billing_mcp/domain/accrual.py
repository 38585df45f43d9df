"""Owns arrears: what a subscription has used, day by day, and not yet paid for.

A price per month is earned day by day: after `d` of a period's `n` days exactly
`round(quantity * price * d / n)` is due. Each line takes the difference of two such sums, so a
period settled in any number of parts costs to the micro what it costs in one. A price per year is
earned in the same way over the days of its year. What a minimum fee adds is due at the end of a
stretch, which is the days of one plan within one period, and is reckoned from its first day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from billing_mcp.domain.ledger import LineItem
from billing_mcp.domain.money import divide_half_even
from billing_mcp.domain.periods import Period, split_by_period, split_by_year
from billing_mcp.domain.plan_terms import BillingPeriod, Component, Plan, PlanBook

BASE = "base"
MINIMUM = "minimum"


@dataclass(frozen=True, slots=True)
class ComponentCount:
    """How many units there are from a day on, until a later count replaces it."""

    component_type: str
    effective_on: date
    quantity: int


@dataclass(frozen=True, slots=True)
class PlanSpan:
    """Days on which one plan is in force on the same terms: those of `version`, or else of the day it `began`."""

    plan_id: str
    start: date
    end: date
    billing_period: BillingPeriod = "monthly"
    version: str | None = None
    began: date | None = None
    """The first day on these terms, which may be charged already; None: `start`."""
    over: bool = False
    """Whether these terms end with the span; else it ends where one looks no further."""
    year_began: date | None = None
    """A day on which its years begin, where it is paid by the year; None: that on which it began."""

    @property
    def since(self) -> date:
        """The first day on these terms."""
        return self.began or self.start

    @property
    def year_since(self) -> date:
        """The first day of its years."""
        return self.year_began or self.since


def accrue(
    spans: Sequence[PlanSpan], counts: Sequence[ComponentCount], plans: PlanBook, *, anchor_day: int
) -> tuple[LineItem, ...]:
    """A line for each plan, component, quantity and period in the spans, without empty ones."""
    lines: list[LineItem] = []
    for span in spans:
        plan = plans.terms(span.plan_id, span.version, span.since)
        for period, start, end in split_by_period(span.start, span.end, anchor_day=anchor_day):
            lines += _used(plan, span, counts, period, start, end)
            if plan.minimum_micros and (end == period.end or (span.over and end == span.end)):
                lines += _missing(plan, span, counts, period, end)
    return tuple(line for line in lines if line.amount_micros)


def total_micros(lines: Sequence[LineItem]) -> int:
    """The sum of the lines, in micros."""
    return sum(line.amount_micros for line in lines)


def earned_micros(quantity: int, price_micros: int, period: Period, start: date, end: date) -> int:
    """What so many units at a price per period come to for the days from `start` to `end` of one."""

    def until(day: date) -> int:
        return divide_half_even(quantity * price_micros * (day - period.start).days, period.days)

    return until(end) - until(start)


def _used(
    plan: Plan, span: PlanSpan, counts: Sequence[ComponentCount], period: Period, start: date, end: date
) -> Iterator[LineItem]:
    """Base price and components for days of one period."""
    if span.billing_period == "yearly":
        for year, since, until in split_by_year(start, end, first=span.year_since):
            yield _base(plan, "yearly", year, since, until)
    else:
        yield _base(plan, "monthly", period, start, end)
    for component in plan.components:
        for quantity, since, until in _runs(component.component_type, counts, start, end):
            yield _counted(plan, component, quantity, period, since, until)


def _missing(
    plan: Plan, span: PlanSpan, counts: Sequence[ComponentCount], period: Period, end: date
) -> Iterator[LineItem]:
    """What the stretch that ends here lacks to the minimum fee of its days."""
    start = max(period.start, span.since)
    used = total_micros(list(_used(plan, span, counts, period, start, end)))
    due = earned_micros(1, plan.minimum_micros, period, start, end)
    if due > used:
        yield LineItem(
            component_type=MINIMUM,
            description=f"{plan.name}, up to the minimum fee{_of_days(period, start, end)}",
            quantity="1",
            unit="month",
            unit_price_micros=plan.minimum_micros,
            amount_micros=due - used,
            source="plan",
            period_start=start.isoformat(),
            period_end=end.isoformat(),
            metadata={**_about(plan, period, start, end), "minimum_micros": str(due), "used_micros": str(used)},
        )


def _runs(
    component_type: str, counts: Sequence[ComponentCount], start: date, end: date
) -> Iterator[tuple[int, date, date]]:
    """The stretches of days within [start, end) during which the quantity stays the same."""
    dated = sorted((c for c in counts if c.component_type == component_type), key=lambda c: c.effective_on)
    quantity = 0
    since = start
    for count in dated:
        if count.effective_on >= end:
            break
        if count.effective_on > since and count.quantity != quantity:
            if quantity:
                yield quantity, since, count.effective_on
            since = count.effective_on
        quantity = count.quantity
    if quantity:
        yield quantity, since, end


def _base(plan: Plan, billing_period: BillingPeriod, period: Period, start: date, end: date) -> LineItem:
    """The base price for days of a month, or of a year of a plan that is paid by the year."""
    yearly = billing_period == "yearly"
    price = plan.base_micros(billing_period)
    told = {"year_start": period.start.isoformat()} if yearly else {}
    return LineItem(
        component_type=BASE,
        description=f"{plan.name}{', yearly' if yearly else ''}{_of_days(period, start, end)}",
        quantity="1",
        unit="year" if yearly else "month",
        unit_price_micros=price,
        amount_micros=earned_micros(1, price, period, start, end),
        source="plan",
        period_start=start.isoformat(),
        period_end=end.isoformat(),
        metadata=_about(plan, period, start, end) | told,
    )


def _counted(plan: Plan, component: Component, quantity: int, period: Period, start: date, end: date) -> LineItem:
    billed, included = component.billed(quantity), component.included
    above = f" above {included} included" if included else ""
    told = {"counted": str(quantity), "included": str(included)} if included else {}
    return LineItem(
        component_type=component.component_type,
        description=f"{component.name}{above}{_of_days(period, start, end)}",
        quantity=str(billed),
        unit=component.unit,
        unit_price_micros=component.unit_price_micros,
        amount_micros=earned_micros(billed, component.unit_price_micros, period, start, end),
        source="component_count",
        period_start=start.isoformat(),
        period_end=end.isoformat(),
        metadata=_about(plan, period, start, end) | told,
    )


def _of_days(period: Period, start: date, end: date) -> str:
    """How many days of a period it is, where it is not all of them."""
    days = (end - start).days
    return f", {days} of {period.days} days" if days < period.days else ""


def _about(plan: Plan, period: Period, start: date, end: date) -> dict[str, str]:
    return {
        "plan_id": plan.plan_id,
        "version": plan.version,
        "days": str((end - start).days),
        "days_in_period": str(period.days),
    }
