"""Owns what Stripe's objects mean to us: payment intents, charges, refunds, disputes, methods and events.

Pure: objects of JSON come in, as the API and webhooks have them, values of the port come out. Every amount is a
lower bound that what is heard later can only raise, so what is read merges in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from billing_mcp.domain.money import MICROS_PER_CENT
from billing_mcp.domain.payments import Facts, Method, MethodType, PaymentStatus
from billing_mcp.payments.port import Heard, Payment

Json = Mapping[str, Any]

AUTHENTICATION_REQUIRED = "authentication_required"
_STATUSES: dict[str, PaymentStatus] = {
    "requires_payment_method": "created",
    "requires_confirmation": "created",
    "requires_action": "requires_action",
    "processing": "processing",
    "requires_capture": "processing",
    "succeeded": "succeeded",
    "canceled": "failed",
}
_MANDATES = {"active": "active", "pending": "pending", "inactive": "inactive"}
_GIVEN_BACK = ("failed", "canceled")
_VAGUE = (None, "generic_decline")


def micros(cents: int | None) -> int:
    """The micros of Stripe's amount."""
    return (cents or 0) * MICROS_PER_CENT


def error_of(intent: Json) -> Json:
    """Why the last attempt at a payment failed; empty if it did not."""
    return cast("Json", intent.get("last_payment_error") or {})


def is_declined(intent: Json) -> bool:
    """Whether an attempt failed in a way that asking the customer would not mend, and another could still be made."""
    code = error_of(intent).get("code")
    return intent["status"] == "requires_payment_method" and code not in (None, AUTHENTICATION_REQUIRED)


def needs_customer(intent: Json) -> bool:
    """Whether a charge without the customer failed because their bank wants to see them."""
    code = error_of(intent).get("code")
    return intent["status"] == "requires_payment_method" and code == AUTHENTICATION_REQUIRED


def facts_of_intent(intent: Json, *, refunds: Iterable[Json] = (), disputes: Iterable[Json] = ()) -> Facts:
    """What an intent says, with its refunds and disputes."""
    status: PaymentStatus = "failed" if is_declined(intent) else _STATUSES.get(intent["status"], "created")
    redirect = (intent.get("next_action") or {}).get("redirect_to_url") or {}
    facts = Facts(
        status,
        received_micros=micros(intent.get("amount_received")),
        failure_code=_failure_code(intent) if status == "failed" else None,
        action_url=redirect.get("url") if status == "requires_action" else None,
    )
    if status == "succeeded" and not facts.received_micros:
        facts = replace(facts, received_micros=micros(intent["amount"]))
    return _with_what_moved(facts, refunds, disputes)


def facts_of_charge(charge: Json) -> Facts | None:
    """What the charge of a payment says. None before it succeeds: its intent says more then."""
    if charge.get("status") != "succeeded":
        return None
    received = micros(charge.get("amount_captured") or charge["amount"])
    return Facts("succeeded", received_micros=received, refunded_micros=micros(charge.get("amount_refunded")))


def facts_of_refund(refund: Json) -> Facts:
    """What a refund says: the payment had succeeded, and at least this much of it went back."""
    at_least = Facts("succeeded", received_micros=micros(refund["amount"]))
    return _with_what_moved(at_least, [refund], [])


def facts_of_dispute(dispute: Json) -> Facts:
    """What a dispute says: the payment had succeeded, and what the bank has done about it."""
    at_least = Facts("succeeded", received_micros=micros(dispute["amount"]))
    return _with_what_moved(at_least, [], [dispute])


def _with_what_moved(facts: Facts, refunds: Iterable[Json], disputes: Iterable[Json]) -> Facts:
    refunded = withdrawn = reinstated = 0
    for refund in refunds:
        refunded += refund["amount"]
        # A refund that fails comes back to us. Facts only grow, so it counts on both sides.
        reinstated += refund["amount"] if refund.get("status") in _GIVEN_BACK else 0
    for dispute in disputes:
        for moved in dispute.get("balance_transactions") or []:
            # The account may settle in another currency: then the dispute's own amount says what moved.
            same = moved["currency"] == dispute["currency"]
            amount = abs(moved["amount"]) if same else dispute["amount"]
            withdrawn += amount if moved["amount"] < 0 else 0
            reinstated += amount if moved["amount"] > 0 else 0
    return replace(
        facts,
        refunded_micros=micros(refunded),
        withdrawn_micros=micros(withdrawn),
        reinstated_micros=micros(reinstated),
    )


def _failure_code(intent: Json) -> str:
    error = error_of(intent)
    charge = intent.get("latest_charge")
    outcome = charge if isinstance(charge, Mapping) else {}
    found = decline_code(error) or outcome.get("failure_code") or intent.get("cancellation_reason")
    return str(found or "canceled")


def decline_code(error: Json) -> str | None:
    """The most telling code of an error."""
    code = error.get("code")
    if code == "card_declined" and error.get("decline_code") not in _VAGUE:
        return cast("str", error["decline_code"])
    return cast("str | None", code)


def payment_of(intent: Json, facts: Facts) -> Payment:
    """The payment of an intent."""
    metadata = intent.get("metadata") or {}
    return Payment(
        payment_id=intent["id"],
        account_id=metadata.get("account_id"),
        topup_id=metadata.get("topup_id"),
        amount_micros=micros(intent["amount"]),
        currency=intent["currency"].upper(),
        created_at=datetime.fromtimestamp(intent["created"], UTC),
        facts=facts,
    )


def method_of(stored: Json, mandate: Json | None = None) -> Method:
    """A payment method that can be charged. A type that we do not take is a failed one."""
    type_ = stored["type"]
    if type_ not in ("card", "sepa_debit"):
        return Method("failed", "card", failure_code="unsupported_type")
    shown = stored.get(type_) or {}
    state = None if mandate is None else _MANDATES.get(mandate.get("status") or "", "inactive")
    return Method(
        "active",
        cast("MethodType", type_),
        reference=stored["id"],
        brand=shown.get("brand"),
        last4=shown.get("last4"),
        exp_month=shown.get("exp_month"),
        exp_year=shown.get("exp_year"),
        mandate=cast("Any", state) if type_ == "sepa_debit" else None,
    )


def method_of_session(session: Json) -> Method:
    """What became of a Checkout session that sets a method up, with its intent expanded."""
    type_ = cast("MethodType", (session.get("payment_method_types") or ["card"])[0])
    waiting = Method("requires_action", type_, setup_id=session["id"], setup_url=session.get("url"))
    if session["status"] == "open":
        return waiting
    intent = session.get("setup_intent")
    if session["status"] == "expired" or not isinstance(intent, Mapping):
        return replace(waiting, status="failed", setup_url=None, failure_code="setup_expired")
    if intent["status"] == "succeeded":
        mandate = intent.get("mandate")
        made = method_of(intent["payment_method"], mandate if isinstance(mandate, Mapping) else None)
        return replace(made, setup_id=session["id"])
    if intent["status"] == "processing":
        return replace(waiting, status="pending", setup_url=None)
    code = decline_code(intent.get("last_setup_error") or {}) or "setup_failed"
    return replace(waiting, status="failed", setup_url=None, failure_code=code)


def heard_of(event: Json) -> Heard:
    """What an event says, from its own snapshot."""
    type_, told = event["type"], event["data"]["object"]
    heard = Heard(event["id"], type_, account_id=(told.get("metadata") or {}).get("account_id"))
    if type_.startswith("payment_intent."):
        return replace(heard, payment_id=told["id"], facts=facts_of_intent(told))
    if type_.startswith("checkout.session.") and told.get("mode") == "setup":
        return replace(heard, setup_id=told["id"])
    facts = _moved(type_, told)
    payment_id = _id_of(told.get("payment_intent"))
    if facts is None or payment_id is None:
        return heard
    return replace(heard, payment_id=payment_id, facts=facts, is_all=told.get("object") == "charge")


def _moved(type_: str, told: Json) -> Facts | None:
    """What an event says of money that has moved since a payment was made."""
    kind = told.get("object")
    if type_.startswith("charge.dispute.") and kind == "dispute":
        return facts_of_dispute(told)
    if type_.startswith(("refund.", "charge.refund.")) and kind == "refund":
        return facts_of_refund(told)
    if type_.startswith("charge.") and kind == "charge":
        return facts_of_charge(told)
    return None


def _id_of(value: Any) -> str | None:
    return cast("str | None", value["id"] if isinstance(value, Mapping) else value)
