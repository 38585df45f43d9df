"""Owns the port of a payment provider: what we ask of any of them, and what they answer.

A charge takes two steps, so that an answer that is lost can never cost the customer twice: `create_payment` moves
nothing and gives the payment its id, which is stored; `confirm_payment` moves the money of that one payment, once,
however often it is asked to. What became of it is looked up under its id.

Whatever fails in between (a time-out, a connection that breaks, the provider's own trouble) is an Unavailable with
code `provider_unavailable`: nobody knows what happened, and asking again is safe. A refusal of the credentials of
ours is an Unavailable with code `provider_refused_us`, which somebody has to mend.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from billing_mcp.domain.payments import Facts, Method, MethodType


@dataclass(frozen=True, slots=True)
class PaymentOrder:
    """What is to be paid: `amount_micros` is all of it, tax included, in whole cents."""

    account_id: str
    topup_id: str
    customer: str
    method: str
    method_type: MethodType
    amount_micros: int
    currency: str


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment at the provider. `account_id` and `topup_id` are None for one that is not ours."""

    payment_id: str
    account_id: str | None
    topup_id: str | None
    amount_micros: int
    currency: str
    created_at: datetime
    facts: Facts


@dataclass(frozen=True, slots=True)
class Heard:
    """What a provider's webhook tells: of a payment or of a method; of neither when it is of no concern to us.

    `account_id` is None where the event does not say it: the payment looked up does. `payment_id` is the payment's
    id there, and `facts` what the event says of it. Where that is less than all, such as one refund of several, the
    amounts are lower bounds, and `is_all` is false: look the payment up. `setup_id` is a set-up that has ended in one
    way or another: look the method up.
    """

    event_id: str
    type: str
    account_id: str | None = None
    payment_id: str | None = None
    facts: Facts | None = None
    is_all: bool = True
    setup_id: str | None = None


class Provider(Protocol):
    """A payment provider. `key` makes a request happen once there; every method but `hear` asks the network."""

    name: str
    """Names the ledger account of the money that it holds: `cash:<name>`."""

    async def create_customer(self, account_id: str, *, key: str) -> str:
        """The provider's id of a new customer."""

    async def add_method(self, customer: str, *, account_id: str, token: str, key: str) -> Method:
        """Attach what a token stands for to a customer. A refusal is a Method with the status failed.

        So is a token that stands for nothing.
        """

    async def set_up_method(self, customer: str, *, account_id: str, type_: MethodType, key: str) -> Method:
        """Begin a set-up that the customer completes at the method's `setup_url`."""

    async def method_of_setup(self, setup_id: str) -> Method:
        """What became of a set-up. Raises NotFound."""

    async def detach_method(self, reference: str) -> None:
        """Forget a method; one that is gone already is no error."""

    async def create_payment(self, order: PaymentOrder, *, key: str) -> Payment:
        """Register a payment. Nothing moves yet. Raises Refused with code `payment_refused` if it never can."""

    async def confirm_payment(self, payment_id: str, *, key: str) -> Payment:
        """Charge a registered payment without the customer being there.

        A decline is a Payment whose facts say failed, and which nobody can complete later. Raises NotFound.
        """

    async def payment(self, payment_id: str) -> Payment:
        """A payment with all that is known of it now, refunds and disputes too. Raises NotFound."""

    async def refund(self, payment_id: str, amount_micros: int, *, key: str) -> Payment:
        """Give some of a payment back. Raises NotFound, and Refused with code `not_refundable`."""

    def hear(self, body: bytes, headers: Mapping[str, str]) -> Heard:
        """What a webhook says. Raises PermissionDenied with code `invalid_signature`, InvalidArgument for no event."""

    def payments(self, since: datetime, until: datetime) -> AsyncIterator[Payment]:
        """Every payment that was created in a half-open span, with all that is known of it."""

    async def close(self) -> None:
        """Give connections back."""
