"""billing.credits.*: money of the seller's own, used before the customer's; how it is given, settled, and expires.

What credits have paid is settled now and then, by the ledger's sequence: when one is given, when one expires, and when
a period is closed. Who only looks computes what is not settled yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from billing_mcp.domain.clock import iso
from billing_mcp.domain.credits import (
    DEFAULT_PRIORITY,
    Grant,
    check_grant,
    expire,
    given,
    taken_back,
    use,
)
from billing_mcp.domain.events import Event
from billing_mcp.domain.instructions import IdempotencyKey, Instruction, Receipt
from billing_mcp.domain.money import format_micros
from billing_mcp.kernel.arguments import AccountId
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource

if TYPE_CHECKING:
    from billing_mcp.store.store import Transaction

CREDITS = Resource("credits", doc="Money of the seller's own, which is used before the customer's.")


class CreditItem(TypedDict):
    """A credit, and what is left of it. Null `expires_at`: it stays until it is used."""

    amount: str
    remaining: str
    expires_at: str | None
    priority: int
    reason: str
    granted_at: str
    credit_id: str


class CreditList(TypedDict):
    """The credits of which something is left, the next to be used first; `remaining` of all, which balances include."""

    remaining: str
    currency: str
    items: list[CreditItem]


@CREDITS.operation(requires=Permission.VIEW, route="GET /credits", own_route="GET /credits")
async def list_(ctx: Context, *, account_id: AccountId) -> CreditList:
    """The credits of which something is left, in the order of their use, and when each expires.

    They are part of the balance, and are spent before the customer's own money.
    Errors: not_found.
    """
    wallet = await ctx.tx.ledger.wallet(account_id)
    left = [each for each in await credits_now(ctx.tx, account_id) if each.remaining_micros]
    return {
        "remaining": format_micros(sum(each.remaining_micros for each in left)),
        "currency": wallet.currency,
        "items": [
            {
                "amount": format_micros(each.amount_micros),
                "remaining": format_micros(each.remaining_micros),
                "expires_at": expiry_of(each),
                "priority": each.priority,
                "reason": each.reason,
                "granted_at": iso(each.granted_at),
                "credit_id": each.grant_id,
            }
            for each in left
        ],
    }


async def credits_now(tx: Transaction, account_id: str) -> list[Grant]:
    """The open grants in the order of use, with what was spent of them and is not settled yet taken off."""
    grants = await tx.credits.open(account_id)
    if not grants:
        return []
    cycle = await tx.cycles.get(account_id)
    after, _ = use(grants, await tx.credits.spent_since(account_id, cycle.credits_seq))
    return after


async def open_credits_micros(tx: Transaction, account_id: str) -> int:
    """What is left of all credits of an account: so much of its wallet is not the customer's own money."""
    return sum(each.remaining_micros for each in await credits_now(tx, account_id))


async def as_of_now(tx: Transaction, account_id: str, grants: Iterable[Grant]) -> list[Grant]:
    """The same grants, each as it is now."""
    now = {each.grant_id: each for each in await credits_now(tx, account_id)}
    return [now.get(each.grant_id, each) for each in grants]


def shown_credit(grant: Grant, currency: str) -> dict[str, str | int | None]:
    """All that the platform sees of a grant."""
    return {
        "credit_id": grant.grant_id,
        "amount": format_micros(grant.amount_micros),
        "used": format_micros(grant.used_micros),
        "expired": format_micros(grant.expired_micros),
        "remaining": format_micros(grant.remaining_micros),
        "currency": currency,
        "priority": grant.priority,
        "expires_at": expiry_of(grant),
        "reason": grant.reason,
        "granted_at": iso(grant.granted_at),
    }


def expiry_of(grant: Grant) -> str | None:
    """When a grant expires, as it is shown."""
    return None if grant.expires_at is None else iso(grant.expires_at)


async def settle_credits(tx: Transaction, account_id: str) -> int:
    """Take what was spent up to now off the open grants, and note how much they have paid. Returns that, in micros.

    The account must be locked. It saves the account's BillingCycle: read that again afterwards. Raises NotFound.
    """
    cycle = await tx.cycles.get(account_id)
    through = (await tx.ledger.wallet(account_id)).last_seq
    if through == cycle.credits_seq:
        return 0
    used = 0
    if grants := await tx.credits.open(account_id):
        after, used = use(grants, await tx.credits.spent_since(account_id, cycle.credits_seq))
        before = {each.grant_id: each for each in grants}
        await tx.credits.save(each for each in after if each != before[each.grant_id])
    paid = cycle.credits_used_micros + used
    await tx.cycles.save(replace(cycle, credits_seq=through, credits_used_micros=paid))
    return used


async def grant_credit(
    tx: Transaction,
    account_id: str,
    amount_micros: int,
    *,
    reason: str,
    priority: int = DEFAULT_PRIORITY,
    expires_at: datetime | None = None,
    key: IdempotencyKey | None = None,
) -> Receipt:
    """Give an account money of the seller's own. Under a `key` it happens once: sent again, it has the same receipt.

    It pays what is spent from now on. Locks the account. Raises NotFound, InvalidArgument for a priority or an expiry
    that cannot be or a key of another request, and Refused with code `amount_too_large`.
    """
    currency = (await tx.accounts.get(account_id, lock=True)).currency
    posting = given(account_id, amount_micros, currency, reason, tx.now)
    (done,) = await tx.ledger.carry_out([Instruction(account_id, posting, tx.now, key)])
    if done.receipt.replayed:  # by now it may even have expired
        return done.receipt
    check_grant(priority, expires_at, tx.now)
    await settle_credits(tx, account_id)  # those before it pay what was spent before it
    (posted,) = done.transactions
    grant = Grant(
        account_id=account_id,
        grant_id=posted.transaction_id,
        reason=reason,
        amount_micros=amount_micros,
        remaining_micros=amount_micros,
        granted_at=tx.now,
        expires_at=expires_at,
        priority=priority,
    )
    await tx.credits.add(grant)
    if expires_at is not None:
        await tx.cycles.due_sooner(account_id, expires_at)
    await tx.outbox.add(_told("billing.credit.granted", grant, amount_micros, currency))
    return done.receipt


async def expire_credits(tx: Transaction, account_id: str, *, until: datetime | None = None) -> int:
    """Take what is left of credits whose time is over, by default now, out of the wallet. Returns how many micros.

    What holds have reserved stays: `next_expiry` says until when. The account must be locked. Raises NotFound.
    """
    await settle_credits(tx, account_id)
    wallet = await tx.ledger.wallet(account_id)
    gone = expire(await tx.credits.open(account_id), until or tx.now, wallet.available_micros)
    await tx.ledger.post([taken_back(grant, micros, wallet.currency, tx.now) for grant, micros in gone])
    await tx.credits.save(grant for grant, _ in gone)
    for grant, micros in gone:
        await tx.outbox.add(_told("billing.credit.expired", grant, micros, wallet.currency))
    return sum(micros for _, micros in gone)


async def next_expiry(tx: Transaction, account_id: str) -> datetime | None:
    """When a credit of the account expires next, which may be over. None where none does.

    What holds have reserved when its time is over is due a day later, or as soon as anything is available.
    """
    grants = await tx.credits.open(account_id)
    if not grants:
        return None
    available_micros = (await tx.ledger.wallet(account_id)).available_micros
    dues = [each.due(tx.now, available_micros) for each in grants]
    return min((due for due in dues if due is not None), default=None)


def _told(event: str, grant: Grant, micros: int, currency: str) -> Event:
    payload = {
        "credit_id": grant.grant_id,
        "amount": format_micros(micros),
        "remaining": format_micros(grant.remaining_micros),
        "currency": currency,
        "reason": grant.reason,
        "expires_at": expiry_of(grant),
    }
    return Event(grant.account_id, event, payload)
