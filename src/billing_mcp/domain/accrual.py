"""Owns arrears: what a subscription has used, day by day, and not yet paid for.

A price per month is earned day by day: after `d` of a period's `n` days exactly
`round(quantity * price * d / n)` is due. Each line takes the difference of two such sums, so a
period settled in any number of parts costs to the micro what it costs in one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from billing_mcp.domain.ledger import LineItem
from billing_mcp.domain.money import divide_half_even
from billing_mcp.domain.periods import Period, split_by_period

PlanId = Literal["smtp_per_mailbox", "smtp_per_proxy"]

BASE = "base"


@dataclass(frozen=True, slots=True)
class Component:
    """What a plan counts, and its price per unit and month."""

    component_type: str
    unit: str
    name: str
    unit_price_micros: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan of the catalog: a price per month, and a price per unit of each component."""

    plan_id: PlanId
    name: str
    description: str
    currency: str
    price_micros: int
    components: tuple[Component, ...]


@dataclass(frozen=True, slots=True)
class ComponentCount:
    """How many units there are from a day on, until a later count replaces it."""

    component_type: str
    effective_on: date
    quantity: int


@dataclass(frozen=True, slots=True)
class PlanSpan:
    """The days during which one plan is in force."""

    plan_id: str
    start: date
    end: date


def accrue(
    spans: Sequence[PlanSpan], counts: Sequence[ComponentCount], plans: Mapping[str, Plan], *, anchor_day: int
) -> tuple[LineItem, ...]:
    """A line for each plan, component, quantity and period in the spans, without empty ones."""
    lines: list[LineItem] = []
    for span in spans:
        plan = plans[span.plan_id]
        for period, start, end in split_by_period(span.start, span.end, anchor_day=anchor_day):
            lines.append(_line(plan, BASE, "month", plan.name, 1, plan.price_micros, period, start, end))
            for component in plan.components:
                for quantity, since, until in _runs(component.component_type, counts, start, end):
                    lines.append(
                        _line(
                            plan, component.component_type, component.unit, component.name,
                            quantity, component.unit_price_micros, period, since, until,
                        )
                    )  # fmt: skip
    return tuple(line for line in lines if line.amount_micros)


def total_micros(lines: Sequence[LineItem]) -> int:
    """The sum of the lines, in micros."""
    return sum(line.amount_micros for line in lines)


def earned_micros(quantity: int, price_micros: int, period: Period, start: date, end: date) -> int:
    """What so many units at a price per month come to for the days from `start` to `end` of a period."""

    def until(day: date) -> int:
        return divide_half_even(quantity * price_micros * (day - period.start).days, period.days)

    return until(end) - until(start)


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


def _line(
    plan: Plan,
    component_type: str,
    unit: str,
    name: str,
    quantity: int,
    price_micros: int,
    period: Period,
    start: date,
    end: date,
) -> LineItem:
    days = (end - start).days
    return LineItem(
        component_type=component_type,
        description=f"{name}, {days} of {period.days} days" if days < period.days else name,
        quantity=str(quantity),
        unit=unit,
        unit_price_micros=price_micros,
        amount_micros=earned_micros(quantity, price_micros, period, start, end),
        source="plan" if component_type == BASE else "component_count",
        period_start=start.isoformat(),
        period_end=end.isoformat(),
        metadata={"plan_id": plan.plan_id, "days": str(days), "days_in_period": str(period.days)},
    )
