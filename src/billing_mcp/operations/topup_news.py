"""Owns what is learned of a top-up: the ledger, the account's status, the reload and the alerts follow at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.events import Event
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.payments import Facts
from billing_mcp.domain.reloads import settled
from billing_mcp.domain.topups import UNSETTLED, TopUp, learned
from billing_mcp.operations.balance_watch import look_at_balance, reload_event
from billing_mcp.operations.topup_start import FIRST_CHECK, topup_event

if TYPE_CHECKING:
    from billing_mcp.store.accounts import AccountRecord
    from billing_mcp.store.store import Transaction

_LAST_CHECK = timedelta(days=1)


async def learn(tx: Transaction, catalog: Catalog, account_id: str, topup_id: str, facts: Facts) -> TopUp:
    """Add what a provider has said of a top-up's payment to what is known; what is not new changes nothing.

    Each cent is posted once, whoever tells of it and how often. Raises NotFound.
    """
    account = await tx.accounts.get(account_id, lock=True)
    before = await tx.payments.topup(account_id, topup_id)
    after, postings = learned(before, facts, now=tx.now)
    if after is before:
        return before
    posted = await tx.ledger.post(postings)
    credited = next((each.transaction_id for each in posted if each.type == "topup"), None)
    after = replace(after, transaction_id=after.transaction_id or credited)
    await tx.payments.save_topup(after, check_at=next_check(after, tx.now))
    if after.status != before.status or posted:
        await tx.outbox.add(topup_event(after, f"billing.topup.{_news(before, after)}"))
    if posted:
        await _freeze(tx, account, after)
    if after.origin == "auto_reload" and after.status != before.status:
        await _tell_reload(tx, after)
    await look_at_balance(tx, catalog, account_id)
    return after


def _news(before: TopUp, after: TopUp) -> str:
    """What happened to a top-up: mostly what it is now."""
    if after.status == before.status and after.facts.refunded_micros > before.facts.refunded_micros:
        return "refunded"
    # It has succeeded once: who counts that must not hear of it again.
    return "reinstated" if before.status == "reversed" and after.status == "succeeded" else after.status


async def not_answered(tx: Transaction, account_id: str, topup_id: str) -> TopUp:
    """The provider was asked for the money, and nobody knows what it did: it is looked up.

    Where it has told of the charge already, by a webhook that was quicker, that is known.
    """
    await tx.accounts.get(account_id, lock=True)
    before = await tx.payments.topup(account_id, topup_id)
    if before.facts.status != "created" or not before.answered:
        return before
    after = replace(before, answered=False, changed_at=tx.now)
    await tx.payments.save_topup(after, check_at=next_check(after, tx.now))
    await tx.outbox.add(topup_event(after, "billing.topup.unknown"))
    return after


def next_check(topup: TopUp, now: datetime) -> datetime | None:
    """When to ask the provider if it has not told by then: the older a top-up, the more seldom."""
    if topup.status not in UNSETTLED:
        return None
    return now + min(max(now - topup.created_at, FIRST_CHECK), _LAST_CHECK)


async def _freeze(tx: Transaction, account: AccountRecord, topup: TopUp) -> None:
    """Freeze spending when money that was taken back is missing."""
    wallet = await tx.ledger.wallet(account.account_id)
    if wallet.available_micros >= 0 or account.status != "active":
        return
    await tx.accounts.set_status(account, "past_due")
    payload = {
        "topup_id": topup.topup_id,
        "currency": wallet.currency,
        "reason": f"topup_{topup.status}",
        "transaction_id": topup.transaction_id,
        "hold_id": None,
        "owed": format_micros(-wallet.available_micros),
    }
    await tx.outbox.add(Event(account.account_id, "billing.account.past_due", payload))


async def _tell_reload(tx: Transaction, topup: TopUp) -> None:
    before = await tx.watches.reload(topup.account_id)
    after = settled(before, topup, now=tx.now)
    if after == before:
        return
    await tx.watches.save_reload(after)
    event = None
    if before.enabled and not after.enabled:
        event = "billing.auto_reload.disabled"
    elif after.paused and not before.paused:
        event = "billing.auto_reload.paused"
    elif after.declines > before.declines:
        event = "billing.auto_reload.failed"
    if event is not None:
        await tx.outbox.add(reload_event(after, event, tx.now, topup_id=topup.topup_id))
