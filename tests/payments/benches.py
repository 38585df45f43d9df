"""What the contract test needs of a provider's world: tokens, customers who act, and webhooks that arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from typing import Any, Literal, Protocol

import httpx

from billing_mcp.domain.payments import Method, MethodType
from billing_mcp.payments.embedded import EmbeddedProvider
from billing_mcp.payments.port import Payment, PaymentOrder, Provider
from billing_mcp.payments.stripe_provider import StripeProvider
from billing_mcp.store.store import Store
from tests.conftest import Clock
from tests.sockets import listening

Kind = Literal["good", "attach_declined", "declined", "authenticate", "sepa"]

ACCOUNT = "0190c0de-0000-7000-8000-000000000001"
AMOUNT = 12_100_000
API_KEY = "sk_test_51SecretOfOurs"
SECRET = "whsec_test"
RETURN_URL = "https://billing.example.com/paid"
_numbers = count(1)


class Bench(Protocol):
    """A provider, and the hands of its customers."""

    provider: Provider

    async def token(self, kind: Kind) -> str: ...
    async def authenticate(self, payment: Payment, *, succeeds: bool) -> None: ...
    async def complete_set_up(self, setup_id: str, kind: Kind) -> None: ...
    async def settle(self) -> None: ...
    def webhooks(self) -> AsyncIterator[tuple[bytes, Mapping[str, str]]]: ...


class EmbeddedBench:
    """The test provider, whose clock is turned."""

    _TOKENS: Mapping[Kind, str] = {
        "good": "tok_visa",
        "attach_declined": "tok_attach_declined",
        "declined": "tok_declined",
        "authenticate": "tok_authenticate",
        "sepa": "tok_sepa",
    }

    def __init__(self, provider: EmbeddedProvider, clock: Clock) -> None:
        self.provider: Provider = provider
        self._own = provider
        self._clock = clock

    async def token(self, kind: Kind) -> str:
        return self._TOKENS[kind]

    async def authenticate(self, payment: Payment, *, succeeds: bool) -> None:
        await self._own.authenticate(payment.payment_id, succeeds=succeeds)

    async def complete_set_up(self, setup_id: str, kind: Kind) -> None:
        await self._own.complete_set_up(setup_id, self._TOKENS[kind])

    async def settle(self) -> None:
        self._clock.now += timedelta(days=3)

    async def webhooks(self) -> AsyncIterator[tuple[bytes, Mapping[str, str]]]:
        for delivery in await self._own.due_webhooks(self._clock(), 100):
            yield delivery.body, delivery.headers


class StripeBench:
    """Stripe's library before localstripe."""

    _CARDS: Mapping[Kind, str] = {
        "good": "4242424242424242",
        "attach_declined": "4000000000000002",
        "declined": "4000000000000341",
        "authenticate": "4000002500003155",
    }

    def __init__(self, url: str, client: httpx.AsyncClient, arrived: asyncio.Queue[tuple[bytes, Mapping[str, str]]]):
        self.provider: Provider = StripeProvider(API_KEY, [SECRET], return_url=RETURN_URL, api_base=url)
        self._client = client
        self._arrived = arrived

    async def token(self, kind: Kind) -> str:
        if kind == "sepa":
            made: Mapping[str, Any] = {"type": "sepa_debit", "sepa_debit": {"iban": "DE89370400440532013000"}}
        else:
            card = {"number": self._CARDS[kind], "exp_month": 12, "exp_year": 2034, "cvc": "123"}
            made = {"type": "card", "card": card}
        return str((await self._post("/v1/payment_methods", made))["id"])

    async def authenticate(self, payment: Payment, *, succeeds: bool) -> None:
        path = f"/v1/payment_intents/{payment.payment_id}"
        intent = (await self._client.get(path)).json()
        await self._post(f"{path}/_authenticate", {"client_secret": intent["client_secret"], "success": succeeds})

    async def complete_set_up(self, setup_id: str, kind: Kind) -> None:
        method = {"payment_method": await self.token(kind)}
        await self._post(f"/v1/checkout/sessions/{setup_id}/_complete", method)

    async def settle(self) -> None:
        """It settles debits at once."""

    async def webhooks(self) -> AsyncIterator[tuple[bytes, Mapping[str, str]]]:
        while True:
            yield await self._arrived.get()

    async def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return (await self._client.post(path, json=body)).raise_for_status().json()


@asynccontextmanager
async def embedded(database: str, clock: Clock) -> AsyncIterator[Bench]:
    """The test provider on a database."""
    store = await Store.open(database)
    try:
        yield EmbeddedBench(await EmbeddedProvider.open(store, clock), clock)
    finally:
        await store.close()


@asynccontextmanager
async def over_localstripe(url: str) -> AsyncIterator[Bench]:
    """Stripe's library before a localstripe that has been emptied, and sends webhooks."""
    arrived: asyncio.Queue[tuple[bytes, Mapping[str, str]]] = asyncio.Queue()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await reader.readexactly(int(headers["Content-Length"]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        arrived.put_nowait((body, headers))

    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with listening(receive) as port, httpx.AsyncClient(base_url=url, headers=headers) as client:
        (await client.delete("/_config/data")).raise_for_status()
        hook = {"url": f"http://127.0.0.1:{port}/", "secret": SECRET}
        (await client.post("/_config/webhooks/ours", json=hook)).raise_for_status()
        bench = StripeBench(url, client, arrived)
        try:
            yield bench
        finally:
            await bench.provider.close()


async def added(bench: Bench, kind: Kind) -> tuple[str, Method]:
    """A new customer and the method that a token makes."""
    customer = await bench.provider.create_customer(ACCOUNT, key=key())
    token = await bench.token(kind)
    return customer, await bench.provider.add_method(customer, account_id=ACCOUNT, token=token, key=key())


async def created(bench: Bench, kind: Kind, *, amount_micros: int = AMOUNT) -> Payment:
    """A payment with such a method that is registered."""
    customer, method = await added(bench, kind)
    assert method.reference is not None
    order = order_of(customer, method.reference, method.type, amount_micros=amount_micros)
    return await bench.provider.create_payment(order, key=key())


def order_of(customer: str, method: str, type_: MethodType = "card", *, amount_micros: int = AMOUNT) -> PaymentOrder:
    """What is to be paid."""
    return PaymentOrder(ACCOUNT, f"topup-{next(_numbers)}", customer, method, type_, amount_micros, "EUR")


def key() -> str:
    """A new idempotency key."""
    return f"key-{next(_numbers)}"
