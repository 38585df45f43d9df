"""billing.plans.*: the plans there are."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from billing_mcp.domain.accrual import Plan, PlanId
from billing_mcp.domain.money import format_micros
from billing_mcp.kernel.arguments import AccountId
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource
from billing_mcp.operations.account import load_account

PLANS = Resource("plans", doc="The plans there are, and their prices.")


class PlanComponent(TypedDict):
    """What a plan counts, the price per unit and month, and how many the account has today."""

    component_type: str
    unit: str
    unit_price: str
    quantity: int


class PlanOffer(TypedDict):
    """A plan, its prices per month, and whether the account is on it."""

    plan_id: PlanId
    name: str
    price: str
    monthly_total: str
    current: bool
    currency: str
    components: list[PlanComponent]
    description: str
    billing_period: Literal["monthly"]


class PlanOffers(TypedDict):
    """All plans of the catalog."""

    items: list[PlanOffer]


@PLANS.operation(requires=Permission.VIEW, route="GET /plans")
async def list_(ctx: Context, *, account_id: AccountId) -> PlanOffers:
    """All plans with their prices, and what each would cost this account a month at today's counts.

    Errors: not_found.
    """
    _, account = await load_account(ctx.tx, ctx.catalog, account_id)
    quantities = {c.component_type: c.quantity for c in account.counts if c.effective_on <= ctx.today}
    current = account.subscription.plan_on(ctx.today)
    return {"items": [_offer(plan, quantities, current) for plan in ctx.catalog.plans.values()]}


def _offer(plan: Plan, quantities: dict[str, int], current: str | None) -> PlanOffer:
    used = {c.component_type: quantities.get(c.component_type, 0) for c in plan.components}
    total = plan.price_micros + sum(c.unit_price_micros * used[c.component_type] for c in plan.components)
    return {
        "plan_id": plan.plan_id,
        "name": plan.name,
        "description": plan.description,
        "billing_period": "monthly",
        "currency": plan.currency,
        "price": format_micros(plan.price_micros),
        "components": [
            {
                "component_type": c.component_type,
                "unit": c.unit,
                "unit_price": format_micros(c.unit_price_micros),
                "quantity": used[c.component_type],
            }
            for c in plan.components
        ],
        "monthly_total": format_micros(total),
        "current": plan.plan_id == current,
    }
