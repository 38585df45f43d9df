"""billing.payment_methods.*: how an account pays. Numbers of cards and bank accounts never pass through here."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from billing_mcp.domain.clock import iso
from billing_mcp.domain.errors import Refused
from billing_mcp.domain.events import Event
from billing_mcp.domain.ids import derived_id
from billing_mcp.domain.payments import MandateStatus, Method, MethodStatus, MethodType, PaymentMethod
from billing_mcp.kernel.arguments import AccountId, Token
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource

PAYMENT_METHODS = Resource("payment_methods", doc="How an account pays: cards and SEPA debits, kept by the provider.")

ATTACH = "billing.payment_method.attach"
"""The topic of adding a method at the provider."""
MAX_METHODS = 20


class PaymentMethodDetails(TypedDict):
    """A payment method. Where `status` is requires_action, the customer completes it at `setup_url`."""

    payment_method_id: str
    type: MethodType
    status: MethodStatus
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    mandate_status: MandateStatus | None
    is_default: bool
    setup_url: str | None
    failure_code: str | None
    created_at: str


class PaymentMethodList(TypedDict):
    """All payment methods of an account, oldest first."""

    items: list[PaymentMethodDetails]


@PAYMENT_METHODS.operation(
    requires=Permission.VIEW, route="GET /payment-methods", own_route="GET /payment-methods", reads_once=True
)
async def list_(ctx: Context, *, account_id: AccountId) -> PaymentMethodList:
    """All payment methods of the account: brand, last four digits, expiry, state of the mandate, and the default.

    Errors: not_found.
    """
    methods = await ctx.tx.payments.methods_of_account(account_id)
    return {"items": [shown(each) for each in methods if each.known.status != "removed"]}


@PAYMENT_METHODS.operation(requires=Permission.MANAGE, route="POST /payment-methods", own_route="POST /payment-methods")
async def add(
    ctx: Context,
    *,
    account_id: AccountId,
    token: Token | None = None,
    type: Literal["card", "sepa_debit"] = "card",  # noqa: A002 - as the payment method's own field
    make_default: bool = False,
) -> PaymentMethodDetails:
    """Add a card or SEPA debit by the provider's token; without one, the customer enters it at `setup_url`.

    It happens after this commits: the answer's followups say what came of it, or where the customer goes.
    The first one becomes the default. Never give the number of a card: it is refused.
    Errors: too_many_payment_methods, card_number, not_found.
    """
    methods = await ctx.tx.payments.methods_of_account(account_id)
    if sum(each.known.status not in ("failed", "removed") for each in methods) >= MAX_METHODS:
        raise Refused(
            f"an account has at most {MAX_METHODS} payment methods",
            code="too_many_payment_methods",
            hint="Use one of those in billing.payment_methods.list.",
        )
    method = PaymentMethod(
        account_id=account_id,
        payment_method_id=derived_id(ctx.now, account_id, "payment_method", len(methods)),
        provider="",  # whichever is asked
        known=Method("pending", type),
        is_default=make_default,
        created_at=ctx.now,
        changed_at=ctx.now,
        token=token,
    )
    await ctx.tx.payments.add_method(method)
    await ctx.tx.outbox.add(Event(account_id, ATTACH, {"payment_method_id": method.payment_method_id}))
    return shown(method)


def shown(method: PaymentMethod) -> PaymentMethodDetails:
    """What anybody may know of a payment method."""
    known = method.known
    return {
        "payment_method_id": method.payment_method_id,
        "type": known.type,
        "status": known.status,
        "brand": known.brand,
        "last4": known.last4,
        "exp_month": known.exp_month,
        "exp_year": known.exp_year,
        "mandate_status": known.mandate,
        "is_default": method.is_default and known.status == "active",
        "setup_url": known.setup_url if known.status == "requires_action" else None,
        "failure_code": known.failure_code,
        "created_at": iso(method.created_at),
    }
