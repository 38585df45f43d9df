"""Where a provider's webhooks arrive: signed, without a key, recorded before they are answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from billing_mcp.app import App
from billing_mcp.domain.errors import Conflict
from billing_mcp.faces.health import Health
from billing_mcp.faces.http import build_http_app
from billing_mcp.faces.metrics import Metrics
from billing_mcp.faces.provider_webhooks import PATH
from billing_mcp.faces.rates import Rates
from billing_mcp.operations import REGISTRY
from billing_mcp.payments.embedded import EmbeddedProvider
from billing_mcp.payments.embedded_webhooks import SIGNATURE_HEADER, Delivery, signed
from billing_mcp.settings import Settings
from billing_mcp.store.engine import TransactionAbortedError
from billing_mcp.store.provider_books import PendingWebhook
from tests.conftest import NOW, Clock
from tests.faces.asgi import client_of
from tests.faces.server import serving
from tests.faces.test_metrics import platform_key
from tests.generated import OPENAPI
from tests.world import World

WEBHOOKS = PATH.format(provider="test")
NOT_THEIRS = {"/livez", "/readyz", PATH, "/v1/documents/{signed}.pdf"}


class Bank:
    """The embedded provider of an app, and what it has to tell."""

    def __init__(self, app: App, world: World) -> None:
        assert isinstance(app.provider, EmbeddedProvider)
        self.provider = app.provider
        self.app = app
        self.world = world

    async def debit(self, amount: str = "50.00") -> str:
        """An account whose SEPA debit of an amount has begun, and will settle in three days."""
        account_id = await self.world.account()
        await self.world.must(f"billing.payment_methods.add(account_id={account_id!r}, token='tok_sepa')")
        await self.world.must(f"billing.topups.create(account_id={account_id!r}, amount={amount!r})")
        return account_id

    async def signed(self, body: str) -> Delivery:
        """Any body, signed by the provider now."""
        async with self.app.store.read(NOW) as tx:
            return signed(PendingWebhook("", "", NOW, body), await tx.provider_books.secret(), NOW)

    async def told(self, event: str, now: datetime) -> list[Delivery]:
        """What is due, of one kind, signed now."""
        due = await self.provider.due_webhooks(now, limit=100)
        return [each for each in due if json.loads(each.body)["type"] == event]


@pytest.fixture
def bank(app: App, world: World) -> Bank:
    return Bank(app, world)


@pytest.fixture
async def http(app: App) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of all that is served over HTTP, without a key."""
    served = build_http_app(app, Metrics(REGISTRY), Health(app), Rates(app.settings))
    async with client_of(served) as client:
        client.base_url = httpx2.URL("http://localhost")
        yield client


async def post(http: httpx2.AsyncClient, delivery: Delivery, path: str = WEBHOOKS) -> httpx2.Response:
    return await http.post(path, content=delivery.body, headers=dict(delivery.headers))


async def test_a_webhook_is_answered_once_the_money_is_in_the_wallet_and_its_copies_change_nothing(
    bank: Bank, http: httpx2.AsyncClient, clock: Clock
) -> None:
    account_id = await bank.debit()
    assert await bank.world.balance(account_id) == "0.00"
    clock.now += timedelta(days=3)
    (settled,) = await bank.told("payment.succeeded", clock.now)

    first = await post(http, settled)
    assert (first.status_code, first.content, await bank.world.balance(account_id)) == (204, b"", "50.00")

    answers = await asyncio.gather(*[post(http, settled) for _ in range(10)])
    assert {each.status_code for each in answers} == {204}
    assert await bank.world.balance(account_id) == "50.00"
    assert (await bank.world.audit()).findings == ()


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda it: replace(it, body=it.body.replace(b"succeeded", b"created00")),
        lambda it: replace(it, headers={}),
        lambda it: replace(it, headers={SIGNATURE_HEADER: it.headers[SIGNATURE_HEADER][:-1] + "x"}),
        lambda it: replace(it, headers={SIGNATURE_HEADER: "t=1,v1=" + "0" * 64}),
    ],
    ids=["another body", "no signature", "another signature", "an old one"],
)
async def test_what_the_provider_has_not_signed_is_refused_unread(
    bank: Bank, http: httpx2.AsyncClient, clock: Clock, spoiled: Any
) -> None:
    account_id = await bank.debit()
    clock.now += timedelta(days=3)
    (settled,) = await bank.told("payment.succeeded", clock.now)

    refused = await post(http, spoiled(settled))

    assert (refused.status_code, refused.json()["code"]) == (403, "invalid_signature")
    assert account_id not in refused.text
    assert "pay_" not in refused.text
    assert await bank.world.balance(account_id) == "0.00"


async def test_a_provider_that_this_server_has_not_is_not_found(bank: Bank, http: httpx2.AsyncClient) -> None:
    await bank.debit()
    (created,) = await bank.told("payment.created", NOW)

    for name in ("stripe", "nobody"):
        refused = await post(http, created, PATH.format(provider=name))
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert (await http.get(WEBHOOKS)).status_code == 405


async def test_what_is_signed_and_no_event_is_refused_and_news_of_other_things_are_taken(
    bank: Bank, http: httpx2.AsyncClient
) -> None:
    await bank.debit()
    (created,) = await bank.told("payment.created", NOW)
    event = json.loads(created.body)
    event["payment"]["payment_id"] = "pay_of_somebody_else"

    assert (await post(http, await bank.signed("[]"))).json()["code"] == "invalid_argument"
    assert (await post(http, await bank.signed(json.dumps(event)))).status_code == 204


async def test_when_the_database_is_busy_the_provider_is_asked_to_send_it_again(
    bank: Bank, http: httpx2.AsyncClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = await bank.debit()
    clock.now += timedelta(days=3)
    (settled,) = await bank.told("payment.succeeded", clock.now)
    hear, tried = bank.app.charging.hear, 0

    async def fails(*_: Any) -> None:
        raise Conflict("the database is busy", code="database_busy")

    async def aborts_twice(heard: Any) -> None:
        nonlocal tried
        tried += 1
        if tried < 3:
            raise TransactionAbortedError
        await hear(heard)

    monkeypatch.setattr(bank.app.charging, "hear", fails)
    busy = await post(http, settled)
    assert (busy.status_code, busy.json()["code"], "retry-after" in busy.headers) == (503, "database_busy", True)
    monkeypatch.setattr(bank.app.charging, "hear", aborts_twice)
    assert (await post(http, settled)).status_code == 204
    assert (tried, await bank.world.balance(account_id)) == (3, "50.00")


async def test_no_line_of_the_log_has_anything_of_a_body(bank: Bank, http: httpx2.AsyncClient, clock: Clock) -> None:
    account_id = await bank.debit()
    clock.now += timedelta(days=3)
    (settled,) = await bank.told("payment.succeeded", clock.now)

    with capture_logs() as lines:
        await post(http, settled)
        await post(http, replace(settled, body=settled.body + b" "))

    said = json.dumps(lines, default=str)
    assert [line["event"] for line in lines] == ["webhook_recorded", "request", "request"]
    assert "amount_micros" not in said
    assert account_id not in said


async def test_bad_signatures_are_bounded_by_address_and_good_ones_pass_all_the_same(
    bank: Bank, app: App, clock: Clock
) -> None:
    await bank.debit()
    clock.now += timedelta(days=3)
    (settled,) = await bank.told("payment.succeeded", clock.now)
    strict = app.settings.model_copy(update={"anonymous_rate_limit": "2/hour"})
    served = build_http_app(app, Metrics(REGISTRY), Health(app), Rates(strict))

    async with client_of(served) as http:
        http.base_url = httpx2.URL("http://localhost")
        bad = replace(settled, headers={})
        assert [(await post(http, bad)).status_code for _ in range(4)] == [403, 403, 429, 429]
        assert (await http.get("/v1/billing/balance")).status_code == 429
        assert (await post(http, settled)).status_code == 204


async def test_nothing_else_is_served_without_a_key(app: App) -> None:
    settings = app.settings.model_copy(update={"anonymous_rate_limit": ""})
    async with client_of(build_http_app(app, Metrics(REGISTRY), Health(app), Rates(settings))) as http:
        http.base_url = httpx2.URL("http://localhost")
        await refused_all(http)


async def refused_all(http: httpx2.AsyncClient) -> None:
    """Whatever is asked, a key is missing."""
    described = json.loads(OPENAPI.read_text("utf-8"))["paths"]
    assert PATH in described
    asked = 0
    for path, methods in described.items():
        if path in NOT_THEIRS:
            continue
        for method in methods:
            refused = await http.request(method.upper(), path)
            assert (refused.status_code, refused.json()["code"]) == (401, "key_missing"), path
            asked += 1
    assert asked > 50
    for path in ("/v1/providers", "/v1/providers/test", "/v1/providers/test/webhooks/", "/v1/providers/test/payments"):
        assert (await http.post(path)).status_code == 401


async def test_a_real_server_records_what_the_provider_sends_and_counts_it(sqlite: str) -> None:
    async with App.open(Settings(database=sqlite, workers=1), clock=lambda: NOW) as app:
        bank = Bank(app, World(app, Clock()))
        await bank.debit()
        (created,) = await bank.told("payment.created", NOW)
    key = platform_key(sqlite)
    async with serving(sqlite) as server, httpx2.AsyncClient(base_url=f"http://{server.address}") as http:
        large = await http.post(WEBHOOKS, content=b"x" * 10_000_000, headers=dict(created.headers))
        assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
        assert (await post(http, created)).status_code == 204
        assert (await post(http, replace(created, headers={}))).status_code == 403
        measured = (await http.get("/metrics", headers={"authorization": f"Bearer {key}"})).text

    assert 'billing_provider_webhooks_total{outcome="recorded",provider="test"} 1.0' in measured
    assert 'billing_provider_webhooks_total{outcome="invalid_signature",provider="test"} 1.0' in measured
    assert f'billing_http_requests_total{{method="POST",route="{PATH}",status="204"}} 1.0' in measured
