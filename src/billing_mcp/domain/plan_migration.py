"""Owns moving subscriptions to other prices of the plan that they are on.

A pending change or cancel stays as it is: prices that are moved on a later day than that are not moved, and a pending
change that leads to the same plan on that day or later gets the new ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from billing_mcp.domain.plan_terms import Plan, PlanBook
from billing_mcp.domain.subscriptions import Phase, Subscription

MigrationStatus = Literal["migrated", "already", "leaves", "not_sold_yearly"]
"""Moved; on these prices by then; on no plan or another one by then; paid by the year, and they have none for it."""


@dataclass(frozen=True, slots=True)
class Migration:
    """What became of a subscription: by which version it was, and is from a day on."""

    status: MigrationStatus
    on: date
    previous_version: str | None
    subscription: Subscription


def migrate(subscription: Subscription, plans: PlanBook, to: Plan, *, on: date | None, today: date) -> Migration:
    """Move a subscription to the terms `to` of its plan from a day on.

    By default it is the day on which what it pays for ends: its month, or the year of a plan that is paid by the year.
    """
    begun = max([today, *(phase.starts_on for phase in subscription.phases[:1])])
    day = on or subscription.period_on(begun).end
    phase = subscription.phase_on(day)
    if phase is None or phase.plan_id != to.plan_id:
        return Migration("leaves", day, None, subscription)
    before = plans.terms(to.plan_id, phase.price_version, phase.starts_on).version
    following = _following(subscription, day, to)
    if to.yearly_price_micros is None and any(each.billing_period == "yearly" for each in (phase, *following)):
        return Migration("not_sold_yearly", day, before, subscription)
    moved = _moved(subscription, phase, following, day, to)
    if before == to.version and all(each.price_version == to.version for each in following):
        return Migration("already", day, before, subscription)
    return Migration("migrated", day, before, moved)


def _following(subscription: Subscription, day: date, to: Plan) -> tuple[Phase, ...]:
    """The phases after a day that go on with the plan."""
    following: list[Phase] = []
    for phase in subscription.phases:
        if phase.starts_on > day:
            if phase.plan_id != to.plan_id:
                break
            following.append(phase)
    return tuple(following)


def _moved(subscription: Subscription, phase: Phase, following: tuple[Phase, ...], day: date, to: Plan) -> Subscription:
    year = phase.year_since if phase.billing_period == "yearly" else None
    if phase.starts_on == day:
        moving = replace(phase, price_version=to.version)
    else:
        moving = Phase(day, phase.plan_id, phase.billing_period, to.version, year, migrates=True)
    earlier = tuple(each for each in subscription.phases if each.starts_on < day)
    # Those that would move it to yet other prices have nothing to do any more.
    later = tuple(replace(each, price_version=to.version) for each in following if not each.migrates)
    rest = tuple(each for each in subscription.phases if each.starts_on > day)[len(following) :]
    return replace(subscription, phases=(*earlier, moving, *later, *rest))
