"""billing.current_plan.*: the plan an account is on."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from billing_mcp.domain.accrual import PlanId
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.plans import PlanStatus, plan_status
from billing_mcp.kernel.arguments import AccountId
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource
from billing_mcp.operations.account import load_account

CURRENT_PLAN = Resource("current_plan", doc="The plan an account is on.")


class CurrentPlan(TypedDict):
    """The plan in force. Without one, plan_id is "none" and price "0.00"."""

    plan_id: PlanId | Literal["none"]
    plan_name: str
    price: str
    currency: str
    status: PlanStatus
    billing_period: Literal["monthly", "none"]
    can_cancel_plan: NotRequired[bool]
    can_change_plan: NotRequired[bool]


@CURRENT_PLAN.operation(requires=Permission.VIEW, route="GET /current-plan")
async def get(ctx: Context, *, account_id: AccountId) -> CurrentPlan:
    """The plan in force, its base price per month, its status, and whether it can be changed or canceled.

    Errors: not_found.
    """
    record, account = await load_account(ctx.tx, ctx.catalog, account_id)
    subscription = account.subscription
    status = plan_status(subscription, record.status, ctx.today)
    plan_id = subscription.plan_on(ctx.today)
    if plan_id is None:
        return {
            "billing_period": "none",
            "currency": account.wallet.currency,
            "plan_id": "none",
            "plan_name": "No plan",
            "price": "0.00",
            "status": status,
            "can_cancel_plan": False,
            "can_change_plan": record.status == "active",
        }
    plan = ctx.catalog.plans[plan_id]
    return {
        "billing_period": "monthly",
        "currency": plan.currency,
        "plan_id": plan.plan_id,
        "plan_name": plan.name,
        "price": format_micros(plan.price_micros),
        "status": status,
        "can_cancel_plan": status != "canceling",
        "can_change_plan": record.status == "active",
    }
