"""Owns Stripe as a payment provider. Imported only where Stripe is chosen: its library takes a while to load."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from math import ceil
from typing import Any, cast

import stripe

from billing_mcp.domain.errors import InvalidArgument, NotFound, PermissionDenied, Refused
from billing_mcp.domain.money import MICROS_PER_CENT
from billing_mcp.domain.payments import Facts, Method, MethodType
from billing_mcp.payments.port import Heard, Payment, PaymentOrder
from billing_mcp.payments.stripe_client import Refusal, StripeClient
from billing_mcp.payments.stripe_reading import (
    Json,
    error_of,
    facts_of_intent,
    heard_of,
    is_declined,
    method_of,
    method_of_session,
    needs_customer,
    payment_of,
)

TIMEOUT_S = 20.0
TOLERANCE_S = 300
_TOKEN = re.compile("pm_[A-Za-z0-9_]{1,200}")
_WITH_CHARGE = ["latest_charge.refunds"]


class StripeProvider:
    """Stripe, as a `port.Provider`. Webhooks are good that are signed with any of the secrets.

    `return_url` is where the customer comes back to from a page of Stripe's or of their bank; `api_base` is
    where Stripe is reached, blank for its own address. No request takes longer than `timeout_s`.
    """

    name = "stripe"

    def __init__(
        self,
        api_key: str,
        webhook_secrets: Sequence[str],
        *,
        return_url: str,
        api_base: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._client = StripeClient(api_key, api_base=api_base, timeout_s=timeout_s)
        self._v1 = self._client.v1
        self._secrets = tuple(webhook_secrets)
        self._return_url = return_url

    async def close(self) -> None:
        """Give connections back."""
        await self._client.close()

    async def create_customer(self, account_id: str, *, key: str) -> str:
        """The provider's id of a new customer."""
        params: Any = {"metadata": {"account_id": account_id}}
        created = await self._client.tell(self._v1.customers.create_async(params, {"idempotency_key": key}))
        return str(created["id"])

    async def add_method(self, customer: str, *, account_id: str, token: str, key: str) -> Method:
        """Attach a payment method `pm_…` to a customer, with a mandate if it is an account to be debited."""
        if not _TOKEN.fullmatch(token):
            return Method("failed", "card", failure_code="invalid_token")
        attach: Any = {"customer": customer}
        stored = await self._client.ask(self._v1.payment_methods.attach_async(token, attach, {"idempotency_key": key}))
        if isinstance(stored, Refusal):
            # It says so, too, of what an earlier request has attached.
            there = await self._client.ask(self._v1.payment_methods.retrieve_async(token))
            if isinstance(there, Refusal) or there.get("customer") != customer:
                return Method("failed", "card", failure_code=stored.code)
            stored = there
        method = method_of(stored)
        if method.status == "failed":
            await self.detach_method(token)
        if method.type != "sepa_debit":
            return method
        return await self._with_mandate(method, customer, account_id, token, f"{key}/mandate")

    async def _with_mandate(self, method: Method, customer: str, account_id: str, token: str, key: str) -> Method:
        params: Any = {
            "customer": customer,
            "payment_method": token,
            "payment_method_types": ["sepa_debit"],
            "usage": "off_session",
            "confirm": True,
            # The customer agreed where the token was made, on a page that is not ours.
            "mandate_data": {"customer_acceptance": {"type": "offline"}},
            "metadata": {"account_id": account_id},
            "expand": ["mandate"],
        }
        intent = await self._client.ask(self._v1.setup_intents.create_async(params, {"idempotency_key": key}))
        if isinstance(intent, Refusal):
            await self.detach_method(token)
            return Method("failed", "sepa_debit", failure_code=intent.code)
        mandate = intent.get("mandate")
        status = mandate.get("status") if isinstance(mandate, Mapping) else None
        return replace(method, mandate=cast("Any", status) or "pending")

    async def set_up_method(self, customer: str, *, account_id: str, type_: MethodType, key: str) -> Method:
        """Open a page of Stripe's where the customer adds a method; its id is that of the Checkout session."""
        about = {"account_id": account_id}
        params: Any = {
            "mode": "setup",
            "customer": customer,
            "payment_method_types": [type_],
            "success_url": self._return_url,
            "cancel_url": self._return_url,
            "metadata": about,
            "setup_intent_data": {"metadata": about},
        }
        session = await self._client.tell(self._v1.checkout.sessions.create_async(params, {"idempotency_key": key}))
        return method_of_session(session)

    async def method_of_setup(self, setup_id: str) -> Method:
        """What became of a set-up. Raises NotFound."""
        params: Any = {"expand": ["setup_intent.payment_method", "setup_intent.mandate"]}
        session = await self._client.ask(self._v1.checkout.sessions.retrieve_async(setup_id, params))
        return method_of_session(_found(session, "set-up", setup_id))

    async def detach_method(self, reference: str) -> None:
        """Forget a method; one that is gone already is no error."""
        await self._client.ask(self._v1.payment_methods.detach_async(reference))

    async def create_payment(self, order: PaymentOrder, *, key: str) -> Payment:
        """Register a payment. Raises Refused with code `payment_refused` when Stripe will never take it."""
        params: Any = {
            "amount": _cents(order.amount_micros),
            "currency": order.currency.lower(),
            "customer": order.customer,
            "payment_method": order.method,
            "payment_method_types": [order.method_type],
            "metadata": {"account_id": order.account_id, "topup_id": order.topup_id},
        }
        intent = await self._client.ask(self._v1.payment_intents.create_async(params, {"idempotency_key": key}))
        if isinstance(intent, Refusal):
            raise Refused(
                f"the payment provider will not take this payment: {intent.code}",
                code="payment_refused",
                hint="Add another payment method, or choose another amount.",
            )
        return payment_of(intent, facts_of_intent(intent))

    async def confirm_payment(self, payment_id: str, *, key: str) -> Payment:
        """Charge a registered payment without the customer; where their bank wants to see them, ask for that."""
        answer = await self._confirm(payment_id, {"off_session": True}, key)
        intent = await self._intent(payment_id) if isinstance(answer, Refusal) else answer
        if needs_customer(intent):
            again = {"payment_method": _method_id(intent), "return_url": self._return_url}
            answer = await self._confirm(payment_id, again, f"{key}/customer")
            intent = await self._intent(payment_id) if isinstance(answer, Refusal) else answer
        if isinstance(answer, Refusal) and facts_of_intent(intent).status == "created":
            intent = await self._cancel(payment_id)
            facts = replace(await self._facts(intent), failure_code=answer.code)
            return payment_of(intent, facts)
        return await self._settled(intent)

    async def payment(self, payment_id: str) -> Payment:
        """A payment with all that is known of it now. Raises NotFound. One that was declined is closed for good."""
        return await self._settled(await self._intent(payment_id))

    async def refund(self, payment_id: str, amount_micros: int, *, key: str) -> Payment:
        """Give some of a payment back. Raises NotFound, and Refused with code `not_refundable`."""
        params: Any = {"payment_intent": payment_id, "amount": _cents(amount_micros)}
        refund = await self._client.ask(self._v1.refunds.create_async(params, {"idempotency_key": key}))
        if isinstance(refund, Refusal) and not refund.is_missing:
            raise Refused(f"payment {payment_id} cannot be refunded: {refund.code}", code="not_refundable")
        return await self.payment(payment_id)

    def hear(self, body: bytes, headers: Mapping[str, str]) -> Heard:
        """What a webhook says. Raises PermissionDenied with code `invalid_signature`, InvalidArgument for no event."""
        given = {name.lower(): value for name, value in headers.items()}.get("stripe-signature")
        for secret in self._secrets:
            try:
                event = stripe.Webhook.construct_event(body, given, secret, TOLERANCE_S)
                return heard_of(event.to_dict())
            except stripe.SignatureVerificationError:
                continue
            except (ValueError, KeyError, TypeError, AttributeError):
                raise InvalidArgument("the webhook's body is no event of Stripe's", field="body") from None
        raise PermissionDenied("the webhook is not signed by the provider, or too old", code="invalid_signature")

    async def payments(self, since: datetime, until: datetime) -> AsyncIterator[Payment]:
        """Every payment that was created in a half-open span, with all that is known of it."""
        created = {"gte": ceil(since.timestamp()), "lt": ceil(until.timestamp())}
        params = {"created": created, "expand": [f"data.{path}" for path in _WITH_CHARGE]}
        async for intent in self._client.pages(self._v1.payment_intents.list_async, params):
            yield payment_of(intent, await self._facts(intent))

    async def _confirm(self, payment_id: str, how: Mapping[str, Any], key: str) -> Json | Refusal:
        params: Any = {**how, "expand": _WITH_CHARGE}
        return await self._client.ask(
            self._v1.payment_intents.confirm_async(payment_id, params, {"idempotency_key": key})
        )

    async def _intent(self, payment_id: str) -> Json:
        params: Any = {"expand": _WITH_CHARGE}
        intent = await self._client.ask(self._v1.payment_intents.retrieve_async(payment_id, params))
        return _found(intent, "payment", payment_id)

    async def _cancel(self, payment_id: str) -> Json:
        """Close a payment for good; what has gone on meanwhile is left to go on."""
        params: Any = {"expand": _WITH_CHARGE}
        intent = await self._client.ask(self._v1.payment_intents.cancel_async(payment_id, params))
        return await self._intent(payment_id) if isinstance(intent, Refusal) else intent

    async def _settled(self, intent: Json) -> Payment:
        """The payment; if it was declined, closed first, so that nobody can complete it later."""
        facts = await self._facts(intent)
        if is_declined(intent):
            intent = await self._cancel(intent["id"])
            # Closing it may clear why it was declined.
            facts = facts.merged(await self._facts(intent))
        return payment_of(intent, facts)

    async def _facts(self, intent: Json) -> Facts:
        charge = intent.get("latest_charge")
        if not isinstance(charge, Mapping):
            return facts_of_intent(intent)
        of_charge = {"charge": charge["id"]}
        first = charge.get("refunds") or {"data": [], "has_more": True}
        refunds = first["data"]
        if first["has_more"]:
            refunds = [each async for each in self._client.pages(self._v1.refunds.list_async, of_charge)]
        disputes: list[Json] = []
        if charge.get("disputed"):
            disputes = [each async for each in self._client.pages(self._v1.disputes.list_async, of_charge)]
        return facts_of_intent(intent, refunds=refunds, disputes=disputes)


def _cents(amount_micros: int) -> int:
    cents, rest = divmod(amount_micros, MICROS_PER_CENT)
    if rest:
        raise InvalidArgument(f"{amount_micros} micros are no whole cents", field="amount_micros")
    return cents


def _found(answer: Json | Refusal, what: str, id_: str) -> Json:
    if isinstance(answer, Refusal):
        raise NotFound(f"the provider knows no {what} {ascii(id_)[1:-1][:80]}")
    return answer


def _method_id(intent: Json) -> str | None:
    """The method that was tried: a failed attempt takes it off the intent."""
    tried = error_of(intent).get("payment_method") or intent.get("payment_method")
    return tried["id"] if isinstance(tried, Mapping) else tried
