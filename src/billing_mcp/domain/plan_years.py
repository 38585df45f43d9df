"""Owns leaving a plan that is paid by the year before its year is over: the discount on the days used is taken back.

What those days cost by the month, less what they cost by the year, is due on the day of leaving; never less than none.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from billing_mcp.domain.accrual import BASE, PlanSpan, earned_micros
from billing_mcp.domain.ledger import LineItem
from billing_mcp.domain.periods import Period, split_by_period, year_of
from billing_mcp.domain.plan_terms import Plan, PlanBook

DISCOUNT = "yearly_discount"
"""The key, in the metadata of a line, that tells it from one for days of use; its value is TAKEN_BACK."""
TAKEN_BACK = "taken_back"


def year_left(first: date, left_on: date) -> Period | None:
    """The year that is left on a day, of those that begin with `first`; None where none has begun, or it is over."""
    if left_on <= first:
        return None
    year = year_of(left_on - timedelta(days=1), first=first)
    return None if year.end == left_on else year


def discount_taken_back(
    spans: Sequence[PlanSpan], plans: PlanBook, year: Period, *, left_on: date, anchor_day: int
) -> tuple[LineItem, ...]:
    """The line for a year that is left, by the spans of its days until then: one, or none."""
    by_month = by_year = 0
    plan: Plan | None = None
    for span in spans:
        plan = plans.terms(span.plan_id, span.version, span.since)
        by_year += earned_micros(1, plan.year_micros, year, span.start, span.end)
        for period, start, end in split_by_period(span.start, span.end, anchor_day=anchor_day):
            by_month += earned_micros(1, plan.price_micros, period, start, end)
    if plan is None or by_month <= by_year:
        return ()
    amount, days = by_month - by_year, (left_on - year.start).days
    return (
        LineItem(
            component_type=BASE,
            description=f"{plan.name}: yearly discount taken back for {days} days from {year.start}",
            quantity="1",
            unit="unit",
            unit_price_micros=amount,
            amount_micros=amount,
            source="plan",
            period_start=left_on.isoformat(),
            period_end=(left_on + timedelta(days=1)).isoformat(),
            metadata={
                "plan_id": plan.plan_id,
                "version": plan.version,
                DISCOUNT: TAKEN_BACK,
                "year_start": year.start.isoformat(),
                "days": str(days),
                "days_in_period": str(year.days),
                "by_month_micros": str(by_month),
                "by_year_micros": str(by_year),
            },
        ),
    )


def takes_back_a_discount(line: LineItem) -> bool:
    """Whether a line takes a discount back, and is not for days of use."""
    return (line.metadata or {}).get(DISCOUNT) == TAKEN_BACK
