"""Owns the terms of plans: what each costs and counts, in dated versions, and which of them hold on a day.

What was once offered stays in the book: a subscription keeps the version that it was made under until it is moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from billing_mcp.domain.money import divide_half_even

PlanId = Literal["smtp_per_mailbox", "smtp_per_proxy"]
BillingPeriod = Literal["monthly", "yearly"]

FIRST_VERSION = "1"
"""What a plan's first version is called where nobody names it."""
_MONTHS = 12


@dataclass(frozen=True, slots=True)
class Component:
    """What a plan counts, its price per unit and month, and how many of them cost nothing."""

    component_type: str
    unit: str
    name: str
    unit_price_micros: int
    included: int = 0

    def billed(self, quantity: int) -> int:
        """How many of so many cost something."""
        return max(0, quantity - self.included)


@dataclass(frozen=True, slots=True)
class Plan:
    """The terms of one version of a plan: prices per month, and one per year where it is sold by the year.

    What base price and components come to is raised to `minimum_micros` a month.
    """

    plan_id: PlanId
    name: str
    description: str
    currency: str
    price_micros: int
    components: tuple[Component, ...]
    version: str = FIRST_VERSION
    valid_from: date = date.min
    yearly_price_micros: int | None = None
    minimum_micros: int = 0

    @property
    def year_micros(self) -> int:
        """The base price of a year. Twelve months where it is not sold by the year any more."""
        return _MONTHS * self.price_micros if self.yearly_price_micros is None else self.yearly_price_micros

    def base_micros(self, billing_period: BillingPeriod) -> int:
        """The base price of a month or of a year."""
        return self.year_micros if billing_period == "yearly" else self.price_micros

    def month_micros(self, quantities: Mapping[str, int], billing_period: BillingPeriod) -> int:
        """What a whole month comes to with so many of each component: of the price of a year a twelfth."""
        base = divide_half_even(self.year_micros, _MONTHS) if billing_period == "yearly" else self.price_micros
        units = sum(c.unit_price_micros * c.billed(quantities.get(c.component_type, 0)) for c in self.components)
        return max(self.minimum_micros, base + units)


@dataclass(frozen=True, slots=True)
class PlanBook:
    """All versions of all plans, by plan, oldest first."""

    versions: Mapping[str, tuple[Plan, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, plans: Iterable[Plan]) -> PlanBook:
        """The book of these terms, in whatever order."""
        versions: dict[str, tuple[Plan, ...]] = {}
        for plan in sorted(plans, key=lambda each: each.valid_from):
            versions[plan.plan_id] = (*versions.get(plan.plan_id, ()), plan)
        return cls(versions)

    def on(self, plan_id: str, day: date) -> Plan:
        """The terms that whoever chooses the plan on a day gets; before the first version, those of the first."""
        found = self.versions[plan_id]
        return next((plan for plan in reversed(found) if plan.valid_from <= day), found[0])

    def named(self, plan_id: str, version: str) -> Plan | None:
        """The terms of a version, if the book has it."""
        return next((plan for plan in self.versions.get(plan_id, ()) if plan.version == version), None)

    def terms(self, plan_id: str, version: str | None, day: date) -> Plan:
        """The terms of a version that a subscription keeps since a day.

        Without one, or if the book has lost it, they are those that were in force on that day.
        """
        kept = None if version is None else self.named(plan_id, version)
        return kept or self.on(plan_id, day)

    def offered(self, day: date) -> tuple[Plan, ...]:
        """The terms of every plan that is chosen on a day."""
        return tuple(self.on(plan_id, day) for plan_id in self.versions)
