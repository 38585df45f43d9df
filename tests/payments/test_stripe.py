"""What Stripe's adapter promises beyond the contract: what it hears, what it sends, and what it never tells."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import reduce
from typing import Any

import pytest
import stripe

from billing_mcp.domain.errors import BillingError, InvalidArgument, PermissionDenied, Unavailable
from billing_mcp.domain.payments import Facts
from billing_mcp.payments.port import Heard, Provider
from billing_mcp.payments.stripe_provider import StripeProvider
from tests.conftest import NOW
from tests.payments.benches import ACCOUNT, API_KEY, RETURN_URL, order_of
from tests.sockets import listening

OLD_SECRET, NEW_SECRET = "whsec_old", "whsec_new"
AMOUNT = 1210
RECEIVED = 12_100_000
PAID = Facts("succeeded", received_micros=RECEIVED)
METADATA = {"account_id": ACCOUNT, "topup_id": "topup-1"}
INTENT: dict[str, Any] = {
    "id": "pi_1", "object": "payment_intent", "amount": AMOUNT, "amount_received": 0, "currency": "eur",
    "created": 1_773_309_600, "status": "requires_confirmation", "metadata": METADATA,
    "latest_charge": "ch_1", "last_payment_error": None, "next_action": None,
}  # fmt: skip
CHARGE: dict[str, Any] = {
    "id": "ch_1", "object": "charge", "amount": AMOUNT, "amount_captured": AMOUNT, "amount_refunded": 0,
    "status": "succeeded", "payment_intent": "pi_1", "metadata": METADATA, "disputed": False,
}  # fmt: skip
DISPUTE: dict[str, Any] = {
    "id": "dp_1", "object": "dispute", "amount": AMOUNT, "currency": "eur", "charge": "ch_1",
    "payment_intent": "pi_1", "status": "needs_response", "metadata": {}, "balance_transactions": [],
}  # fmt: skip
WITHDRAWN = {"object": "balance_transaction", "amount": -AMOUNT, "fee": 2000, "net": -AMOUNT - 2000, "currency": "eur"}
REINSTATED = {"object": "balance_transaction", "amount": AMOUNT, "fee": 0, "net": AMOUNT, "currency": "eur"}
REFUND: dict[str, Any] = {
    "id": "re_1", "object": "refund", "amount": 500, "status": "succeeded", "currency": "eur",
    "charge": "ch_1", "payment_intent": "pi_1", "metadata": {},
}  # fmt: skip


def provider(api_base: str = "http://127.0.0.1:9", *, timeout_s: float = 20, key: str = API_KEY) -> StripeProvider:
    return StripeProvider(key, [NEW_SECRET, OLD_SECRET], return_url=RETURN_URL, api_base=api_base, timeout_s=timeout_s)


def signed(event: object, *, secret: str = NEW_SECRET, age_s: int = 0) -> tuple[bytes, dict[str, str]]:
    body = event if isinstance(event, str) else json.dumps(event)
    header = stripe.WebhookSignature.generate_signature_header(body, secret, int(time.time()) - age_s)
    return body.encode(), {"Stripe-Signature": header}


def heard(type_: str, told: Mapping[str, Any]) -> Heard:
    event = {"id": "evt_1", "object": "event", "type": type_, "data": {"object": told}, "api_version": "2026-10-28"}
    return provider().hear(*signed(event))


def error(code: str, **more: str) -> dict[str, Any]:
    return {"type": "card_error", "code": code, "message": "Your card was declined.", **more}


@pytest.mark.parametrize(
    ("type_", "changes", "facts"),
    [
        ("payment_intent.created", {}, Facts("created")),
        ("payment_intent.processing", {"status": "processing"}, Facts("processing")),
        ("payment_intent.succeeded", {"status": "succeeded", "amount_received": AMOUNT}, PAID),
        (
            "payment_intent.requires_action",
            {
                "status": "requires_action",
                "next_action": {"type": "redirect_to_url", "redirect_to_url": {"url": "https://bank.example/3ds"}},
            },
            Facts("requires_action", action_url="https://bank.example/3ds"),
        ),
        (
            "payment_intent.payment_failed",
            {
                "status": "requires_payment_method",
                "last_payment_error": error("card_declined", decline_code="insufficient_funds"),
            },
            Facts("failed", failure_code="insufficient_funds"),
        ),
        (
            "payment_intent.payment_failed",
            {
                "status": "requires_payment_method",
                "last_payment_error": error("card_declined", decline_code="generic_decline"),
            },
            Facts("failed", failure_code="card_declined"),
        ),
        (
            "payment_intent.payment_failed",
            {"status": "requires_payment_method", "last_payment_error": error("authentication_required")},
            Facts("created"),
        ),
        ("payment_intent.canceled", {"status": "canceled"}, Facts("failed", failure_code="canceled")),
    ],
)
def test_an_event_of_a_payment_says_how_far_it_came(type_: str, changes: dict[str, Any], facts: Facts) -> None:
    assert heard(type_, INTENT | changes) == Heard("evt_1", type_, ACCOUNT, "pi_1", facts)


@pytest.mark.parametrize(
    ("type_", "moved", "withdrawn", "reinstated"),
    [
        ("charge.dispute.created", [], 0, 0),
        ("charge.dispute.created", [WITHDRAWN], RECEIVED, 0),
        ("charge.dispute.funds_withdrawn", [WITHDRAWN], RECEIVED, 0),
        ("charge.dispute.closed", [WITHDRAWN], RECEIVED, 0),
        ("charge.dispute.funds_reinstated", [WITHDRAWN, REINSTATED], RECEIVED, RECEIVED),
        ("charge.dispute.funds_withdrawn", [WITHDRAWN | {"currency": "usd", "amount": -1400}], RECEIVED, 0),
    ],
)
def test_a_dispute_or_a_debit_that_is_returned_says_what_the_bank_took(
    type_: str, moved: list[Any], withdrawn: int, reinstated: int
) -> None:
    told = heard(type_, DISPUTE | {"balance_transactions": moved})

    assert (told.account_id, told.payment_id) == (None, "pi_1")
    assert told.facts == Facts("succeeded", RECEIVED, withdrawn_micros=withdrawn, reinstated_micros=reinstated)


def test_refunds_say_what_went_back_and_a_refund_that_fails_comes_back() -> None:
    back = Facts("succeeded", RECEIVED, refunded_micros=5_000_000)
    assert heard("charge.refunded", CHARGE | {"amount_refunded": 500}).facts == back

    for type_, status, reinstated in (
        ("refund.created", "succeeded", 0),
        ("refund.updated", "pending", 0),
        ("charge.refund.updated", "failed", 5_000_000),
        ("refund.failed", "failed", 5_000_000),
    ):
        told = heard(type_, REFUND | {"status": status})
        facts = Facts("succeeded", 5_000_000, refunded_micros=5_000_000, reinstated_micros=reinstated)
        assert (told.payment_id, told.facts) == ("pi_1", facts)


def test_whatever_order_events_arrive_in_the_same_is_known_in_the_end() -> None:
    story = [
        heard("payment_intent.created", INTENT),
        heard("payment_intent.processing", INTENT | {"status": "processing"}),
        heard("payment_intent.succeeded", INTENT | {"status": "succeeded", "amount_received": AMOUNT}),
        heard("charge.dispute.funds_withdrawn", DISPUTE | {"balance_transactions": [WITHDRAWN]}),
        heard("charge.dispute.funds_reinstated", DISPUTE | {"balance_transactions": [WITHDRAWN, REINSTATED]}),
    ]
    facts = [each.facts for each in story if each.facts is not None]

    known = {reduce(Facts.merged, order * 2) for order in itertools.permutations(facts)}

    assert known == {Facts("succeeded", RECEIVED, withdrawn_micros=RECEIVED, reinstated_micros=RECEIVED)}


@pytest.mark.parametrize("type_", ["checkout.session.completed", "checkout.session.expired"])
def test_the_end_of_a_set_up_names_it(type_: str) -> None:
    session = {"id": "cs_1", "object": "checkout.session", "mode": "setup", "metadata": METADATA}

    assert heard(type_, session) == Heard("evt_1", type_, ACCOUNT, setup_id="cs_1")
    assert heard(type_, session | {"mode": "payment"}).setup_id is None


@pytest.mark.parametrize(
    ("type_", "told"),
    [
        ("customer.created", {"id": "cus_1", "object": "customer"}),
        ("charge.pending", CHARGE | {"status": "pending"}),
        ("charge.succeeded", CHARGE | {"payment_intent": None}),
        ("payout.paid", {"id": "po_1", "object": "payout", "metadata": None}),
    ],
)
def test_an_event_of_no_concern_tells_of_no_payment(type_: str, told: Mapping[str, Any]) -> None:
    event = heard(type_, told)

    assert (event.type, event.payment_id, event.facts, event.setup_id) == (type_, None, None, None)


def test_while_secrets_are_changed_webhooks_are_good_with_either() -> None:
    event = {"id": "evt_1", "object": "event", "type": "payment_intent.created", "data": {"object": INTENT}}

    for secret in (OLD_SECRET, NEW_SECRET):
        assert provider().hear(*signed(event, secret=secret, age_s=290)).payment_id == "pi_1"
    for wrong in (signed(event, secret="whsec_other"), signed(event, age_s=310)):
        with pytest.raises(PermissionDenied) as refused:
            provider().hear(*wrong)
        assert refused.value.code == "invalid_signature"


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '"text"', "{}", '{"object": "v2.core.event"}'])
def test_a_signed_body_that_is_no_event_is_refused(body: str) -> None:
    with pytest.raises(InvalidArgument):
        provider().hear(*signed(body))


Answer = tuple[int, Any]


@asynccontextmanager
async def answering(answer: Callable[[str, str], Answer]) -> AsyncIterator[tuple[str, list[tuple[str, str, str]]]]:
    """A server that answers as Stripe would, and what it was asked: the first line, the headers, the body."""
    asked: list[tuple[str, str, str]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, _, headers = (await reader.readuntil(b"\r\n\r\n")).decode().partition("\r\n")
        length = headers.lower().partition("content-length: ")[2].partition("\r\n")[0]
        asked.append((line, headers, (await reader.readexactly(int(length or 0))).decode()))
        method, path, _ = line.split()
        status, body = answer(method, path.partition("?")[0])
        sent = json.dumps(body).encode()
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(sent)) + sent)
        await writer.drain()

    async with listening(serve) as port:
        yield f"http://127.0.0.1:{port}", asked


async def test_requests_carry_the_key_that_makes_them_happen_once() -> None:
    async with answering(lambda *_: (200, INTENT)) as (url, asked):
        opened = provider(url)
        await opened.create_payment(order_of("cus_1", "pm_1"), key="outbox-row-1")
        await opened.confirm_payment("pi_1", key="outbox-row-2")
        await opened.close()

    assert [line for line, _, _ in asked] == [
        "POST /v1/payment_intents HTTP/1.1",
        "POST /v1/payment_intents/pi_1/confirm HTTP/1.1",
    ]
    for (_, headers, _), key in zip(asked, ("outbox-row-1", "outbox-row-2"), strict=True):
        assert f"idempotency-key: {key}\r\n" in headers.lower()
    assert "amount=1210" in asked[0][2]
    assert "confirm" not in asked[0][2]
    assert "off_session=true" in asked[1][2]


async def test_a_declined_payment_is_closed_at_stripe_and_keeps_its_reason() -> None:
    failed = INTENT | {
        "status": "requires_payment_method",
        "last_payment_error": error("card_declined", decline_code="fraudulent"),
    }

    def answer(_method: str, path: str) -> Answer:
        if path.endswith("/confirm"):
            return 402, {"error": error("card_declined", decline_code="fraudulent")}
        return 200, INTENT | {"status": "canceled"} if path.endswith("/cancel") else failed

    async with answering(answer) as (url, asked):
        opened = provider(url)
        declined = await opened.confirm_payment("pi_1", key="k")
        await opened.close()

    assert declined.facts == Facts("failed", failure_code="fraudulent")
    assert asked[-1][0] == "POST /v1/payment_intents/pi_1/cancel HTTP/1.1"


async def test_a_look_up_adds_up_all_refunds_and_disputes() -> None:
    charge = CHARGE | {"disputed": True, "refunds": {"data": [REFUND], "has_more": True}}
    intent = INTENT | {"status": "succeeded", "amount_received": AMOUNT, "latest_charge": charge}
    pages = {
        "/v1/payment_intents/pi_1": intent,
        "/v1/refunds": {
            "object": "list",
            "data": [REFUND, REFUND | {"amount": 100, "status": "failed"}],
            "has_more": False,
        },
        "/v1/disputes": {
            "object": "list",
            "data": [DISPUTE | {"amount": 610, "balance_transactions": [WITHDRAWN | {"amount": -610}]}],
            "has_more": False,
        },
    }
    async with answering(lambda _, path: (200, pages[path])) as (url, _asked):
        opened = provider(url)
        payment = await opened.payment("pi_1")
        await opened.close()

    assert payment.facts == Facts("succeeded", RECEIVED, 6_000_000, 6_100_000, 1_000_000)
    assert payment.facts.kept_micros == 1_000_000


async def every_call(provider: Provider) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """Each thing that asks the network."""

    async def listed() -> None:
        async for _ in provider.payments(NOW, NOW + timedelta(days=1)):
            pass

    yield lambda: provider.create_customer(ACCOUNT, key="k")
    yield lambda: provider.add_method("cus_1", account_id=ACCOUNT, token="pm_1", key="k")
    yield lambda: provider.set_up_method("cus_1", account_id=ACCOUNT, type_="card", key="k")
    yield lambda: provider.method_of_setup("cs_1")
    yield lambda: provider.detach_method("pm_1")
    yield lambda: provider.create_payment(order_of("cus_1", "pm_1"), key="k")
    yield lambda: provider.confirm_payment("pi_1", key="k")
    yield lambda: provider.payment("pi_1")
    yield lambda: provider.refund("pi_1", 10_000, key="k")
    yield listed


async def refusals(provider: StripeProvider) -> list[BillingError]:
    found = []
    async for call in every_call(provider):
        with pytest.raises(BillingError) as refused:
            await call()
        found.append(refused.value)
    await provider.close()
    return found


@pytest.mark.parametrize("drop_by_drop", [False, True])
async def test_a_provider_that_never_ends_its_answer_is_unavailable_once_the_time_is_up(drop_by_drop: bool) -> None:

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if drop_by_drop:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while drop_by_drop:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.005)
        await reader.read()

    async with asyncio.timeout(30), listening(hang) as port:
        found = await refusals(provider(f"http://127.0.0.1:{port}", timeout_s=0.05))

    assert [each.code for each in found] == ["provider_unavailable"] * 10
    assert all(isinstance(each, Unavailable) for each in found)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, {"error": {"type": "invalid_request_error", "message": f"Wrong: {API_KEY}"}}, "provider_refused_us"),
        (403, {"error": {"type": "invalid_request_error", "message": f"Not for {API_KEY}"}}, "provider_refused_us"),
        (429, {"error": {"code": "rate_limit", "message": f"Slow down, {API_KEY}"}}, "provider_unavailable"),
        (409, {"error": {"type": "idempotency_error", "message": API_KEY}}, "provider_unavailable"),
        (500, {"error": {"type": "api_error", "message": API_KEY}}, "provider_unavailable"),
        (502, {"message": API_KEY}, "provider_unavailable"),
    ],
)  # fmt: skip
async def test_no_error_and_no_log_holds_the_api_key_or_a_text_of_stripe(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, status: int, body: Any, code: str
) -> None:
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.0)
    caplog.set_level(logging.DEBUG)
    async with answering(lambda *_: (status, body)) as (url, asked):
        found = await refusals(provider(url))

    assert {each.code for each in found} == {code}
    assert f"Bearer {API_KEY}" in asked[0][1]
    told = "".join("".join(traceback.format_exception(each)) + repr(each) + str(each.hint) for each in found)
    assert API_KEY not in told
    assert API_KEY not in caplog.text
    assert "sk_test" not in repr(provider())


def test_its_library_is_not_loaded_where_stripe_is_not_chosen() -> None:
    program = "import sys; import billing_mcp.payments.providers; sys.exit('stripe' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
