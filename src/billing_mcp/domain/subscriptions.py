"""Owns subscriptions: the dated phases that say which plan an account was, is and will be on, and on which terms.

Days are UTC and half-open; the day of a change belongs to the new plan. Nothing has to run
on the day a pending change falls due: a subscription is its dated phases, read as of today.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

from billing_mcp.domain.accrual import PlanSpan
from billing_mcp.domain.periods import Period, period_of, year_of
from billing_mcp.domain.plan_terms import BillingPeriod
from billing_mcp.domain.plan_years import year_left


@dataclass(frozen=True, slots=True)
class Phase:
    """A plan from a day on, until the next phase; no plan is a canceled subscription."""

    starts_on: date
    plan_id: str | None
    billing_period: BillingPeriod = "monthly"
    price_version: str | None = None
    """The version of the plan's prices that it keeps; None: the one in force on its first day."""
    year_starts_on: date | None = None
    """Where it is paid by the year: the day its years begin on, which is earlier if the plan before was, too."""
    migrates: bool = False
    """Whether the platform moved it to other prices of the plan it was on: no change for its customer to undo."""

    @property
    def year_since(self) -> date:
        """The first day of its years."""
        return self.year_starts_on or self.starts_on

    def years_go_on(self, before: Phase) -> bool:
        """Whether it is paid by the same years as the phase before it."""
        paid_yearly = self.plan_id is not None and self.billing_period == "yearly"
        return paid_yearly and before.billing_period == "yearly" and self.year_since == before.year_since


@dataclass(frozen=True, slots=True)
class Subscription:
    """The plans an account was, is and will be on. Every day before `settled_through` is charged.

    `anchor_day` is the day of the month on which its billing periods start: it stays once a plan has begun.
    """

    account_id: str
    anchor_day: int
    settled_through: date
    phases: tuple[Phase, ...] = ()

    def phase_on(self, day: date) -> Phase | None:
        """The phase of a day that has a plan."""
        started = [phase for phase in self.phases if phase.starts_on <= day]
        return started[-1] if started and started[-1].plan_id is not None else None

    def plan_on(self, day: date) -> str | None:
        """The plan in force on a day."""
        phase = self.phase_on(day)
        return phase.plan_id if phase else None

    def has_started(self, day: date) -> bool:
        """Whether there was ever a plan until `day`."""
        return any(phase.starts_on <= day for phase in self.phases)

    def settled(self, day: date) -> Subscription:
        """Every day before `day` is charged; a settled day is never opened again."""
        return replace(self, settled_through=max(self.settled_through, day))

    def pending_after(self, day: date) -> Phase | None:
        """The change or cancel that waits for a later day."""
        return next((phase for phase in self.phases if phase.starts_on > day and not phase.migrates), None)

    def period_on(self, day: date) -> Period:
        """What is paid for on a day: a month, or the year of a plan that is paid by the year."""
        phase = self.phase_on(day)
        if phase is not None and phase.billing_period == "yearly":
            return year_of(day, first=phase.year_since)
        return period_of(day, anchor_day=self.anchor_day)

    def unsettled(self, until: date) -> tuple[PlanSpan, ...]:
        """Which plan is in force on which uncharged days before `until`."""
        return self.spans(self.settled_through, until)

    def spans(self, since: date, until: date) -> tuple[PlanSpan, ...]:
        """Which plan is in force, and on which terms, on the days from one up to another."""
        ends = [*(phase.starts_on for phase in self.phases[1:]), None]
        spans = []
        for phase, end in zip(self.phases, ends, strict=False):
            start, stop = max(phase.starts_on, since), until if end is None else min(end, until)
            if phase.plan_id is not None and start < stop:
                span = PlanSpan(
                    phase.plan_id, start, stop, phase.billing_period, phase.price_version,
                    began=phase.starts_on, over=stop == end, year_began=phase.year_since,
                )  # fmt: skip
                spans.append(span)
        return tuple(spans)

    def years_left(self, since: date, until: date) -> tuple[tuple[date, Period], ...]:
        """When a year was left before it was over, and which: on days after one, up to and with another."""
        left = []
        for before, after in pairwise(self.phases):
            if since < after.starts_on <= until and not after.years_go_on(before):
                year = self._year_left(before, after.starts_on)
                if year is not None:
                    left.append((after.starts_on, year))
        return tuple(left)

    def year_left_by(self, other: Subscription, day: date) -> Period | None:
        """The year that another subscription in this one's place leaves on a day before it is over."""
        before, after = self.phase_on(day), other.phase_on(day)
        if before is None or (after is not None and after.years_go_on(before)):
            return None
        return self._year_left(before, day)

    def with_phase(self, phase: Phase) -> Subscription:
        """The phase replaces all that was to come on its day or later; a migration stays for the plan it is of."""
        kept = (p for p in self.phases if p.starts_on < phase.starts_on)
        return replace(self, phases=_migrating((*kept, phase, *self._migrations_after(phase.starts_on))))

    def without_pending(self, day: date) -> Subscription:
        """Nothing waits for a day after `day` but migrations."""
        kept = (p for p in self.phases if p.starts_on <= day)
        return replace(self, phases=_migrating((*kept, *self._migrations_after(day))))

    def _migrations_after(self, day: date) -> tuple[Phase, ...]:
        return tuple(p for p in self.phases if p.starts_on > day and p.migrates)

    def _year_left(self, phase: Phase, day: date) -> Period | None:
        yearly = phase.plan_id is not None and phase.billing_period == "yearly"
        return year_left(phase.year_since, day) if yearly else None


def _migrating(phases: Iterable[Phase]) -> tuple[Phase, ...]:
    """The phases, each migration on the terms of the one before it, and without those that would move nothing."""
    kept: list[Phase] = []
    for phase in phases:
        if not phase.migrates:
            kept.append(phase)
        elif kept and kept[-1].plan_id == phase.plan_id and kept[-1].price_version != phase.price_version:
            before = kept[-1]
            year = before.year_since if before.billing_period == "yearly" else None
            kept.append(replace(phase, billing_period=before.billing_period, year_starts_on=year))
    return tuple(kept)
