"""billing.alerts.*: being told when the balance falls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from billing_mcp.domain.alerts import Measures, Threshold, ThresholdKind, kept, level_micros, recovery_micros
from billing_mcp.domain.clock import iso
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.events import Event
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.topups import MAX_MICROS
from billing_mcp.kernel.arguments import AccountId, Amount, Takes, micros_of
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource
from billing_mcp.operations.balance_watch import look_at_balance, measures_of
from billing_mcp.store.watches import Alerts

ALERTS = Resource("alerts", doc="Being told when the balance falls.")

COOLDOWN = timedelta(hours=24)
MAX_THRESHOLDS = 20

Percent = Annotated[int, Field(ge=1, le=100), Takes("a whole number from 1 to 100", ("20",))]
Days = Annotated[int, Field(ge=1, le=365), Takes("a whole number from 1 to 365", ("7",))]
Hours = Annotated[int, Field(ge=0, le=720), Takes("a whole number from 0 to 720", ("24",))]


class AlertThreshold(TypedDict):
    """A threshold. `level` is the balance it lies at now, null where there is nothing yet to compute it from.

    `low` is whether it has been crossed; it has recovered at `recovers_at`.
    """

    type: ThresholdKind
    value: str
    level: str | None
    recovers_at: str | None
    low: bool
    told_at: str | None


class AlertsDetails(TypedDict):
    """The thresholds of an account."""

    thresholds: list[AlertThreshold]
    cooldown_hours: int
    available: str
    currency: str


@ALERTS.operation(requires=Permission.VIEW, route="GET /alerts", own_route="GET /alerts")
async def get(ctx: Context, *, account_id: AccountId) -> AlertsDetails:
    """The alerts of the account, at which balance each lies now, and which are crossed.

    Errors: not_found.
    """
    await ctx.tx.accounts.get(account_id)
    return await _shown(ctx, account_id)


@ALERTS.operation(requires=Permission.MANAGE, route="PUT /alerts", own_route="PUT /alerts")
async def set_(
    ctx: Context,
    *,
    account_id: AccountId,
    amounts: list[Amount] | None = None,
    percent_of_last_topup: list[Percent] | None = None,
    runway_days: list[Days] | None = None,
    cooldown_hours: Hours | None = None,
) -> AlertsDetails:
    """Tell the account's webhooks once when the available balance falls below a level, and once when it recovers.

    Levels are amounts, percents of the last top-up, or days of recent use. A list replaces those of its kind, [] ends
    them, and what is left out stays. It has recovered a tenth above its level (at least 1.00). Within the cooldown
    the same threshold is not told of again. One that is below already is told of now.
    Errors: invalid_argument, not_found.
    """
    await ctx.tx.accounts.get(account_id)
    before = await ctx.tx.watches.alerts(account_id) or Alerts(account_id, COOLDOWN)
    wanted: dict[ThresholdKind, list[int] | None] = {
        "amount": None if amounts is None else [_level(each) for each in amounts],
        "percent_of_last_topup": percent_of_last_topup,
        "runway_days": runway_days,
    }
    names = [
        (kind, value)
        for kind, values in wanted.items()
        for value in (values if values is not None else [each.value for each in before.thresholds if each.kind == kind])
    ]
    thresholds = kept(before.thresholds, names)
    if len(thresholds) > MAX_THRESHOLDS:
        given: dict[str, Sequence[object] | None] = {
            "amounts": amounts,
            "percent_of_last_topup": percent_of_last_topup,
            "runway_days": runway_days,
        }
        raise InvalidArgument(
            f"an account has at most {MAX_THRESHOLDS} thresholds; these are {len(thresholds)}",
            field=max(given, key=lambda name: len(given[name] or ())),
            hint="Three say it: amounts=['50.00', '10.00'], runway_days=[7].",
        )
    cooldown = before.cooldown if cooldown_hours is None else timedelta(hours=cooldown_hours)
    after = replace(before, cooldown=cooldown, thresholds=thresholds)
    await ctx.tx.watches.save_alerts(after)
    ctx.tx.watches.note(account_id, "alerts", told(before), told(after))
    await ctx.tx.outbox.add(Event(account_id, "billing.alerts.updated", {"thresholds": told(after)}))
    await look_at_balance(ctx.tx, ctx.catalog, account_id)
    return await _shown(ctx, account_id)


def told(alerts: Alerts) -> str:
    """Alerts in a line, as people read them among effects."""
    words = {"amount": "{}", "percent_of_last_topup": "{} %", "runway_days": "{} days"}
    return ", ".join(words[each.kind].format(_value(each)) for each in alerts.thresholds) or "none"


def _level(amount: Amount) -> int:
    micros = micros_of(amount)
    if not 0 < micros <= MAX_MICROS:
        raise InvalidArgument(
            f"an alert lies above 0 and at most at {format_micros(MAX_MICROS)}; got {format_micros(micros)}",
            field="amounts",
            hint="Write amounts=['50.00', '10.00'].",
        )
    return micros


def _value(threshold: Threshold) -> str:
    return format_micros(threshold.value) if threshold.kind == "amount" else str(threshold.value)


async def _shown(ctx: Context, account_id: str) -> AlertsDetails:
    alerts = await ctx.tx.watches.alerts(account_id) or Alerts(account_id, COOLDOWN)
    wallet = await ctx.tx.ledger.wallet(account_id)
    measures = await measures_of(ctx.tx, ctx.catalog, alerts)
    return {
        "thresholds": [_threshold(each, measures) for each in alerts.thresholds],
        "cooldown_hours": alerts.cooldown // timedelta(hours=1),
        "available": format_micros(wallet.available_micros),
        "currency": wallet.currency,
    }


def _threshold(threshold: Threshold, measures: Measures) -> AlertThreshold:
    level = level_micros(threshold, measures)
    return {
        "type": threshold.kind,
        "value": _value(threshold),
        "level": None if level is None else format_micros(level),
        "recovers_at": None if level is None else format_micros(recovery_micros(level)),
        "low": threshold.low,
        "told_at": None if threshold.told_at is None else iso(threshold.told_at),
    }
