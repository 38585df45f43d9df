"""billing.plans.*: the plans there are, and what each would mean for an account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from typing_extensions import TypedDict

from billing_mcp.domain import plan_quotes
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.plan_terms import BillingPeriod, Plan, PlanId
from billing_mcp.domain.plans import Account
from billing_mcp.domain.pricing import Channel
from billing_mcp.domain.projection import messages_micros
from billing_mcp.domain.tiers import standing
from billing_mcp.kernel.arguments import AccountId
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource
from billing_mcp.operations.account import load_account
from billing_mcp.operations.traffic import ChannelNow, Used, channels_now

PLANS = Resource("plans", doc="The plans there are, their prices, and what changing to each would cost.")
MONTH_DAYS = 30
"""So many days, with today, are what messages of a month are projected from."""


class PlanComponent(TypedDict):
    """What a plan counts, the price per unit and month above those included, and how many the account has today."""

    component_type: str
    unit: str
    unit_price: str
    quantity: int
    included: int


class ChangeDueNow(TypedDict):
    """What a change would charge now, and what the wallet lacks for it; `possible` is false if it would be refused."""

    due: str
    shortfall: str
    possible: bool


class ChangeDueLater(TypedDict):
    """What a change for the day on which the current month, or plan year, ends charges on it."""

    on: str
    due: str


class ProjectedMonth(TypedDict):
    """A month at today's counts, and with the messages of the last 30 days at the tiers of this plan."""

    plan: str
    messages: str
    total: str


class YearlyOffer(TypedDict):
    """The same plan paid by the year. A projected month has a twelfth of its price."""

    price: str
    current: bool
    change_now: ChangeDueNow
    change_at_period_end: ChangeDueLater | None
    projected_month: ProjectedMonth


class PlanOffer(TypedDict):
    """A plan at the prices that a change to it gets today, by the month; `yearly` is null where it is not sold so.

    `current` is whether the account is on the plan, on whatever `version` of its prices. `change_at_period_end` is
    null without a plan, or where the change would be refused. `minimum` is the least that a month costs.
    """

    plan_id: PlanId
    price: str
    monthly_total: str
    current: bool
    change_now: ChangeDueNow
    yearly: YearlyOffer | None
    name: str
    change_at_period_end: ChangeDueLater | None
    projected_month: ProjectedMonth
    currency: str
    minimum: str
    version: str
    components: list[PlanComponent]
    description: str
    billing_period: Literal["monthly"]


class PlanOffers(TypedDict):
    """All plans of the catalog."""

    items: list[PlanOffer]


@PLANS.operation(requires=Permission.VIEW, route="GET /plans")
async def list_(ctx: Context, *, account_id: AccountId) -> PlanOffers:
    """All plans with their prices; for this account what a change to each would charge, and a projected month on it.

    The projected month is the plan at today's counts, and the messages of the last 30 days rated again with
    today's prices at the tiers that the plan would give.
    Errors: not_found.
    """
    _, account = await load_account(ctx.tx, ctx.catalog, account_id)
    now = await channels_now(ctx.tx, ctx.catalog.book, await ctx.tx.states.get(account_id))
    used = await ctx.tx.messages.usage(account_id, ctx.today - timedelta(days=MONTH_DAYS - 1), ctx.today)
    desk = _Desk(ctx, account, now, used)
    return {"items": [desk.offer(plan) for plan in ctx.catalog.plans.offered(ctx.today)]}


@dataclass(frozen=True, slots=True)
class _Desk:
    """All that an offer to one account needs to know."""

    ctx: Context
    account: Account
    channels: Mapping[Channel, ChannelNow]
    used: Used

    def offer(self, plan: Plan) -> PlanOffer:
        """A plan, for this account."""
        quantities = self._quantities()
        messages = self._messages_micros(plan)
        phase = self.account.subscription.phase_on(self.ctx.today)
        return {
            "plan_id": plan.plan_id,
            "name": plan.name,
            "description": plan.description,
            "billing_period": "monthly",
            "currency": plan.currency,
            "price": format_micros(plan.price_micros),
            "minimum": format_micros(plan.minimum_micros),
            "version": plan.version,
            "components": [
                {
                    "component_type": c.component_type,
                    "unit": c.unit,
                    "unit_price": format_micros(c.unit_price_micros),
                    "quantity": quantities.get(c.component_type, 0),
                    "included": c.included,
                }
                for c in plan.components
            ],
            "monthly_total": format_micros(plan.month_micros(quantities, "monthly")),
            "current": phase is not None and phase.plan_id == plan.plan_id,
            "change_now": self._now(plan, "monthly"),
            "change_at_period_end": self._at_period_end(plan, "monthly"),
            "projected_month": _projected(plan.month_micros(quantities, "monthly"), messages),
            "yearly": None if plan.yearly_price_micros is None else self._yearly(plan, messages),
        }

    def _yearly(self, plan: Plan, messages_micros: int) -> YearlyOffer:
        phase = self.account.subscription.phase_on(self.ctx.today)
        on_it = phase is not None and (phase.plan_id, phase.billing_period) == (plan.plan_id, "yearly")
        return {
            "price": format_micros(plan.year_micros),
            "current": on_it,
            "change_now": self._now(plan, "yearly"),
            "change_at_period_end": self._at_period_end(plan, "yearly"),
            "projected_month": _projected(plan.month_micros(self._quantities(), "yearly"), messages_micros),
        }

    def _quantities(self) -> dict[str, int]:
        """How many of each component there are today."""
        return {c.component_type: c.quantity for c in self.account.counts if c.effective_on <= self.ctx.today}

    def _now(self, plan: Plan, billing_period: BillingPeriod) -> ChangeDueNow:
        found = plan_quotes.change_now(self.account, plan, billing_period, self.ctx.now)
        return {
            "due": format_micros(found.due_micros),
            "shortfall": format_micros(found.shortfall_micros),
            "possible": found.possible,
        }

    def _at_period_end(self, plan: Plan, billing_period: BillingPeriod) -> ChangeDueLater | None:
        """What the change would be on that day: at the prices that are in force on it."""
        subscription, today = self.account.subscription, self.ctx.today
        if subscription.phase_on(today) is None:
            return None
        on = subscription.period_on(today).end
        terms = self.ctx.catalog.plans.on(plan.plan_id, on)
        found = plan_quotes.change_at_period_end(self.account, terms, billing_period, on, self.ctx.now)
        return None if found is None else {"on": found.on.isoformat(), "due": format_micros(found.due_micros)}

    def _messages_micros(self, plan: Plan) -> int:
        book = self.ctx.catalog.book
        granted = book.plan_tiers.get(plan.plan_id, {})
        tiers = {
            channel: standing(now.state, granted.get(channel), now.tiers).tier for channel, now in self.channels.items()
        }
        return messages_micros(self.used, book.version_on(self.ctx.today), tiers)


def _projected(plan_micros: int, messages_micros: int) -> ProjectedMonth:
    return {
        "plan": format_micros(plan_micros),
        "messages": format_micros(messages_micros),
        "total": format_micros(plan_micros + messages_micros),
    }
