"""What is measured: after real holds, calls and executions, as Prometheus reads it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx2
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Route

from billing_mcp.app import App
from billing_mcp.domain.errors import BillingError, InsufficientFunds, Unavailable
from billing_mcp.faces.metrics import METRICS_PATH, Metrics
from billing_mcp.operations import REGISTRY
from billing_mcp.operations.drafts import Draft
from billing_mcp.settings import Settings
from tests.conftest import Clock
from tests.faces.asgi import client_of
from tests.faces.server import BALANCE, CHANGE, HttpServer, billing_mcp, connected, execute, make_key, serving
from tests.world import MANAGER, World

EUR = 1_000_000


def platform_key(database: str) -> str:
    """A key that may read the measures."""
    made = billing_mcp("keys", "create", "watcher", "--platform", "--json", "--database", database)
    key: str = json.loads(made.stdout)["key"]
    return key


async def scrape(server: HttpServer, key: str) -> dict[str, float]:
    """The measures of a server process."""
    async with httpx2.AsyncClient() as client:
        address = f"http://{server.address}{METRICS_PATH}"
        response = await client.get(address, headers={"authorization": f"Bearer {key}"})
    assert response.status_code == 200
    return samples(response.text)


def samples(text: str) -> dict[str, float]:
    """Every sample by its name and the values of its labels."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(sample.labels.values())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


async def measured(metrics: Metrics) -> dict[str, float]:
    """The measures, as they are served."""
    async with client_of(Starlette(routes=[Route("/", metrics.answer)])) as client:
        return samples((await client.get("/")).text)


@pytest.fixture
def metrics() -> Metrics:
    """What watches the app."""
    return Metrics(REGISTRY)


@pytest.fixture
async def app(database: str, clock: Clock, metrics: Metrics) -> AsyncIterator[App]:
    """The app, watched."""
    settings = Settings(database=database, postings_waiting=64, wall_after_write_s=10, execution_after_write_s=5)
    async with App.open(settings, clock=clock, observer=metrics) as opened:
        metrics.watch_waiting(lambda: opened.store.waiting)
        yield opened


async def test_each_instruction_is_counted_once_by_its_action_and_outcome(world: World, metrics: Metrics) -> None:
    holds = world.app.holds
    account_id = await world.account(funds="10.00")
    placed = await asyncio.gather(*(holds.place(account_id, EUR) for _ in range(8)))
    ids = [receipt.hold.hold_id for receipt in placed if receipt.hold is not None]
    for _ in range(2):
        await holds.place(account_id, EUR, idempotency_key="once")
    with pytest.raises(InsufficientFunds):
        await holds.place(account_id, 9 * EUR)
    await holds.capture(account_id, ids[0])
    await holds.release(account_id, ids[1])
    for refused in (holds.release(account_id, ids[1]), holds.expire(account_id, ids[2])):
        with pytest.raises(BillingError):
            await refused

    seen = await measured(metrics)
    assert {name: count for name, count in seen.items() if name.startswith("billing_holds_total")} == {
        "billing_holds_total{place,ok}": 9,
        "billing_holds_total{place,replayed}": 1,
        "billing_holds_total{place,insufficient_funds}": 1,
        "billing_holds_total{capture,ok}": 1,
        "billing_holds_total{release,ok}": 1,
        "billing_holds_total{release,hold_not_open}": 1,
        "billing_holds_total{expire,hold_not_due}": 1,
    }
    assert seen["billing_batch_size_sum"] == 15
    assert seen["billing_batch_size_count"] == seen["billing_batch_seconds_count"] <= 15 - 7
    assert seen["billing_refusals_total{insufficient_funds}"] == 1
    assert seen["billing_postings_waiting"] == 0


async def test_messages_and_what_became_of_them_are_counted_with_the_rest(world: World, metrics: Metrics) -> None:
    messages = world.app.messages
    account_id = await world.account(funds="0.10")
    sms = Draft("sms", to=["+4915112345678"], market="DE", segments=1)
    for _ in range(2):
        sent = await messages.send(account_id, sms, idempotency_key="once")
    with pytest.raises(InsufficientFunds):
        await messages.send(account_id, sms)
    assert sent.message is not None
    await messages.submit(await messages.reporting(account_id, sent.message.message_id, "delivered"))
    heard = await messages.hearing(account_id, sender="shop", user="+4915112345678", event_id="e1", kind="text")
    await messages.submit(heard)

    seen = await measured(metrics)
    assert {name: count for name, count in seen.items() if name.startswith("billing_holds_total")} == {
        "billing_holds_total{send,ok}": 1,
        "billing_holds_total{send,replayed}": 1,
        "billing_holds_total{send,insufficient_funds}": 1,
        "billing_holds_total{report,ok}": 1,
        "billing_holds_total{inbound,ok}": 1,
    }


async def test_what_waits_is_seen_and_what_finds_no_room_is_counted(world: World, metrics: Metrics) -> None:
    account_id = await world.account(funds="100.00")
    placing = [asyncio.create_task(world.app.holds.place(account_id, EUR)) for _ in range(70)]
    await asyncio.sleep(0)
    waiting = metrics.registry.get_sample_value("billing_postings_waiting")
    outcomes = await asyncio.gather(*placing, return_exceptions=True)

    refused = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
    seen = await measured(metrics)
    assert (waiting, len(refused)) == (64, 6)
    assert seen["billing_holds_total{place,queue_full}"] == 6
    assert seen["billing_holds_total{place,ok}"] == 64


async def test_executions_and_their_calls_are_counted_as_their_answers_say(world: World, metrics: Metrics) -> None:
    account_id = await world.account(funds="100.00")
    known = f"account_id={account_id!r}"
    before = await measured(metrics)
    await world.must(f"billing.wallet_balance.get({known})\nbilling.balance.get({known})\nbilling.balance.get({known})")
    change = f"billing.plan.change({known}, plan_id='smtp_per_proxy')"
    await world.run(change, preview=True)
    for _ in range(2):
        await world.must(f"billing.balance.get({known})\n{change}", idempotency_key="k")
    await world.run(change)
    with pytest.raises(BillingError):
        await world.app.executor.read(MANAGER, "billing.nothing.get", {})
    await world.app.executor.read(MANAGER, "billing.balance.get", {"account_id": account_id})

    seen = {name: value - before.get(name, 0) for name, value in (await measured(metrics)).items()}
    assert {name: value for name, value in seen.items() if name.startswith("billing_executions_total")} == {
        "billing_executions_total{completed}": 2,
        "billing_executions_total{previewed}": 1,
        "billing_executions_total{replayed}": 1,
        "billing_executions_total{failed}": 1,
    }
    assert {name: value for name, value in seen.items() if name.startswith("billing_calls_total")} == {
        "billing_calls_total{billing.wallet_balance.get,ok}": 1,
        "billing_calls_total{billing.balance.get,ok}": 4,  # a pass that is run again counts once
        "billing_calls_total{billing.plan.change,ok}": 2,
        "billing_calls_total{billing.plan.change,plan_unchanged}": 1,
        "billing_calls_total{unknown,unknown_function}": 1,
    }
    assert seen["billing_execution_seconds_count"] == 5
    assert seen["billing_refusals_total{plan_unchanged}"] == 1


async def test_a_process_tells_prometheus_what_it_did_over_http(demo: str) -> None:
    key, _ = make_key(demo, "--permissions", "view,manage")
    watcher = platform_key(demo)
    async with serving(demo) as server:
        async with connected(server, key) as client:
            await execute(client, BALANCE)
            await execute(client, CHANGE)
        async with httpx2.AsyncClient() as other:
            for path in ("/other", "/b/c", "/mcp/d"):
                await other.get(f"http://{server.address}{path}")
            for path in ("/livez", "/static-offline-docs/x", "/static-offline-docs/y"):
                await other.get(f"http://{server.address}{path}")
            for account_id in ("0190c0de-0000-7000-8000-000000000001", "no-account"):
                address = f"http://{server.address}/v1/platform/accounts/{account_id}"
                await other.get(address, headers={"authorization": f"Bearer {watcher}"})
            await other.request("PROPFIND", f"http://{server.address}/pot")
            address, bearer = f"http://{server.address}{METRICS_PATH}", f"Bearer {watcher}"
            modern = {"authorization": bearer, "accept": "application/openmetrics-text; version=1.0.0"}
            openmetrics = await other.get(address, headers=modern)
            odd = await other.get(address, headers=modern | {"accept": "application/openmetrics-text; version=new"})
            assert odd.status_code == 200
        seen = await scrape(server, watcher)

    assert seen["billing_executions_total{completed}"] == 2
    assert seen["billing_calls_total{billing.plan.change,ok}"] == 1
    assert seen["billing_http_requests_total{GET,none,401}"] == 3
    assert seen["billing_http_requests_total{POST,/mcp,200}"] >= 2
    assert seen["billing_http_request_seconds_count{/mcp}"] >= 2
    assert seen["billing_http_requests_total{GET,/livez,200}"] == 1
    assert seen["billing_http_requests_total{GET,/metrics,200}"] == 2
    assert seen["billing_http_request_seconds_count{/v1/platform/accounts/{account_id}}"] == 2
    assert seen["billing_http_requests_total{GET,none,404}"] == 2
    assert not any(path in name for name in seen for path in ("/other", "/b/c", "/mcp/d", "PROPFIND", "/pot"))
    assert any(name.startswith("billing_build_info{") for name in seen)
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert "billing_executions" in {family.name for family in parse_openmetrics(openmetrics.text)}  # type: ignore[no-untyped-call]


async def test_jobs_and_refusals_at_the_door_are_counted(metrics: Metrics) -> None:
    metrics.job_ended("hold_expiry", "ok", 0.2)
    metrics.refused("rate_limited")

    seen = await measured(metrics)
    assert seen["billing_jobs_total{ok,hold_expiry}"] == seen["billing_job_seconds_count{hold_expiry}"] == 1
    assert seen["billing_refusals_total{rate_limited}"] == 1
