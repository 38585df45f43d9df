"""Top-ups, payment methods, reloads and alerts over REST: amounts as they are sent, and the newest state answered."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from billing_mcp.app import App
from billing_mcp.faces.health import Health
from billing_mcp.faces.http import build_http_app
from billing_mcp.faces.metrics import Metrics
from billing_mcp.faces.rates import Rates
from billing_mcp.kernel.principal import Permission
from billing_mcp.operations import REGISTRY
from billing_mcp.operations.platform import make_agent_key
from tests.faces.asgi import client_of
from tests.world import World

PAYMENT_METHODS, TOPUP = "/v1/billing/payment-methods", "/v1/billing/topup"
RELOAD, ALERTS = "/v1/billing/auto-reload", "/v1/billing/alerts"


@dataclass
class Caller:
    """A client with an agent's key to one account."""

    http: AsyncClient
    account: str
    key: str

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """A request, whose body may be its very text."""
        sent = {"Authorization": f"Bearer {self.key}", "Host": "127.0.0.1"} | headers
        if body is None:
            return await self.http.request(method, path, headers=sent)
        content = body if isinstance(body, str) else json.dumps(body)
        return await self.http.request(
            method, path, headers=sent | {"Content-Type": "application/json"}, content=content
        )

    async def must(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """The same, and it works."""
        response = await self.send(method, path, body, **headers)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found


@pytest.fixture
async def caller(app: App, world: World) -> AsyncIterator[Caller]:
    account = await world.account()
    async with app.store.write(app.clock()) as tx:
        key, _ = await make_agent_key(tx, "agent", account_ids=[account], permissions=list(Permission))
    async with client_of(build_http_app(app, Metrics(REGISTRY), Health(app), Rates(app.settings))) as http:
        yield Caller(http, account, key)


@pytest.fixture
async def payer(caller: Caller) -> Caller:
    """One whose account has a card that is good."""
    await caller.must("POST", PAYMENT_METHODS, {"token": "tok_visa"})
    return caller


async def test_adding_a_method_answers_with_what_came_of_it(caller: Caller) -> None:
    added = await caller.must("POST", PAYMENT_METHODS, {"token": "tok_sepa"})

    assert (added["status"], added["last4"], added["is_default"]) == ("active", "3000", True)
    assert await caller.must("GET", PAYMENT_METHODS) == {"items": [added]}


async def test_without_a_token_the_answer_has_the_url_where_the_customer_goes(caller: Caller) -> None:
    begun = await caller.must("POST", PAYMENT_METHODS, {"type": "sepa_debit"})

    assert begun["status"] == "requires_action"
    assert begun["setup_url"].startswith("https://")


@pytest.mark.parametrize("place", [TOPUP, "/v1/public/accounts/ACCOUNT/billing/topup"])
async def test_a_top_up_answers_with_what_came_of_the_charge(payer: Caller, place: str) -> None:
    response = await payer.send("POST", place.replace("ACCOUNT", payer.account), {"amount": "50.00"})

    topup = response.json()
    assert (response.status_code, topup["status"], topup["amount"]) == (200, "succeeded", "50.00")
    assert await payer.must("GET", f"{TOPUP}/{topup['topup_id']}") == topup
    stored = await payer.must("GET", f"/v1/executions/{response.headers['execution-id']}")
    assert (stored["result"]["status"], stored["followups"]) == ("pending", [{"topup": topup}])


async def test_a_charge_that_is_declined_is_no_error_of_the_request(caller: Caller) -> None:
    await caller.must("POST", PAYMENT_METHODS, {"token": "tok_declined"})

    topup = await caller.must("POST", TOPUP, {"amount": "50.00"})

    assert (topup["status"], topup["failure_code"]) == ("failed", "card_declined")


async def test_the_same_request_under_its_key_charges_once_and_answers_the_same(payer: Caller) -> None:
    key = {"Idempotency-Key": "top-up-1"}
    first = await payer.send("POST", TOPUP, {"amount": "50.00"}, **key)
    again = await payer.send("POST", TOPUP, {"amount": "50.00"}, **key)
    other = await payer.send("POST", TOPUP, {"amount": "60.00"}, **key)

    assert (again.status_code, again.content) == (200, first.content)
    assert again.json()["status"] == "succeeded"
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (await payer.must("GET", "/v1/billing/balance"))["free"] == 50


async def test_a_failed_execution_is_told_by_its_code(caller: Caller) -> None:
    response = await caller.send("POST", TOPUP, {"amount": "50.00"})

    assert (response.status_code, response.json()["code"]) == (409, "no_payment_method")
    assert response.json()["field"] == "payment_method_id"


@pytest.mark.parametrize("written", ['"50.00"', '"50"', "50", "50.0", "50.00", "5e1"])
async def test_an_amount_is_json_text_or_a_number(payer: Caller, written: str) -> None:
    topup = await payer.must("POST", TOPUP, f'{{"amount": {written}}}')

    assert topup["amount"] == "50.00"


@pytest.mark.parametrize(
    "written",
    [
        *("0.30000000000000004", "10.001", '"10.001"', "9.99", '"9.99"', "-50", '"-50.00"', "0", "100000.01"),
        *('"NaN"', '"1e400"', '"50,00"', '""', "true", "null", "[50]", '{"value": 50}', "1e300", "9" * 30),
    ],
)
async def test_what_is_no_amount_is_refused_by_its_field(payer: Caller, written: str) -> None:
    response = await payer.send("POST", TOPUP, f'{{"amount": {written}}}')

    assert (response.status_code, response.json()["code"]) == (422, "invalid_argument")
    assert response.json()["field"] == "amount"
    assert response.json()["hint"]


@pytest.mark.parametrize("written", ["NaN", "Infinity", "1e400", "050", "50."])
async def test_what_is_no_number_of_json_is_not_read_at_all(payer: Caller, written: str) -> None:
    response = await payer.send("POST", TOPUP, f'{{"amount": {written}}}')

    assert (response.status_code, response.json()["code"]) == (400, "not_json")


async def test_a_reload_is_put_and_says_what_it_has_begun(payer: Caller) -> None:
    wanted = {"enabled": True, "threshold": 20, "amount": "50.00", "monthly_cap": 200.5}

    put = await payer.must("PUT", RELOAD, wanted, **{"Idempotency-Key": "reload"})
    again = await payer.must("PUT", RELOAD, wanted, **{"Idempotency-Key": "reload"})

    assert again == put
    assert (put["threshold"], put["monthly_cap"], put["enabled"]) == ("20.00", "200.50", True)
    assert (await payer.must("GET", f"{TOPUP}/{put['topup_id']}"))["status"] == "succeeded"
    got = await payer.must("GET", RELOAD)
    assert (got["state"], got["topup_id"], got["reloaded_this_month"]) == ("armed", None, "50.00")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"threshold": "20.00", "amount": "50.00"}, "enabled"),
        ({"enabled": "yes", "threshold": "20.00", "amount": "50.00"}, "enabled"),
        ({"enabled": True, "threshold": "20.001", "amount": "50.00"}, "threshold"),
        ({"enabled": True, "threshold": "20.00"}, "amount"),
        ({"enabled": True, "threshold": "20.00", "ammount": "50.00"}, "ammount"),
    ],
)
async def test_a_reload_that_cannot_be_is_refused_by_its_field(payer: Caller, body: Any, field: str) -> None:
    response = await payer.send("PUT", RELOAD, body)

    assert (response.status_code, response.json()["field"]) == (422, field)
    assert (await payer.must("GET", RELOAD))["state"] == "off"


async def test_alerts_are_put_as_lists(payer: Caller) -> None:
    put = await payer.must("PUT", ALERTS, {"amounts": [50, "20.00"], "percent_of_last_topup": [20.0]})
    ended = await payer.must("PUT", ALERTS, {"amounts": [], "percent_of_last_topup": None})

    assert [each["value"] for each in put["thresholds"]] == ["50.00", "20.00", "20"]
    assert [each["value"] for each in ended["thresholds"]] == ["20"]
    assert await payer.must("GET", ALERTS) == ended


@pytest.mark.parametrize("body", [{"amounts": "50.00"}, {"amounts": [-1]}, {"amounts": [0.30000000000000004]}])
async def test_alerts_that_cannot_be_are_refused_by_their_field(payer: Caller, body: Any) -> None:
    response = await payer.send("PUT", ALERTS, body)

    assert (response.status_code, response.json()["field"]) == (422, "amounts")


async def test_a_script_over_rest_has_followups_beside_its_result(payer: Caller) -> None:
    code = f"billing.topups.create(account_id={payer.account!r}, amount='50.00')['status']"

    answer = await payer.must("POST", "/v1/executions", {"code": code})

    assert answer["result"] == "pending"
    (payment,) = answer["effects"]["payments"]
    assert (payment["method"], payment["credit"]) == ("visa 4242", "50.00")
    assert Decimal(payment["amount"]) >= 50
    assert [each["topup"]["status"] for each in answer["followups"]] == ["succeeded"]
