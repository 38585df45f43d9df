"""Owns computing a line of plan charges again: from the account's subscription and counts, and the catalog's terms.

Settled days are never opened again, so what they were charged by is still there. Only where the catalog has lost the
version of the prices, the line's own stand in for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from billing_mcp.domain.accrual import BASE, MINIMUM, ComponentCount, accrue, earned_micros
from billing_mcp.domain.ledger import LineItem
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.periods import Period, period_of, year_of
from billing_mcp.domain.plan_terms import PlanBook
from billing_mcp.domain.plan_years import discount_taken_back, takes_back_a_discount
from billing_mcp.domain.subscriptions import Phase, Subscription


@dataclass(frozen=True, slots=True)
class PlanHistory:
    """The plans an account was on, what they counted, and the terms of all plans."""

    subscription: Subscription
    counts: Sequence[ComponentCount]
    plans: PlanBook


@dataclass(frozen=True, slots=True)
class PlanLine:
    """What a line comes to, and how; `note` is what else there is to say of it, `problem` what is wrong beside that."""

    amount_micros: int
    why: str
    note: str = ""
    problem: str = ""


def plan_line_again(line: LineItem, start: date, end: date, history: PlanHistory) -> PlanLine:
    """A line for the days from one to another, or for the discount that was taken back on the first."""
    taken_back = takes_back_a_discount(line)
    phase = history.subscription.phase_on(start - timedelta(days=1) if taken_back else start)
    told = line.metadata or {}
    version = (phase.price_version if phase else None) or told.get("version")
    plan_id = told.get("plan_id", "")
    if version is None:
        return _by_its_own_prices(line, start, end, history, phase, _as_of_now(line, plan_id, history.plans))
    if history.plans.named(plan_id, version) is None:
        lost = f"The catalog has no version {version} of {plan_id} any more: the prices of the line stand in for it."
        return _by_its_own_prices(line, start, end, history, phase, lost)
    computed = _left(start, history) if taken_back else _used(start, end, history)
    for again in computed:
        days = (again.component_type, again.period_start, again.period_end)
        if days == (line.component_type, line.period_start, line.period_end):
            return PlanLine(
                again.amount_micros, _why(again, _period(again, start, history)), problem=_other(line, again)
            )
    return PlanLine(0, "the account's plans and counts come to no such line")


def _used(start: date, end: date, history: PlanHistory) -> tuple[LineItem, ...]:
    subscription = history.subscription
    spans = subscription.spans(start, end)
    return accrue(spans, history.counts, history.plans, anchor_day=subscription.anchor_day)


def _left(day: date, history: PlanHistory) -> tuple[LineItem, ...]:
    """What was taken back on a day, if a year was left on it."""
    subscription = history.subscription
    lines: list[LineItem] = []
    for left_on, year in subscription.years_left(day - timedelta(days=1), day):
        spans, anchor_day = subscription.spans(year.start, left_on), subscription.anchor_day
        lines += discount_taken_back(spans, history.plans, year, left_on=left_on, anchor_day=anchor_day)
    return tuple(lines)


def _period(line: LineItem, start: date, history: PlanHistory) -> Period:
    """What a line's price is for: the month, or the year of a price per year."""
    year_start = (line.metadata or {}).get("year_start")
    if year_start is not None:
        return year_of(date.fromisoformat(year_start), first=date.fromisoformat(year_start))
    return period_of(start, anchor_day=history.subscription.anchor_day)


def _other(line: LineItem, again: LineItem) -> str:
    """What a line says of quantity and price, where it is something else."""
    said, right = (f"{each.quantity} x {format_micros(each.unit_price_micros)}" for each in (line, again))
    return "" if said == right else f"the line {line.description!r} says {said}, and it was {right}"


def _why(line: LineItem, period: Period) -> str:
    """The arithmetic of a line that was computed."""
    told = line.metadata or {}
    amount, price = format_micros(line.amount_micros), format_micros(line.unit_price_micros)
    days = f"{told['days']} of the {period.days} days from {period.start}"
    if takes_back_a_discount(line):
        by_month, by_year = (format_micros(int(told[name])) for name in ("by_month_micros", "by_year_micros"))
        return f"{days} cost {by_month} by the month and {by_year} by the year: {by_month} - {by_year} = {amount}"
    if line.component_type == MINIMUM:
        due, used = (format_micros(int(told[name])) for name in ("minimum_micros", "used_micros"))
        return f"at least {price} a month, {days} = {due}, of which {used} was used: {due} - {used} = {amount}"
    counted = f"{told['counted']} counted, {told['included']} included: " if "counted" in told else ""
    each = "year" if "year_start" in told else "month"
    return f"{counted}{line.quantity} {line.unit} x {price} a {each}, {days} = {amount}"


def _by_its_own_prices(
    line: LineItem, start: date, end: date, history: PlanHistory, phase: Phase | None, note: str
) -> PlanLine:
    """The arithmetic of a line with the quantity and the price that it has itself."""
    if takes_back_a_discount(line) or line.component_type == MINIMUM:
        return PlanLine(line.amount_micros, "as it was posted", note)
    yearly = line.component_type == BASE and phase is not None and phase.billing_period == "yearly"
    if phase is not None and yearly:
        period = year_of(start, first=phase.year_since)
    else:
        period = period_of(start, anchor_day=history.subscription.anchor_day)
    amount = earned_micros(stored_number(line.quantity), line.unit_price_micros, period, start, end)
    price, days = format_micros(line.unit_price_micros), f"{(end - start).days} of the {period.days} days"
    each = "year" if yearly else "month"
    why = f"{line.quantity} {line.unit} x {price} a {each}, {days} from {period.start} = {format_micros(amount)}"
    return PlanLine(amount, why, note)


def _as_of_now(line: LineItem, plan_id: str, plans: PlanBook) -> str:
    """What the catalog says of a line from before prices had versions, where it is something else."""
    plan = next(reversed(plans.versions.get(plan_id, ())), None)
    priced = {} if plan is None else {each.component_type: each.unit_price_micros for each in plan.components}
    today = priced.get(line.component_type, plan.price_micros if plan and line.source == "plan" else None)
    if today == line.unit_price_micros:
        return ""
    stands = "has no such price" if today is None else f"says {format_micros(today)}"
    then = format_micros(line.unit_price_micros)
    return f"The catalog now {stands} for {line.description}; it was {then} then."


def stored_number(text: str) -> int:
    """A stored number; 0 for what is none."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 20 else 0
