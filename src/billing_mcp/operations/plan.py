"""billing.plan.*: changing, cancelling and resuming the plan of an account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NotRequired

from typing_extensions import TypedDict

from billing_mcp.domain import plans
from billing_mcp.domain.clock import iso
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.events import Event
from billing_mcp.domain.plan_terms import BillingPeriod, PlanId
from billing_mcp.domain.plans import AccountStatus, Outcome
from billing_mcp.kernel.arguments import AccountId, Day
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource
from billing_mcp.operations.account import load_account
from billing_mcp.operations.closing import close_ended, schedule
from billing_mcp.operations.debts import freeze

if TYPE_CHECKING:
    from billing_mcp.store.accounts import AccountRecord

PLAN = Resource("plan", doc="Changing, cancelling and resuming a plan.")


class PlanOperation(TypedDict):
    """What a plan operation did. A refusal is an error, so `eligible` is true in every result."""

    status: Literal["completed", "scheduled"]
    account_status: NotRequired[AccountStatus | None]
    effective_at: NotRequired[str | None]
    eligible: NotRequired[bool | None]
    previous_plan_id: NotRequired[str | None]
    target_plan_id: NotRequired[str | None]


@PLAN.operation(requires=Permission.MANAGE, route="POST /change-plan")
async def change(
    ctx: Context,
    *,
    account_id: AccountId,
    plan_id: PlanId,
    effective_date: Day | None = None,
    billing_period: BillingPeriod | None = None,
) -> PlanOperation:
    """Move the account to another plan or billing period, now or on `effective_date` (an ISO date, in UTC).

    Now: what has accrued is charged to the wallet first, then the plan switches; today belongs to
    the new plan. Later: the change is pending and nothing is due until that day. A new change
    replaces a pending change or cancel. Without `billing_period` it stays what it is, or is monthly. Leaving a
    yearly plan before its year is over takes back the discount on the days used.
    Errors: plan_unchanged, insufficient_funds, effective_date_in_past, account_not_active, not_sold_yearly, not_found.
    """
    await close_ended(ctx.tx, ctx.catalog, account_id)
    record, account = await load_account(ctx.tx, ctx.catalog, account_id)
    terms = ctx.catalog.plans.on(plan_id, effective_date or ctx.today)
    outcome = plans.change(account, terms, on=effective_date, now=ctx.now, billing_period=billing_period)
    return await _apply(ctx, record, outcome, event="billing.plan.changed")


@PLAN.operation(requires=Permission.MANAGE, route="POST /cancel-plan")
async def cancel(
    ctx: Context, *, account_id: AccountId, cancel_at_period_end: bool = False, cancel_immediately: bool = False
) -> PlanOperation:
    """Cancel the plan at the end of its month, or year if paid by it; or now with `cancel_immediately=True`.

    Now: what has accrued is charged; what the wallet does not cover stays owed and the account
    becomes past_due. With neither flag the plan ends with the period; both are refused.
    Errors: no_plan, already_canceling, invalid_argument, not_found.
    """
    if cancel_at_period_end and cancel_immediately:
        raise InvalidArgument(
            "cancel_at_period_end and cancel_immediately cannot both be true",
            field="cancel_immediately",
            hint="Write cancel_immediately=True alone, or neither: the plan ends with the billing period.",
        )
    await close_ended(ctx.tx, ctx.catalog, account_id)
    record, account = await load_account(ctx.tx, ctx.catalog, account_id)
    outcome = plans.cancel(account, immediately=cancel_immediately, now=ctx.now)
    return await _apply(ctx, record, outcome, event="billing.plan.canceled")


@PLAN.operation(requires=Permission.MANAGE, route="POST /resume-plan")
async def resume(ctx: Context, *, account_id: AccountId) -> PlanOperation:
    """Undo the pending change or cancel; the current plan goes on.

    Errors: nothing_pending, not_found.
    """
    record, account = await load_account(ctx.tx, ctx.catalog, account_id)
    return await _apply(ctx, record, plans.resume(account, now=ctx.now), event="billing.plan.resumed")


async def _apply(ctx: Context, record: AccountRecord, outcome: Outcome, *, event: str) -> PlanOperation:
    posted = await ctx.tx.ledger.post(outcome.postings)  # first: an overdrawn wallet raises, and all unwinds
    await ctx.tx.subscriptions.save(outcome.subscription)
    if outcome.account_status != record.status:
        await freeze(ctx.tx, record, posted[-1])
    await schedule(ctx.tx, record.account_id)
    result: PlanOperation = {
        "status": "scheduled" if outcome.scheduled else "completed",
        "account_status": outcome.account_status,
        "effective_at": iso(outcome.effective_at),
        "eligible": True,
        "previous_plan_id": outcome.previous_plan_id,
        "target_plan_id": outcome.target_plan_id,
    }
    payload = {
        "status": result["status"],
        "effective_at": iso(outcome.effective_at),
        "previous_plan_id": outcome.previous_plan_id,
        "target_plan_id": outcome.target_plan_id,
        "execution_id": ctx.execution_id,
    }
    await ctx.tx.outbox.add(Event(record.account_id, event, payload))
    return result
