"""Owns what the platform does with payments: refunds, and the payment methods of accounts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.clock import iso
from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.events import Event
from billing_mcp.domain.ids import derived_id
from billing_mcp.domain.ledger import insufficient_funds
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.payments import PaymentMethod
from billing_mcp.domain.reloads import without_method
from billing_mcp.domain.topups import Refund, TopUp, asked_micros, checked_refund, refundable_micros
from billing_mcp.operations import topups
from billing_mcp.operations.balance_watch import look_at_balance, reload_event
from billing_mcp.operations.topup_start import active_method

if TYPE_CHECKING:
    from billing_mcp.store.store import Transaction

REFUND = "billing.topup.refund"
"""The topic of giving money back at the provider. The row's id is the key there."""
DETACH = "billing.payment_method.detach"
"""The topic of having the provider forget a payment method."""


async def ask_for_refund(tx: Transaction, account_id: str, topup_id: str, amount_micros: int | None = None) -> Refund:
    """Give some of a top-up back once this transaction has committed; by default all that is left.

    The amount is of what the customer paid, tax included. What was asked for is taken off what can be asked for, so
    the same money goes back once. What the wallet has spent already does not go back.
    Raises NotFound, InvalidArgument, Refused with code `not_refundable`, and InsufficientFunds.
    """
    await tx.accounts.get(account_id, lock=True)
    topup = await tx.payments.topup(account_id, topup_id)
    others = await tx.payments.refunds(account_id, topup_id)
    wanted = checked_refund(topup, others, amount_micros)
    refund_id = derived_id(tx.now, account_id, "refund", topup_id, len(others))
    refund = Refund(account_id, refund_id, topup_id, wanted, created_at=tx.now, changed_at=tx.now)
    await _check_is_there(tx, topup, [*others, refund])
    await tx.payments.add_refund(refund)
    await tx.outbox.add(Event(account_id, REFUND, {"refund_id": refund.refund_id}))
    return refund


def refund_failed(refund: Refund) -> Event:
    """What the world is told of a refund that the provider would not do."""
    payload = {
        "refund_id": refund.refund_id,
        "topup_id": refund.topup_id,
        "amount": format_micros(refund.amount_micros),
        "failure_code": refund.failure_code,
    }
    return Event(refund.account_id, "billing.topup.refund_failed", payload)


async def remove_method(tx: Transaction, catalog: Catalog, account_id: str, payment_method_id: str) -> None:
    """Charge a payment method never again, and have the provider forget it after the commit.

    No other one takes its place by itself. A reload that used it is disabled, and the account is told so.
    Raises NotFound; what was removed already is not found.
    """
    await tx.accounts.get(account_id, lock=True)
    before = await tx.payments.method(account_id, payment_method_id)
    if before.known.status == "removed":
        raise NotFound(f"payment method {payment_method_id} was removed already", field="payment_method_id")
    known = replace(before.known, status="removed", setup_url=None)
    after = replace(before, known=known, is_default=False, token=None, changed_at=tx.now)
    await tx.payments.save_method(before, after)
    if known.reference is not None:
        await tx.outbox.add(Event(account_id, DETACH, {"payment_method_id": payment_method_id}))
    await tx.outbox.add(method_event(after, "billing.payment_method.removed"))
    reload = await tx.watches.reload(account_id)
    left = without_method(reload, payment_method_id, was_default=before.is_default, now=tx.now)
    if left == reload:
        return
    await tx.watches.save_reload(left)
    if reload.enabled and not left.enabled:
        await tx.outbox.add(reload_event(left, "billing.auto_reload.disabled", tx.now))
        await look_at_balance(tx, catalog, account_id)


async def choose_default(tx: Transaction, account_id: str, payment_method_id: str) -> PaymentMethod:
    """Charge this payment method where none is named. Raises NotFound, Refused: `payment_method_not_active`."""
    await tx.accounts.get(account_id, lock=True)
    method = await active_method(tx, account_id, payment_method_id)
    if method.is_default:
        return method
    await tx.payments.make_default(method, tx.now)
    chosen = replace(method, is_default=True, changed_at=tx.now)
    await tx.outbox.add(method_event(chosen, "billing.payment_method.updated"))
    return chosen


def method_event(method: PaymentMethod, name: str) -> Event:
    """What the world is told of a payment method."""
    payload = {
        "payment_method_id": method.payment_method_id,
        "status": method.known.status,
        "type": method.known.type,
        "brand": method.known.brand,
        "last4": method.known.last4,
        "failure_code": method.known.failure_code,
        "is_default": method.is_default,
    }
    return Event(method.account_id, name, payload)


def topup_item(topup: TopUp) -> dict[str, Any]:
    """A top-up as the platform sees it: as agents do, and where it is at the provider."""
    at_provider = {"provider": topup.provider, "payment_id": topup.payment_id}
    return {"account_id": topup.account_id, **topups.shown(topup), **at_provider}


def topup_in_full(topup: TopUp, refunds: list[Refund]) -> dict[str, Any]:
    """The same, with what was asked to go back of it, and how much still can."""
    left = format_micros(refundable_micros(topup, refunds))
    return {**topup_item(topup), "refundable": left, "refunds": [refund_item(each, topup) for each in refunds]}


def refund_item(refund: Refund, topup: TopUp) -> dict[str, Any]:
    """A refund: of what the customer paid."""
    return {
        "refund_id": refund.refund_id,
        "topup_id": refund.topup_id,
        "status": refund.status,
        "amount": format_micros(refund.amount_micros),
        "currency": topup.currency,
        "failure_code": refund.failure_code,
        "created_at": iso(refund.created_at),
        "updated_at": iso(refund.changed_at),
    }


async def _check_is_there(tx: Transaction, topup: TopUp, refunds: list[Refund]) -> None:
    """The net part of what is asked for must be available: what was spent on messages does not go back."""
    wallet = await tx.ledger.wallet(topup.account_id)
    gross = asked_micros(refunds)
    due = gross + topup.tax_on(-gross, kept_micros=topup.facts.kept_micros)
    if due > wallet.available_micros:
        error = insufficient_funds(wallet, due)
        error.hint = "What the account has spent does not go back: refund less, or give it a credit first."
        raise error
