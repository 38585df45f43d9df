"""Owns looking at a balance: debts it pays, what is told of it, whether it is reloaded, and when to look again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.alerts import Crossing, Dip, Measures, Watched, look
from billing_mcp.domain.clock import iso
from billing_mcp.domain.errors import BillingError
from billing_mcp.domain.events import Event
from billing_mcp.domain.ledger import Wallet
from billing_mcp.domain.money import MICROS_PER_CENT, format_micros
from billing_mcp.domain.reloads import AutoReload, declined, due_micros, month_of
from billing_mcp.operations.credits import open_credits_micros
from billing_mcp.operations.debts import collect_debt
from billing_mcp.operations.forecast import forecast_of
from billing_mcp.operations.topup_start import begin_topup, method_to_charge

if TYPE_CHECKING:
    from billing_mcp.store.store import Transaction
    from billing_mcp.store.watches import Alerts

_RUNWAY_EVERY = timedelta(hours=1)
_NOTHING = Watched((), (), None, None)


async def look_at_balance(tx: Transaction, catalog: Catalog, account_id: str, *, dip: Dip | None = None) -> None:
    """Pay what is owed, unfreeze who has recovered, tell of crossed thresholds, reload what is due, and look again.

    The account must be locked. `dip` is a balance that it had since the last look.
    """
    await collect_debt(tx, account_id)
    wallet = await tx.ledger.wallet(account_id)
    owed = -await tx.ledger.receivable_micros(account_id)
    await _unfreeze(tx, wallet, owed)
    reload = await _reload(tx, catalog, wallet, owed)
    watched, runway = await _alerts(tx, catalog, wallet, dip)
    pending = await tx.payments.pending_micros(account_id)
    armed = reload.threshold_micros - pending if reload.state(tx.now) == "armed" else None
    await tx.watches.watch(
        account_id,
        low_micros=_largest(armed, watched.low_micros),
        high_micros=_least(await _money_in(tx, wallet, owed), watched.high_micros),
        check_at=min(_checks(reload, tx.now, runway=runway), default=None),
    )


def reload_event(reload: AutoReload, name: str, now: datetime, *, topup_id: str | None = None) -> Event:
    """What the world is told of an automatic reload."""
    payload = {
        "state": reload.state(now),
        "topup_id": topup_id or reload.topup_id,
        "last_failure": reload.last_failure,
        "declines": str(reload.declines),
        "next_try_at": None if reload.rests_until is None else iso(reload.rests_until),
    }
    return Event(reload.account_id, name, payload)


async def _unfreeze(tx: Transaction, wallet: Wallet, owed_micros: int) -> None:
    """Let spending go on when nothing is missing any more; less than a cent nobody can pay."""
    account = await tx.accounts.get(wallet.account_id)
    if account.status not in ("past_due", "suspended"):
        return
    if wallet.available_micros >= 0 and owed_micros < MICROS_PER_CENT:
        await tx.accounts.set_status(account, "active")
        payload = {"currency": wallet.currency, "available": format_micros(wallet.available_micros)}
        await tx.outbox.add(Event(wallet.account_id, "billing.account.recovered", payload))


async def _money_in(tx: Transaction, wallet: Wallet, owed_micros: int) -> int | None:
    """From which balance on money is of use to a debt: any money, or what fills the hole that is there before it.

    Credits pay no debt.
    """
    if wallet.available_micros < 0:
        return 0
    if owed_micros <= 0:
        return None
    return 1 + max(0, await open_credits_micros(tx, wallet.account_id) - wallet.reserved_micros)


async def _reload(tx: Transaction, catalog: Catalog, wallet: Wallet, owed_micros: int) -> AutoReload:
    """The automatic reload after it was begun, if it is due. It pays the debt, too: one charge for both."""
    reload = await tx.watches.reload(wallet.account_id)
    if reload.state(tx.now) not in ("armed", "capped"):
        return reload
    pending = await tx.payments.pending_micros(wallet.account_id)
    month = datetime(tx.now.year, tx.now.month, 1, tzinfo=tx.now.tzinfo)
    reloaded = await tx.payments.reloaded_micros(wallet.account_id, month)
    due = due_micros(reload, wallet.available_micros - owed_micros, pending, reloaded)
    if due is None:
        return await _saved(tx, reload, replace(reload, capped_on=None))
    if due == 0:
        capped = replace(reload, capped_on=month_of(tx.now))
        return await _saved(tx, reload, capped, event="billing.auto_reload.capped")
    try:
        method = await method_to_charge(tx, wallet.account_id, reload.payment_method_id)
    except BillingError as error:
        failed = declined(reload, error.code, now=tx.now)
        event = "billing.auto_reload.failed" if failed.enabled else "billing.auto_reload.disabled"
        return await _saved(tx, reload, failed, event=event)
    topup = await begin_topup(tx, catalog, method, due, "auto_reload")
    begun = replace(reload, topup_id=topup.topup_id, rests_until=None, capped_on=None)
    return await _saved(tx, reload, begun, event="billing.auto_reload.started")


async def _saved(tx: Transaction, before: AutoReload, after: AutoReload, *, event: str | None = None) -> AutoReload:
    if after != before:
        await tx.watches.save_reload(after)
        if event is not None:
            await tx.outbox.add(reload_event(after, event, tx.now))
    return after


async def measures_of(tx: Transaction, catalog: Catalog, alerts: Alerts) -> Measures:
    """What the levels of an account's thresholds are computed from, as far as they need it."""
    kinds = {each.kind for each in alerts.thresholds}
    topped_up = "percent_of_last_topup" in kinds
    runway = "runway_days" in kinds
    return Measures(
        await tx.payments.last_topup_micros(alerts.account_id) if topped_up else None,
        (await forecast_of(tx, catalog, alerts.account_id)).available_for if runway else None,
    )


async def _alerts(tx: Transaction, catalog: Catalog, wallet: Wallet, dip: Dip | None) -> tuple[Watched, bool]:
    """What there is to watch, and whether some of it changes by time alone."""
    alerts = await tx.watches.alerts(wallet.account_id)
    if alerts is None or not alerts.thresholds:
        return _NOTHING, False
    measures = await measures_of(tx, catalog, alerts)
    watched = look(
        alerts.thresholds,
        wallet,
        measures,
        cooldown=alerts.cooldown,
        now=tx.now,
        dip=dip,
    )
    if watched.thresholds != alerts.thresholds:
        await tx.watches.save_alerts(replace(alerts, thresholds=watched.thresholds))
    for crossing in watched.crossings:
        await tx.outbox.add(_crossed(crossing, wallet))
    return watched, measures.available_for is not None


def _crossed(crossing: Crossing, wallet: Wallet) -> Event:
    threshold = crossing.threshold
    value = format_micros(threshold.value) if threshold.kind == "amount" else str(threshold.value)
    payload = {
        "threshold_type": threshold.kind,
        "threshold": value,
        "level": format_micros(crossing.level_micros),
        "available": format_micros(wallet.available_micros),
        "currency": wallet.currency,
    }
    return Event(wallet.account_id, "billing.balance_low" if crossing.low else "billing.balance_recovered", payload)


def _checks(reload: AutoReload, now: datetime, *, runway: bool) -> Iterable[datetime]:
    """When to look again though nothing has moved."""
    state = reload.state(now)
    if state == "cooling_down" and reload.rests_until is not None:
        yield reload.rests_until
    if state == "capped":
        first = datetime(now.year, now.month, 1, tzinfo=now.tzinfo)
        yield (first + timedelta(days=32)).replace(day=1)
    if runway:
        yield now + _RUNWAY_EVERY


def _largest(*levels: int | None) -> int | None:
    return max((each for each in levels if each is not None), default=None)


def _least(*levels: int | None) -> int | None:
    return min((each for each in levels if each is not None), default=None)
