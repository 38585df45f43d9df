"""Batches of messages: each for itself, or all or nothing; after a crash, too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient

from billing_mcp.app import App
from billing_mcp.catalog.loader import default_text
from billing_mcp.domain.errors import BillingError, Unavailable
from billing_mcp.domain.instructions import Instruction, Receipt
from billing_mcp.settings import Settings
from tests.conftest import Clock
from tests.faces.platform import NOBODY, PlatformClient, must, platform_client, refusal
from tests.faces.sender import EMAIL, PHONE, RCS, SMS, Sender, taken, told
from tests.faces.server import ACCOUNT, billing_mcp, serving
from tests.world import World


async def test_each_message_of_a_batch_is_accepted_for_itself(platform: PlatformClient, world: World) -> None:
    sender = Sender(platform, await world.account(funds="0.30"))

    answer = await must(
        sender.batch(
            {**SMS, "reference": "msg_1"},
            {**SMS, "to": ["0151"]},
            {**SMS, "segments": 4},
            {**EMAIL, "to": ["ada"]},
            {**RCS, "market": "DE"},
            {**SMS, "segments": 2},
        )
    )

    body = answer.json()
    assert told(body) == [
        (201, ""),
        (422, "invalid_argument"),
        (402, "insufficient_funds"),
        (422, "invalid_argument"),
        (201, ""),
        (201, ""),
    ]
    assert body["counts"] == {"done": 3, "replayed": 0, "refused": 3}
    ways = body["items"][2]["error"]["ways_to_cover"]
    assert ways[0]["path"] == f"/v1/platform/accounts/{sender.account_id}/credits"
    campaign = await sender.get(f"campaigns/{body['campaign_id']}")
    assert (campaign["status"], campaign["messages"], campaign["name"]) == ("running", 3, "")
    (first, *_) = [each["message"] for each in body["items"] if "message" in each]
    assert (first["campaign_id"], first["reference"]) == (body["campaign_id"], "msg_1")
    assert await sender.account() == (0.005, 0.295)
    assert (await world.audit()).findings == ()


@pytest.mark.parametrize("mode", ["each", "all_or_nothing"])
async def test_a_batch_has_1_to_1000_messages_and_happens_once_under_its_key(
    platform: PlatformClient, elsewhere: PlatformClient, world: World, clock: Clock, mode: str
) -> None:
    sender = Sender(platform, await world.account(funds="75.00"))
    messages = [{**SMS, "to": [f"+49151{number:08d}"]} for number in range(1000)]
    first = await must(sender.batch(*messages, mode=mode, name="Spring", key="k"))
    clock.now += timedelta(days=1)

    again = [
        await must(each.batch(*messages, mode=mode, name="Spring", key="k"))
        for each in (sender, Sender(elsewhere, sender.account_id))
    ]

    assert first.json()["counts"] == {"done": 1000, "replayed": 0, "refused": 0}
    assert {item["status"] for item in first.json()["items"]} == {201}
    assert [(each.content, each.headers["idempotent-replayed"]) for each in again] == [(first.content, "true")] * 2
    refusal(await sender.batch(*messages[1:], mode=mode, name="Spring", key="k"), 422, "idempotency_key_reused")
    for wrong in ([], [*messages, SMS]):
        assert refusal(await sender.batch(*wrong, mode=mode), 422, "invalid_argument")["field"] == "messages"
    campaign = await sender.get(f"campaigns/{first.json()['campaign_id']}")
    assert (campaign["messages"], campaign["name"]) == (1000, "Spring")
    assert await sender.account() == (0, 75)
    assert (await world.audit()).findings == ()


async def test_of_a_batch_of_all_or_nothing_the_first_that_is_refused_refuses_all_by_its_place(
    platform: PlatformClient, sender: Sender, world: World
) -> None:
    before = await world.snapshot(sender.account_id)
    good = [SMS] * 20
    for wrong, code, field in [
        ({**SMS, "to": ["0151"]}, "invalid_argument", "messages.17.to"),
        ({**SMS, "segments": None}, "invalid_argument", "messages.17.text"),
        ({**SMS, "segments": 0}, "invalid_argument", "messages.17.segments"),
        ({**SMS, "market": "de"}, "invalid_argument", "messages.17.market"),
        ({**SMS, "campaign_id": NOBODY}, "unknown_argument", "messages.17.campaign_id"),
        ({**RCS, "market": "US", "type": "fax"}, "invalid_argument", "messages.17.type"),
    ]:
        messages = [*good[:17], wrong, *good[18:]]
        refused = await sender.batch(*messages, mode="all_or_nothing", campaign_id=NOBODY, key="k")
        assert refusal(refused, 422, code)["field"] == field

    assert await world.snapshot(sender.account_id) == before
    refusal(await platform.send("GET", f"/v1/campaigns/{NOBODY}?account_id={sender.account_id}"), 404, "not_found")
    assert await taken(platform) == []
    assert (await must(sender.batch(*good, mode="all_or_nothing", key="k"))).json()["counts"]["done"] == 20


async def test_a_batch_of_all_or_nothing_says_what_the_whole_of_it_is_short_of(
    platform: PlatformClient, world: World
) -> None:
    sender = Sender(platform, await world.account(funds="1.00"))
    before = await world.snapshot(sender.account_id)

    refused = await sender.batch(*[SMS] * 20, mode="all_or_nothing", key="k")

    body = refusal(refused, 402, "insufficient_funds")
    assert (body["shortfall"], body["free"], body["reserved"], body["idempotency_key"]) == (0.5, 1, 0, "k")
    assert "field" not in body
    assert body["ways_to_cover"][0]["path"] == f"/v1/platform/accounts/{sender.account_id}/credits"
    assert await world.snapshot(sender.account_id) == before
    assert await taken(platform) == []
    await world.pay(sender.account_id, "0.50")
    assert (await must(sender.batch(*[SMS] * 20, mode="all_or_nothing", key="k"))).json()["counts"]["done"] == 20


async def test_what_cannot_be_read_of_a_message_refuses_the_whole_batch_by_its_place(sender: Sender) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"channel": "fax"}, "channel"),
        ({"market": "DEU"}, "market"),
        ({"segments": 1.5}, "segments"),
        ({"to": [None]}, "to.0"),
        ({"account_id": NOBODY}, "account_id"),
    ]
    for change, field in wrong:
        refused = await sender.batch(*[SMS] * 17, {**SMS, **change}, key="k")
        assert refusal(refused, 422, refused.json()["code"])["field"] == f"messages.17.{field}", change
    assert refusal(await sender.batch(SMS, name="a\u001fb"), 422, "invalid_argument")["field"] == "name"
    assert refusal(await sender.batch(SMS, mode="most"), 422, "invalid_argument")["field"] == "mode"
    assert await sender.account() == (10, 0)


async def test_a_message_that_has_no_price_is_named_by_its_place(database: str, clock: Clock, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.toml"
    priced_anywhere = '"*" = ["0.0950", "0.0900", "0.0860"]\n'
    text = default_text()
    assert text.count(priced_anywhere) == 1
    catalog.write_text(text.replace(priced_anywhere, ""), "utf-8")
    settings = Settings(database=database, catalog=catalog, workers=1)
    async with App.open(settings, clock=clock) as app, platform_client(app) as platform:
        sender = Sender(platform, await World(app, clock).account(funds="10.00"))
        messages = [SMS, {**SMS, "market": "IT"}, SMS]

        alone = refusal(await sender.send(messages[1]), 422, "not_priced")
        each = (await must(sender.batch(*messages))).json()
        whole = refusal(await sender.batch(*messages, mode="all_or_nothing"), 422, "not_priced")

    assert (alone["field"], whole["field"]) == ("market", "messages.1.market")
    assert told(each) == [(201, ""), (422, "not_priced"), (201, "")]


async def test_a_batch_of_long_texts_has_room(demo: str) -> None:
    made = billing_mcp("keys", "create", "sender", "--platform", "--json", "--database", demo)
    headers = {"Authorization": f"Bearer {json.loads(made.stdout)['key']}"}
    long = {"channel": "sms", "to": [PHONE], "market": "US", "text": "x" * 1530}
    body = {"account_id": ACCOUNT, "messages": [long] * 1000}
    async with serving(demo) as server, AsyncClient(headers=headers, timeout=60) as client:
        sent = await client.post(f"http://{server.address}/v1/messages/batch", json=body)

    assert (sent.status_code, len(sent.json()["items"])) == (200, 1000)


class Cut:
    """A server that is stopped after it has accepted a batch, and before it can say so."""

    def __init__(self, platform: PlatformClient) -> None:
        self._carry_out = platform.app.messages.carry_out
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, instructions: Sequence[Instruction]) -> list[Receipt | BillingError]:
        outcomes = await self._carry_out(instructions)
        self.reached.set()
        await self.go_on.wait()
        return outcomes


async def test_after_a_crash_the_same_batch_is_taken_over_in_the_same_campaign_and_nothing_is_sent_twice(
    platform: PlatformClient,
    elsewhere: PlatformClient,
    sender: Sender,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut = Cut(platform)
    monkeypatch.setattr(platform.app.messages, "carry_out", cut)
    crashing = asyncio.create_task(sender.batch(SMS, RCS, EMAIL, key="k"))
    await cut.reached.wait()
    crashing.cancel()
    await asyncio.wait([crashing])

    refusal(await Sender(elsewhere, sender.account_id).batch(SMS, RCS, EMAIL, key="k"), 409, "idempotency_key_in_use")
    clock.now += timedelta(seconds=60)
    taken_over = (await must(Sender(elsewhere, sender.account_id).batch(SMS, RCS, EMAIL, key="k"))).json()

    assert taken_over["counts"] == {"done": 0, "replayed": 3, "refused": 0}
    assert {each["message"]["campaign_id"] for each in taken_over["items"]} == {taken_over["campaign_id"]}
    assert len(await taken(platform)) == 3


async def test_what_of_a_batch_failed_for_the_moment_is_tried_again_under_the_same_key(
    platform: PlatformClient, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out = platform.app.messages.carry_out

    async def full_after_one(instructions: Sequence[Instruction]) -> list[Receipt | BillingError]:
        return [*await carry_out(instructions[:1]), Unavailable("too many wait", code="queue_full")]

    monkeypatch.setattr(platform.app.messages, "carry_out", full_after_one)
    first = (await must(sender.batch(SMS, EMAIL, key="k"))).json()
    monkeypatch.undo()
    second = (await must(sender.batch(SMS, EMAIL, key="k"))).json()

    assert (told(first), second["counts"]["replayed"]) == ([(201, ""), (503, "queue_full")], 1)
    assert told(second) == [(201, ""), (201, "")]
    assert second["campaign_id"] == first["campaign_id"]
