"""Owns beginning a top-up: what is asked of which payment method, and the work that asks it after the commit."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.errors import Refused
from billing_mcp.domain.events import Event
from billing_mcp.domain.ids import derived_id
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.payments import PaymentMethod
from billing_mcp.domain.tax import add_tax
from billing_mcp.domain.topups import Origin, TopUp
from billing_mcp.operations.taxing import tax_of

if TYPE_CHECKING:
    from billing_mcp.store.store import Transaction

CHARGE = "billing.topup.charge"
"""The topic of asking a payment method for the money of a top-up. The row's id is the key at the provider."""

FIRST_CHECK = timedelta(minutes=15)
CURRENCY = "EUR"
"""What payment methods are charged in."""


async def begin_topup(
    tx: Transaction, catalog: Catalog, method: PaymentMethod, net_micros: int, origin: Origin
) -> TopUp:
    """Ask a payment method for a net amount and the VAT on it, once this transaction has committed.

    The account must be locked. The same on the same state has the same id.
    """
    number = await tx.payments.count_created_at(method.account_id, tx.now)
    tax = await tax_of(tx, catalog, method.account_id)
    topup = TopUp(
        account_id=method.account_id,
        topup_id=derived_id(tx.now, method.account_id, "topup", number),
        payment_method_id=method.payment_method_id,
        provider=method.provider,
        origin=origin,
        currency=(await tx.ledger.wallet(method.account_id)).currency,
        net_micros=net_micros,
        tax_micros=add_tax(net_micros, tax),
        tax_rate_bp=tax.rate_basis_points,
        tax_treatment=tax.treatment,
        created_at=tx.now,
        changed_at=tx.now,
    )
    await tx.payments.add_topup(topup, method, check_at=tx.now + FIRST_CHECK)
    await tx.outbox.add(Event(topup.account_id, CHARGE, {"topup_id": topup.topup_id}))
    await tx.outbox.add(topup_event(topup, "billing.topup.created"))
    return topup


def topup_event(topup: TopUp, name: str) -> Event:
    """What the world is told of a top-up."""
    payload = {
        "topup_id": topup.topup_id,
        "status": topup.status,
        "amount": format_micros(topup.net_micros),
        "tax": format_micros(topup.tax_micros),
        "currency": topup.currency,
        "payment_method_id": topup.payment_method_id,
        "origin": topup.origin,
        "failure_code": topup.facts.failure_code,
        "action_url": topup.facts.action_url,
        "transaction_id": topup.transaction_id,
        "refunded": format_micros(topup.facts.refunded_micros),
        "reversed": format_micros(topup.facts.withdrawn_micros - topup.facts.reinstated_micros),
    }
    return Event(topup.account_id, name, payload)


async def method_to_charge(tx: Transaction, account_id: str, payment_method_id: str | None) -> PaymentMethod:
    """The method that is named, or the default one: whoever means to charge an account asks here first.

    Raises NotFound, and Refused: `account_not_active`, `currency_mismatch`, `no_payment_method`,
    `payment_method_not_active`.
    """
    account = await tx.accounts.get(account_id)
    if account.status == "closed":
        raise Refused(
            "the account is closed; no money is taken for it", code="account_not_active", hint="Use another account."
        )
    if account.currency != CURRENCY:
        raise Refused(
            f"the account's wallet is in {account.currency}, not in {CURRENCY}",
            code="currency_mismatch",
            hint=f"Only wallets in {CURRENCY} can be topped up.",
        )
    if payment_method_id is not None:
        return await active_method(tx, account_id, payment_method_id)
    methods = await tx.payments.methods(account_id)
    for each in methods:
        if each.is_default and each.known.status == "active":
            return each
    waiting = next((each for each in methods if each.known.status in ("pending", "requires_action")), None)
    raise Refused(
        "the account has no payment method that can be charged",
        code="no_payment_method",
        field="payment_method_id",
        hint=_MENDS[waiting.known.status] if waiting else _ADD,
    )


async def active_method(tx: Transaction, account_id: str, payment_method_id: str) -> PaymentMethod:
    """The method of this id. Raises NotFound, and Refused: `payment_method_not_active`."""
    method = await tx.payments.method(account_id, payment_method_id)
    if method.known.status != "active":
        raise Refused(
            f"payment method {payment_method_id} is {method.known.status}; only an active one can be charged",
            code="payment_method_not_active",
            field="payment_method_id",
            hint=_MENDS[method.known.status],
        )
    return method


_ADD = "Add one: billing.payment_methods.add(account_id=...) gives a URL where the customer enters it."
_MENDS = {
    "pending": "It is added once this has committed: charge it in a script of its own, after "
    "billing.payment_methods.list(account_id=...) shows it active.",
    "requires_action": "The customer has to complete it at its setup_url.",
    "failed": "Add another one: billing.payment_methods.add.",
    "removed": "Name another one of billing.payment_methods.list, or add one: billing.payment_methods.add.",
}
