"""The platform's routes of webhooks: where accounts hear of events, and what became of telling them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from billing_mcp.app import App
from billing_mcp.domain.events import Event
from billing_mcp.settings import Settings
from tests.conftest import NOW, Clock
from tests.faces.platform import CREDENTIAL, NOBODY, PlatformClient, must, platform_client, refusal
from tests.store.books import raw_connection
from tests.webhooks.receiver import Heard, receiving, reply
from tests.world import World

URL = "https://hooks.example.com/billing"
EVENT = "billing.invoice.issued"


@pytest.fixture
async def app(database: str, clock: Clock) -> AsyncIterator[App]:
    """An app whose accounts may be told of events on this machine."""
    async with App.open(Settings(database=database, workers=1, webhooks_to_loopback=True), clock=clock) as opened:
        yield opened


def endpoints(account_id: str, *more: str) -> str:
    return "/".join([f"/v1/accounts/{account_id}/webhook-endpoints", *more])


def deliveries(account_id: str, *more: str) -> str:
    return "/".join([f"/v1/accounts/{account_id}/webhook-deliveries", *more])


async def added(platform: PlatformClient, account_id: str, url: str = URL, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = (await must(platform.send("POST", endpoints(account_id), {"url": url, **more}))).json()
    return made


async def happened(platform: PlatformClient, account_id: str, event: str = EVENT) -> None:
    async with platform.app.store.write(platform.app.clock()) as tx:
        await tx.outbox.add(Event(account_id, event, {}))
    await platform.app.worker().run_once()


async def test_an_endpoint_is_shown_as_it_was_made_and_its_secret_once(platform: PlatformClient, world: World) -> None:
    account_id = await world.account()
    asked = {"url": "https://Hooks.Example.com./billing", "events": [EVENT, "billing.balance_low", EVENT]}

    made = await must(platform.send("POST", endpoints(account_id), asked))

    shown = made.json()
    secret = shown.pop("secret")
    assert secret.startswith("whsec_")
    assert Webhook(secret)
    assert made.headers["location"] == endpoints(account_id, shown["endpoint_id"])
    assert (shown["url"], shown["events"]) == (URL, ["billing.balance_low", EVENT])
    assert (shown["status"], shown["reason"], shown["failing_since"]) == ("enabled", None, None)
    assert await platform.get(endpoints(account_id, shown["endpoint_id"])) == shown
    assert await platform.get(endpoints(account_id)) == {"items": [shown]}


async def test_under_a_key_one_endpoint_is_made_and_its_secret_is_kept_from_whoever_reads_the_database(
    platform: PlatformClient, world: World, database: str
) -> None:
    account_id = await world.account()
    first = await must(platform.send("POST", endpoints(account_id), {"url": URL}, key="k1"))
    second = await must(platform.send("POST", endpoints(account_id), {"url": URL}, key="k1"))

    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"
    assert len((await platform.get(endpoints(account_id)))["items"]) == 1
    async with raw_connection(database) as run:
        ((kept,),) = await run("SELECT answer FROM platform_requests")
    assert first.json()["secret"] not in kept


async def test_what_is_wrong_with_a_request_is_said_and_nothing_is_made(platform: PlatformClient, world: World) -> None:
    account_id = await world.account()
    for url in ("http://example.com/", "https://10.0.0.1/", "https://2130706433/", "https://user@example.com/"):
        problem = refusal(await platform.send("POST", endpoints(account_id), {"url": url}), 422, "webhook_url_refused")
        assert problem["field"] == "url"
    wrong = {"url": URL, "events": ["billing.plan.change"]}
    problem = refusal(await platform.send("POST", endpoints(account_id), wrong), 422, "invalid_argument")
    assert "Did you mean billing.plan.changed?" in problem["hint"]
    refusal(await platform.send("POST", endpoints(NOBODY), {"url": URL}), 404, "not_found")

    assert await platform.get(endpoints(account_id)) == {"items": []}


async def test_an_account_has_at_most_twenty_endpoints(platform: PlatformClient, world: World) -> None:
    account_id = await world.account()
    for _ in range(20):
        await added(platform, account_id)

    refusal(await platform.send("POST", endpoints(account_id), {"url": URL}), 409, "too_many_webhooks")


async def test_endpoints_and_deliveries_of_another_account_are_not_found(
    platform: PlatformClient, world: World
) -> None:
    one, other = await world.account(), await world.account()
    async with receiving() as receiver:
        made = await added(platform, one, receiver.url)
        await happened(platform, one)
    (delivery,) = (await platform.get(deliveries(one)))["items"]

    own = made["endpoint_id"]
    for method, path, body in (
        ("GET", endpoints(other, own), None),
        ("PATCH", endpoints(other, own), {"enabled": False}),
        ("DELETE", endpoints(other, own), None),
        ("POST", endpoints(other, own, "rotate-secret"), None),
        ("POST", endpoints(other, own, "test"), None),
        ("GET", deliveries(other, delivery["delivery_id"]), None),
        ("POST", deliveries(other, delivery["delivery_id"], "replay"), None),
        ("GET", deliveries(NOBODY), None),
        ("GET", endpoints(NOBODY), None),
    ):
        refusal(await platform.send(method, path, body), 404, "not_found")
    assert await platform.get(deliveries(other)) == {"items": [], "next_cursor": None}
    assert len(receiver.heard) == 1


async def test_a_change_is_what_it_says_and_leaves_the_rest(platform: PlatformClient, world: World) -> None:
    account_id = await world.account()
    made = await added(platform, account_id, events=[EVENT])
    path = endpoints(account_id, made["endpoint_id"])

    moved = (await must(platform.send("PATCH", path, {"url": "https://other.example.com/"}))).json()
    widened = (await must(platform.send("PATCH", path, {"events": []}))).json()
    off = (await must(platform.send("PATCH", path, {"enabled": False}))).json()
    on = (await must(platform.send("PATCH", path, {"enabled": True}))).json()

    assert (moved["url"], moved["events"]) == ("https://other.example.com/", [EVENT])
    assert (widened["url"], widened["events"]) == (moved["url"], [])
    assert (off["status"], off["reason"]) == ("disabled", "platform")
    assert (on["status"], on["reason"]) == ("enabled", None)
    refusal(await platform.send("PATCH", path, {"url": "http://example.com/"}), 422, "webhook_url_refused")


async def test_an_endpoint_that_is_removed_is_not_found_and_what_it_was_told_is(
    platform: PlatformClient, world: World
) -> None:
    account_id = await world.account()
    async with receiving() as receiver:
        made = await added(platform, account_id, receiver.url)
        await happened(platform, account_id)
        removed = await must(platform.send("DELETE", endpoints(account_id, made["endpoint_id"])))
        await happened(platform, account_id)

    assert (removed.status_code, len(receiver.heard)) == (204, 1)
    refusal(await platform.send("GET", endpoints(account_id, made["endpoint_id"])), 404, "not_found")
    (delivery,) = (await platform.get(deliveries(account_id)))["items"]
    refusal(await platform.send("POST", deliveries(account_id, delivery["delivery_id"], "replay")), 404, "not_found")


async def test_a_rotated_secret_signs_beside_the_one_before(platform: PlatformClient, world: World) -> None:
    account_id = await world.account()
    made = await added(platform, account_id)

    rotated = (await must(platform.send("POST", endpoints(account_id, made["endpoint_id"], "rotate-secret")))).json()

    assert rotated["secret"] != made["secret"]
    assert rotated["previous_secret_until"] == "2026-03-13T10:00:00Z"
    shown = await platform.get(endpoints(account_id, made["endpoint_id"]))
    assert "secret" not in shown


async def test_a_test_sends_one_signed_message_and_shows_what_was_answered(
    platform: PlatformClient, world: World
) -> None:
    async def answer(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        await reply(writer, 418, body="short and stout")

    account_id = await world.account()
    async with receiving(answer) as receiver:
        made = await added(platform, account_id, receiver.url, events=[EVENT])
        path = endpoints(account_id, made["endpoint_id"])
        await must(platform.send("PATCH", path, {"enabled": False}))
        told = (await must(platform.send("POST", f"{path}/test"))).json()

    (heard,) = receiver.heard
    assert (told["ok"], told["status_code"], told["error"], told["answer"]) == (False, 418, None, "short and stout")
    assert told["message_id"] == heard.message_id
    assert json.loads(heard.body)["type"] == "billing.webhook.test"
    assert len(heard.headers["webhook-signature"].split()) == 1
    assert (await platform.get(deliveries(account_id)))["items"] == []


async def test_deliveries_are_listed_once_each_by_whatever_filter(
    platform: PlatformClient, world: World, clock: Clock
) -> None:
    account_id = await world.account()
    async with receiving() as good, receiving(500) as bad:
        every = await added(platform, account_id, good.url)
        some = await added(platform, account_id, bad.url, events=[EVENT])
        for event in (EVENT, "billing.plan.changed", EVENT):
            clock.now += timedelta(seconds=1)
            await happened(platform, account_id, event)

    async def listed(query: str) -> list[tuple[str, str]]:
        found, cursor = [], ""
        while True:
            page = await platform.get(f"{deliveries(account_id)}?limit=2{query}{cursor}")
            found += [(each["endpoint_id"], each["event"]) for each in page["items"]]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    whole = await listed("")
    assert len(whole) == 5
    assert list(reversed(await listed("&order=oldest"))) == whole
    assert await listed(f"&endpoint_id={some['endpoint_id']}") == [(some["endpoint_id"], EVENT)] * 2
    assert await listed("&event=billing.plan.changed") == [(every["endpoint_id"], "billing.plan.changed")]
    assert {endpoint for endpoint, _ in await listed("&status=delivered")} == {every["endpoint_id"]}
    assert await listed("&status=dead") == []
    refusal(await platform.send("GET", f"{deliveries(account_id)}?event=nothing"), 422, "invalid_argument")
    refusal(await platform.send("GET", f"{deliveries(account_id)}?cursor=abc"), 422, "invalid_argument")


async def test_a_delivery_shows_what_is_sent_and_every_attempt_and_can_be_replayed(
    platform: PlatformClient, world: World, clock: Clock
) -> None:
    account_id = await world.account()
    async with receiving(500) as receiver:
        made = await added(platform, account_id, receiver.url)
        await happened(platform, account_id)
        (listed,) = (await platform.get(deliveries(account_id)))["items"]
        path = deliveries(account_id, listed["delivery_id"])
        failed = await platform.get(path)
        receiver.answer = 200
        clock.now += timedelta(seconds=1)
        replayed = (await must(platform.send("POST", f"{path}/replay"))).json()
        await platform.app.worker().run_once()
        after = await platform.get(path)
        await must(platform.send("PATCH", endpoints(account_id, made["endpoint_id"]), {"enabled": False}))
        refusal(await platform.send("POST", f"{path}/replay"), 409, "webhook_disabled")

    assert failed["body"] == receiver.heard[0].body == receiver.heard[1].body
    assert (failed["status"], failed["last_status_code"], failed["attempts"]) == ("waiting", 500, 1)
    assert (replayed["status"], replayed["attempts"]) == ("waiting", 0)
    assert (after["status"], [each["status_code"] for each in after["log"]]) == ("delivered", [500, 200])
    assert receiver.heard[0].message_id == receiver.heard[1].message_id == listed["message_id"]
    assert after["ended_at"] == "2026-03-12T10:00:01Z"
    assert clock.now > NOW


async def test_another_credential_of_the_platform_opens_no_kept_secret(platform: PlatformClient, world: World) -> None:
    account_id = await world.account()
    await must(platform.send("POST", endpoints(account_id), {"url": URL}, key="k1"))
    async with platform_client(platform.app, "platform_2", f"{CREDENTIAL}2") as other:
        again = await must(other.send("POST", endpoints(account_id), {"url": URL}, key="k1"))

    assert "idempotent-replayed" not in again.headers
