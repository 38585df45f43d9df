"""Owns what the platform's requests of payments give, and what their answers show."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from billing_mcp.domain.payments import MandateStatus, MethodStatus, MethodType
from billing_mcp.domain.topups import Origin, RefundStatus, TopUpStatus
from billing_mcp.faces.platform.fields import Asked, Cents, Currency, DecimalText, Given, Shown, ShownMoment, Uuid


class TopUpsAsked(Asked):
    """Which part of the list of top-ups."""

    cursor: Annotated[
        str | None, Field(pattern=r"^[0-9a-f-]{1,64}$", description="`next_cursor` of the answer before.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=100, description="How many at most.")] = 20
    status: Annotated[TopUpStatus | None, Field(description="Those that stand there alone.")] = None


class TopUpItem(Shown):
    """A top-up. The wallet gets `amount`, the customer pays `total`; `refunded` and `reversed` are of the total."""

    account_id: Uuid
    topup_id: Uuid
    status: TopUpStatus
    amount: DecimalText
    tax: DecimalText
    tax_percent: DecimalText
    total: DecimalText
    currency: Currency
    payment_method_id: Uuid
    origin: Origin
    failure_code: Annotated[str | None, Field(description="The provider's.")]
    action_url: Annotated[str | None, Field(description="Where the customer has to authenticate it.")]
    refunded: DecimalText
    reversed: DecimalText
    transaction_id: Annotated[Uuid | None, Field(description="That of the credit.")]
    created_at: ShownMoment
    updated_at: ShownMoment
    provider: Annotated[str, Field(examples=["test"])]
    payment_id: Annotated[str | None, Field(description="The provider's.")]


class TopUps(Shown):
    """Some top-ups, newest first. `next_cursor` leads to more, null where there are none."""

    items: list[TopUpItem]
    next_cursor: str | None


class RefundShown(Shown):
    """A refund that was asked for: `amount` is of what the customer paid, tax included."""

    refund_id: Uuid
    topup_id: Uuid
    status: RefundStatus
    amount: DecimalText
    currency: Currency
    failure_code: Annotated[str | None, Field(description="Why the provider would not.")]
    created_at: ShownMoment
    updated_at: ShownMoment


class TopUpInFull(TopUpItem):
    """A top-up, what was asked to go back of it, and how much still can."""

    refundable: DecimalText
    refunds: list[RefundShown]


class NewRefund(Given):
    """Money to give back."""

    amount: Annotated[
        Cents | None, Field(description="Of what the customer paid, tax included. Default: all that is left.")
    ] = None


class PaymentMethodShown(Shown):
    """A payment method. No number of a card or a bank account is ever in it."""

    payment_method_id: Uuid
    type: MethodType
    status: MethodStatus
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    mandate_status: MandateStatus | None
    is_default: bool
    setup_url: Annotated[str | None, Field(description="Where the customer completes it.")]
    failure_code: str | None
    created_at: ShownMoment


class PaymentMethods(Shown):
    """All payment methods of an account, oldest first, those that were removed too."""

    items: list[PaymentMethodShown]
