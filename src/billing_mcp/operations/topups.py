"""billing.topups.*: filling the wallet from a payment method."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from billing_mcp.domain.clock import iso
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.tax import percent
from billing_mcp.domain.topups import Origin, TopUp, TopUpStatus, check_amount
from billing_mcp.kernel.arguments import AccountId, Amount, PaymentMethodId, TopUpId, micros_of
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource
from billing_mcp.operations.topup_start import begin_topup, method_to_charge

TOPUPS = Resource("topups", doc="Filling the wallet from a payment method.")


class TopUpDetails(TypedDict):
    """A top-up. The wallet gets `amount`, the customer pays `total`, which is `amount` and `tax`.

    Where `status` is requires_action, the customer authenticates it at `action_url`. `refunded` and `reversed` are of
    the total; `transaction_id` is that of the credit.
    """

    topup_id: str
    status: TopUpStatus
    amount: str
    tax: str
    tax_percent: str
    total: str
    currency: str
    payment_method_id: str
    origin: Origin
    failure_code: str | None
    action_url: str | None
    refunded: str
    reversed: str
    transaction_id: str | None
    created_at: str
    updated_at: str


@TOPUPS.operation(requires=Permission.MANAGE, route="POST /topup", own_route="POST /topup")
async def create(
    ctx: Context,
    *,
    account_id: AccountId,
    amount: Amount,
    payment_method_id: PaymentMethodId | None = None,
    currency: Literal["EUR"] = "EUR",
) -> TopUpDetails:
    """Charge a payment method (the default one) and credit the wallet with `amount`, at least 10.00; VAT is added.

    The charge follows the commit; the answer's followups say what came of it within three seconds, and
    billing.topups.get later: a SEPA debit takes days. The wallet is credited once, when it has succeeded.
    Errors: no_payment_method, payment_method_not_active, account_not_active, currency_mismatch, not_found.
    """
    amount_micros = micros_of(amount)
    check_amount(amount_micros, currency)
    method = await method_to_charge(ctx.tx, account_id, payment_method_id)
    return shown(await begin_topup(ctx.tx, ctx.catalog, method, amount_micros, "manual"))


@TOPUPS.operation(requires=Permission.VIEW, route="GET /topup/{topup_id}", own_route="GET /topup/{topup_id}")
async def get(ctx: Context, *, account_id: AccountId, topup_id: TopUpId) -> TopUpDetails:
    """A top-up as it stands. Unknown: the provider has not answered; it is being asked, and never charged twice.

    Errors: not_found.
    """
    await ctx.tx.accounts.get(account_id)
    return shown(await ctx.tx.payments.topup(account_id, topup_id))


def shown(topup: TopUp) -> TopUpDetails:
    """A top-up as agents see it."""
    facts = topup.facts
    return {
        "topup_id": topup.topup_id,
        "status": topup.status,
        "amount": format_micros(topup.net_micros),
        "tax": format_micros(topup.tax_micros),
        "tax_percent": percent(topup.tax_rate_bp),
        "total": format_micros(topup.gross_micros),
        "currency": topup.currency,
        "payment_method_id": topup.payment_method_id,
        "origin": topup.origin,
        "failure_code": facts.failure_code,
        "action_url": facts.action_url if topup.status == "requires_action" else None,
        "refunded": format_micros(facts.refunded_micros),
        "reversed": format_micros(facts.withdrawn_micros - facts.reinstated_micros),
        "transaction_id": topup.transaction_id,
        "created_at": iso(topup.created_at),
        "updated_at": iso(topup.changed_at),
    }
