"""billing.auto_reload.*: topping up by itself when the balance falls."""

from __future__ import annotations

from dataclasses import replace
from typing import overload

from typing_extensions import TypedDict

from billing_mcp.domain.clock import iso
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.reloads import AutoReload, ReloadState, checked
from billing_mcp.kernel.arguments import AccountId, Amount, PaymentMethodId, micros_of
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource
from billing_mcp.operations.balance_watch import look_at_balance, reload_event
from billing_mcp.operations.topup_start import method_to_charge

AUTO_RELOAD = Resource("auto_reload", doc="Topping up by itself when the balance falls.")


class AutoReloadDetails(TypedDict):
    """An automatic reload. Amounts are what the wallet gets, without VAT. `next_try_at` is after a failure."""

    enabled: bool
    state: ReloadState
    threshold: str
    amount: str | None
    target: str | None
    payment_method_id: str | None
    monthly_cap: str | None
    reloaded_this_month: str
    topup_id: str | None
    declines: int
    last_failure: str | None
    last_failed_at: str | None
    next_try_at: str | None
    currency: str


@AUTO_RELOAD.operation(requires=Permission.VIEW, route="GET /auto-reload", own_route="GET /auto-reload")
async def get(ctx: Context, *, account_id: AccountId) -> AutoReloadDetails:
    """How the wallet is reloaded, where that stands, and why the last reload failed.

    Errors: not_found.
    """
    await ctx.tx.accounts.get(account_id)
    return await _shown(ctx, await ctx.tx.watches.reload(account_id))


@AUTO_RELOAD.operation(requires=Permission.MANAGE, route="PUT /auto-reload", own_route="PUT /auto-reload")
async def set_(
    ctx: Context,
    *,
    account_id: AccountId,
    enabled: bool,
    threshold: Amount | None = None,
    amount: Amount | None = None,
    target: Amount | None = None,
    payment_method_id: PaymentMethodId | None = None,
    monthly_cap: Amount | None = None,
) -> AutoReloadDetails:
    """Below `threshold`, top up by `amount` (or up to `target`) with the default method or the one named.

    What is left out stays as it was; amount replaces target, and target amount. VAT is added to each charge. A gap
    larger than `amount` is closed by one charge. `monthly_cap` bounds a calendar month (UTC). A decline rests it for
    an hour, the next for two, the third in a row disables it; setting it again arms it, and a balance that is below
    already is reloaded now.
    Errors: no_payment_method, payment_method_not_active, account_not_active, currency_mismatch, not_found.
    """
    record = await ctx.tx.accounts.get(account_id)
    before = await ctx.tx.watches.reload(account_id)
    wanted = replace(
        before,
        enabled=enabled,
        threshold_micros=_micros(threshold, before.threshold_micros),
        amount_micros=_micros(amount, before.amount_micros if target is None else None),
        target_micros=_micros(target, before.target_micros if amount is None else None),
        monthly_cap_micros=_micros(monthly_cap, before.monthly_cap_micros),
        payment_method_id=payment_method_id or before.payment_method_id,
        declines=0,
        last_failure=None if enabled else before.last_failure,
        rests_until=None,
        capped_on=None,
    )
    after = checked(wanted, record.currency)
    if enabled:
        await method_to_charge(ctx.tx, account_id, after.payment_method_id)
    await ctx.tx.watches.save_reload(after)
    ctx.tx.watches.note(account_id, "auto_reload", told(before), told(after))
    await ctx.tx.outbox.add(reload_event(after, "billing.auto_reload.updated", ctx.now))
    await look_at_balance(ctx.tx, ctx.catalog, account_id)
    return await _shown(ctx, await ctx.tx.watches.reload(account_id))


def told(reload: AutoReload) -> str:
    """An automatic reload in a line, as people read it among effects."""
    if not reload.enabled:
        return "off"
    how = f"by {_text(reload.amount_micros)}" if reload.target_micros is None else f"to {_text(reload.target_micros)}"
    cap = f", at most {_text(reload.monthly_cap_micros)} a month" if reload.monthly_cap_micros is not None else ""
    return f"below {format_micros(reload.threshold_micros)} {how}{cap}"


async def _shown(ctx: Context, reload: AutoReload) -> AutoReloadDetails:
    month = ctx.now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    resting = reload.state(ctx.now) == "cooling_down"
    return {
        "enabled": reload.enabled,
        "state": reload.state(ctx.now),
        "threshold": format_micros(reload.threshold_micros),
        "amount": _text(reload.amount_micros),
        "target": _text(reload.target_micros),
        "payment_method_id": reload.payment_method_id,
        "monthly_cap": _text(reload.monthly_cap_micros),
        "reloaded_this_month": format_micros(await ctx.tx.payments.reloaded_micros(reload.account_id, month)),
        "topup_id": reload.topup_id,
        "declines": reload.declines,
        "last_failure": reload.last_failure,
        "last_failed_at": None if reload.last_failed_at is None else iso(reload.last_failed_at),
        "next_try_at": iso(reload.rests_until) if reload.rests_until and resting else None,
        "currency": (await ctx.tx.ledger.wallet(reload.account_id)).currency,
    }


@overload
def _micros(amount: Amount | None, otherwise: int) -> int: ...
@overload
def _micros(amount: Amount | None, otherwise: int | None) -> int | None: ...
def _micros(amount: Amount | None, otherwise: int | None) -> int | None:
    return otherwise if amount is None else micros_of(amount)


def _text(amount_micros: int | None) -> str | None:
    return None if amount_micros is None else format_micros(amount_micros)
