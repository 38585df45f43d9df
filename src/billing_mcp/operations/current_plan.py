"""billing.current_plan.*: the plan an account is on."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from billing_mcp.domain.money import format_micros
from billing_mcp.domain.plan_terms import PlanId
from billing_mcp.domain.plans import PlanStatus, plan_status
from billing_mcp.kernel.arguments import AccountId
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource
from billing_mcp.operations.account import load_account

CURRENT_PLAN = Resource("current_plan", doc="The plan an account is on.")


class CurrentPlan(TypedDict):
    """The plan in force, and its price for a `billing_period` under the version of its prices that the account keeps.

    Without one, plan_id is "none" and price "0.00".
    """

    plan_id: PlanId | Literal["none"]
    plan_name: str
    price: str
    currency: str
    status: PlanStatus
    billing_period: Literal["monthly", "yearly", "none"]
    can_cancel_plan: NotRequired[bool]
    can_change_plan: NotRequired[bool]
    price_version: NotRequired[str]


@CURRENT_PLAN.operation(requires=Permission.VIEW, route="GET /current-plan")
async def get(ctx: Context, *, account_id: AccountId) -> CurrentPlan:
    """The plan in force, its base price per month or year, its status, and whether it can be changed or canceled.

    Errors: not_found.
    """
    record, account = await load_account(ctx.tx, ctx.catalog, account_id)
    subscription = account.subscription
    status = plan_status(subscription, record.status, ctx.today)
    phase = subscription.phase_on(ctx.today)
    if phase is None or phase.plan_id is None:
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
    plan = account.plans.terms(phase.plan_id, phase.price_version, phase.starts_on)
    return {
        "billing_period": phase.billing_period,
        "currency": plan.currency,
        "plan_id": plan.plan_id,
        "plan_name": plan.name,
        "price": format_micros(plan.base_micros(phase.billing_period)),
        "price_version": plan.version,
        "status": status,
        "can_cancel_plan": status != "canceling",
        "can_change_plan": record.status == "active",
    }
