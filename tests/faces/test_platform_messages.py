"""The platform's routes of messages: sent, refused, delivered, held back; each with what it costs."""

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
from tests.faces.server import ACCOUNT, billing_mcp, serving
from tests.world import World

PHONE = "+4915112345678"
NOW = "2026-03-12T10:00:00Z"
SMS: dict[str, Any] = {"channel": "sms", "to": [PHONE], "market": "DE", "segments": 1}
RCS: dict[str, Any] = {"channel": "rcs", "to": [PHONE], "market": "DE", "text": "Hello", "sender": "northwind"}
EMAIL: dict[str, Any] = {"channel": "email", "to": ["ada@example.com"]}


class Sender:
    """What a server of the platform sends of messages of one account."""

    def __init__(self, platform: PlatformClient, account_id: str) -> None:
        self.platform = platform
        self.account_id = account_id

    async def send(self, content: dict[str, Any], *, key: str | None = None, **more: Any) -> Any:
        body = {"account_id": self.account_id, **content, **more}
        return await self.platform.send("POST", "/v1/messages", body, key=key)

    async def sent(self, content: dict[str, Any], **more: Any) -> dict[str, Any]:
        """A message that is accepted."""
        message: dict[str, Any] = (await must(self.send(content, **more))).json()
        return message

    async def batch(self, *messages: dict[str, Any], key: str | None = None, **more: Any) -> Any:
        body = {"account_id": self.account_id, "messages": list(messages), **more}
        return await self.platform.send("POST", "/v1/messages/batch", body, key=key)

    async def campaign(self, *messages: dict[str, Any]) -> str:
        """The id of a campaign of messages that are accepted, all of them."""
        answer = (await must(self.batch(*messages, mode="all_or_nothing"))).json()
        return str(answer["campaign_id"])

    async def report(self, message: dict[str, Any], status: str = "delivered", **more: Any) -> Any:
        body = {"account_id": self.account_id, "status": status, **more}
        return await self.platform.send("POST", f"/v1/messages/{message['message_id']}/receipts", body)

    async def reported(self, message: dict[str, Any], status: str = "delivered", **more: Any) -> dict[str, Any]:
        """The message after a receipt that is taken in."""
        told: dict[str, Any] = (await must(self.report(message, status, **more))).json()
        return told

    async def hear(self, event_id: str, kind: str = "text", **more: Any) -> Any:
        asked = {"sender": "northwind", "user": PHONE, "event_id": event_id, "kind": kind, "occurred_at": NOW, **more}
        return await self.platform.send("POST", "/v1/messages/inbound", {"account_id": self.account_id, **asked})

    async def act(self, campaign_id: str, act: str, *, key: str | None = None) -> Any:
        path = f"/v1/campaigns/{campaign_id}/{act}"
        return await self.platform.send("POST", path, {"account_id": self.account_id}, key=key)

    async def get(self, path: str) -> Any:
        """What is shown below a path of messages or campaigns."""
        return await self.platform.get(f"/v1/{path}{'&' if '?' in path else '?'}account_id={self.account_id}")

    async def account(self) -> tuple[float, float]:
        """What is free, and what is reserved."""
        shown = await self.platform.get(f"/accounts/{self.account_id}")
        return shown["free"], shown["reserved"]


async def taken(platform: PlatformClient, **asked: int) -> list[dict[str, Any]]:
    """What is taken from the outbox."""
    answer = await must(platform.send("POST", "/v1/messages/outbox/take", asked))
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


@pytest.fixture
async def sender(platform: PlatformClient, world: World) -> Sender:
    return Sender(platform, await world.account(funds="10.00"))


async def test_a_message_is_answered_with_what_it_costs_and_is_where_its_location_says(
    platform: PlatformClient, sender: Sender
) -> None:
    answer = await must(sender.send({**SMS, "segments": None, "text": "x" * 161}, reference="msg_ünï", sender="Shop"))

    message = answer.json()
    billing = message.pop("billing")
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/messages/{message['message_id']}?account_id={sender.account_id}"
    shown = await platform.get(answer.headers["location"])
    assert message.items() <= shown.items()
    assert (message["status"], message["reference"], message["sender"]) == ("accepted", "msg_ünï", "Shop")
    assert billing == {
        "unit": "segment",
        "quantity": 2,
        "unit_price": "0.075",
        "tier": "standard",
        "market": "DE",
        "amount": "0.15",
        "currency": "EUR",
        "hold": {"hold_id": shown["hold_id"], "amount": "0.15", "expires_at": "2026-03-19T10:00:00Z"},
        "active_user": None,
        "free": 9.85,
        "rule_id": "sms.gsm7",
        "catalog_version": "2020-01",
    }
    assert shown["accepted"] == {
        **{name: billing[name] for name in ("rule_id", "unit", "quantity", "unit_price", "amount", "tier")},
        "catalog_version": "2020-01",
    }
    assert (shown["charged"], shown["delivered"], shown["failed"]) == (None, 0, 0)
    assert await sender.account() == (9.85, 0.15)


COSTS: list[tuple[dict[str, Any], tuple[str, int, str, str | None, str]]] = [
    ({**EMAIL, "cc": ["bob@example.com"], "bcc": ["eve@example.com"]}, ("basic", 3, "0.0027", None, "email.basic")),
    ({**SMS, "segments": 3}, ("segment", 3, "0.225", None, "sms.given")),
    ({**SMS, "market": "US"}, ("segment", 1, "0.0079", None, "sms.given")),
    (RCS, ("basic", 1, "0.06", "0.01", "rcs.standard.basic")),
    ({**RCS, "suggestions": ["reply"]}, ("single", 1, "0.08", "0.01", "rcs.standard.single")),
    ({**RCS, "type": "rich_card"}, ("single", 1, "0.08", "0.01", "rcs.standard.single")),
    ({**RCS, "text": None, "text_bytes": 161, "market": "US"}, ("rich", 2, "0.02", "0.01", "rcs.us.rich")),
]


@pytest.mark.parametrize(("content", "costs"), COSTS)
async def test_each_channel_counts_in_its_own_units(
    sender: Sender, content: dict[str, Any], costs: tuple[str, int, str, str | None, str]
) -> None:
    billing = (await sender.sent(content))["billing"]

    names = ("unit", "quantity", "amount", "active_user", "rule_id")
    assert tuple(billing[name] for name in names) == costs


async def test_without_the_money_a_message_is_refused_and_nothing_is_stored_of_it(
    platform: PlatformClient, world: World
) -> None:
    sender = Sender(platform, await world.account(funds="0.20"))
    before = await world.snapshot(sender.account_id)

    body = refusal(await sender.send({**SMS, "segments": 3}, key="k"), 402, "insufficient_funds")

    assert (body["shortfall"], body["free"], body["currency"], body["idempotency_key"]) == (0.025, 0.2, "EUR", "k")
    assert body["ways_to_cover"][0]["path"] == f"/v1/platform/accounts/{sender.account_id}/credits"
    assert await world.snapshot(sender.account_id) == before
    async with world.app.store.read(world.clock()) as tx:
        assert await tx.messages.all(sender.account_id) == []
    assert await taken(platform) == []
    await world.pay(sender.account_id, "1.00")
    assert "idempotent-replayed" not in (await must(sender.send({**SMS, "segments": 3}, key="k"))).headers


async def test_a_message_under_a_key_is_answered_the_same_whatever_became_of_it(
    elsewhere: PlatformClient, sender: Sender, clock: Clock
) -> None:
    first = await must(sender.send({**SMS, "text": "Hi", "segments": None}, key="k"))
    await sender.reported(first.json(), segments=3)
    clock.now += timedelta(days=1)

    there = Sender(elsewhere, sender.account_id)
    again = [await must(each.send({**SMS, "text": "Hi", "segments": None}, key="k")) for each in (sender, there)]

    for each in again:
        assert (each.status_code, each.content) == (201, first.content)
        assert each.headers["location"] == first.headers["location"]
        assert (each.headers["idempotent-replayed"], "idempotent-replayed" in first.headers) == ("true", False)
    assert await sender.account() == (9.775, 0)


OTHERS: list[dict[str, Any]] = [
    {"to": ["+4915112345679"]},
    {"market": "AT"},
    {"segments": 2},
    {"segments": None, "text": "Hi"},
    {"reference": "r"},
    {"sender": "s"},
]


async def test_a_key_is_for_one_message_of_its_account_and_platform(
    other_platform: PlatformClient, platform: PlatformClient, sender: Sender, world: World
) -> None:
    await sender.sent(SMS, key="k")

    for change in OTHERS:
        refused = refusal(await sender.send({**SMS, **change}, key="k"), 422, "idempotency_key_reused")
        assert refused["field"] == "idempotency_key", change
    for other in (Sender(platform, await world.account(funds="1.00")), Sender(other_platform, sender.account_id)):
        assert "idempotent-replayed" not in (await must(other.send(SMS, key="k"))).headers
    assert await sender.account() == (9.85, 0.15)


NO_MESSAGES: list[tuple[dict[str, Any], str]] = [
    ({}, "channel"),
    ({**SMS, "channel": "fax"}, "channel"),
    ({**SMS, "channel": None}, "channel"),
    ({**SMS, "to": []}, "to"),
    ({**SMS, "to": [PHONE, "+4915112345679"]}, "to"),
    ({**SMS, "to": ["0151"]}, "to"),
    ({**SMS, "to": PHONE}, "to"),
    ({**SMS, "to": [1]}, "to.0"),
    ({**SMS, "market": "de"}, "market"),
    ({**SMS, "market": "DEU"}, "market"),
    ({**SMS, "market": None}, "market"),
    ({**SMS, "segments": 0}, "segments"),
    ({**SMS, "segments": 256}, "segments"),
    ({**SMS, "segments": True}, "segments"),
    ({**SMS, "segments": "1"}, "segments"),
    ({**SMS, "segments": None}, "text"),
    ({**SMS, "text": "Hi"}, "text"),
    ({**SMS, "type": "text"}, "type"),
    ({**SMS, "reference": "r" * 256}, "reference"),
    ({**SMS, "reference": "a\u001fb"}, "reference"),
    ({**SMS, "reference": None}, "reference"),
    ({**SMS, "sender": "s" * 101}, "sender"),
    ({**SMS, "sender": "a\nb"}, "sender"),
    ({**SMS, "account_id": "nobody"}, "account_id"),
    ({**SMS, "account_id": None}, "account_id"),
    ({**SMS, "campaign_id": "spring"}, "campaign_id"),
    ({**SMS, "idempotency_key": "k"}, "idempotency_key"),
    ({**EMAIL, "to": []}, "to"),
    ({**EMAIL, "to": ["ada"]}, "to"),
    ({**EMAIL, "cc": ["ada"]}, "cc"),
    ({**EMAIL, "bcc": ["ADA@example.com"]}, "bcc"),
    ({**EMAIL, "to": [f"a{number}@example.com" for number in range(1001)]}, "to"),
    ({**EMAIL, "market": "DE"}, "market"),
    ({**RCS, "type": "email"}, "type"),
    ({**RCS, "text_bytes": 5}, "text"),
    ({**RCS, "text": None, "text_bytes": -1}, "text_bytes"),
    ({**RCS, "suggestions": ["wink"]}, "suggestions.0"),
    ({**RCS, "suggestions": ["reply"] * 12}, "suggestions"),
    ({**RCS, "conversational": "yes"}, "conversational"),
]


async def test_what_is_no_message_is_refused_by_field(sender: Sender) -> None:
    for content, field in NO_MESSAGES:
        refused = await sender.send(content)
        assert refusal(refused, 422, refused.json()["code"])["field"] == field, content
    assert await sender.account() == (10, 0)


async def test_a_message_is_of_an_account_and_a_campaign_that_are_there(
    platform: PlatformClient, sender: Sender, world: World
) -> None:
    theirs = await Sender(platform, await world.account(funds="1.00")).campaign(SMS)

    assert refusal(await Sender(platform, NOBODY).send(SMS), 404, "not_found")["field"] == "account_id"
    for campaign_id in (NOBODY, theirs):
        refused = refusal(await sender.send(SMS, campaign_id=campaign_id), 404, "not_found")
        assert refused["field"] == "campaign_id"
    refusal(await Sender(platform, NOBODY).batch(SMS), 404, "not_found")
    refusal(await Sender(platform, NOBODY).batch(SMS, mode="all_or_nothing"), 404, "not_found")
    assert await sender.account() == (10, 0)


@pytest.mark.parametrize("path", ["messages/{}", "campaigns/{}", "campaigns/{}/messages"])
async def test_what_is_not_there_or_another_account_s_is_not_found(
    platform: PlatformClient, sender: Sender, world: World, path: str
) -> None:
    other = Sender(platform, await world.account(funds="1.00"))
    message = await other.sent(SMS, campaign_id=await other.campaign(SMS))
    theirs = message["message_id"] if path.startswith("messages") else message["campaign_id"]

    for named in (NOBODY, theirs):
        asked = f"/v1/{path.format(named)}?account_id={sender.account_id}"
        refusal(await platform.send("GET", asked), 404, "not_found")
    assert (await platform.send("GET", f"/v1/{path.format(theirs)}?account_id={other.account_id}")).status_code == 200
    for query, field in (("", "account_id"), ("?account_id=x", "account_id")):
        refused = await platform.send("GET", f"/v1/{path.format(theirs)}{query}")
        assert refusal(refused, 422, refused.json()["code"])["field"] == field


# --- Batches ---


def told(body: dict[str, Any]) -> list[tuple[int, str]]:
    """The status of each message of a batch, and why it was refused."""
    assert [each["index"] for each in body["items"]] == list(range(len(body["items"])))
    return [(each["status"], each["error"]["code"] if "error" in each else "") for each in body["items"]]


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


# --- Campaigns ---


async def test_a_campaign_that_is_paused_gives_its_money_back_and_leaves_the_outbox(
    platform: PlatformClient, sender: Sender, world: World
) -> None:
    campaign_id = await sender.campaign(*[SMS] * 3, RCS)
    beside = await sender.sent(SMS)

    paused = (await must(sender.act(campaign_id, "pause"))).json()
    again = (await must(sender.act(campaign_id, "pause"))).json()

    assert (paused["status"], paused["by_status"]["paused"]) == ("paused", {"messages": 4, "charged": "0.00"})
    assert again == paused == await sender.get(f"campaigns/{campaign_id}")
    assert await sender.account() == (9.925, 0.075)
    assert [each["message_id"] for each in await taken(platform)] == [beside["message_id"]]
    assert refusal(await sender.send(SMS, campaign_id=campaign_id), 409, "campaign_paused")["field"] == "campaign_id"
    added = (await must(sender.batch(SMS, campaign_id=campaign_id))).json()
    assert told(added) == [(409, "campaign_paused")]
    whole = await sender.batch(SMS, campaign_id=campaign_id, mode="all_or_nothing")
    assert refusal(whole, 409, "campaign_paused")["field"] == "campaign_id"
    assert (await world.audit()).findings == ()


async def test_a_campaign_that_is_resumed_is_held_and_leaves_again(platform: PlatformClient, sender: Sender) -> None:
    campaign_id = await sender.campaign(*[SMS] * 3)
    await must(sender.act(campaign_id, "pause"))

    resumed = await must(sender.act(campaign_id, "resume", key="k"))
    again = await must(sender.act(campaign_id, "resume", key="k"))

    assert (resumed.json()["status"], resumed.json()["by_status"]["accepted"]["messages"]) == ("running", 3)
    assert (again.content, again.headers["idempotent-replayed"]) == (resumed.content, "true")
    assert await sender.account() == (9.775, 0.225)
    assert len(await taken(platform)) == 3
    assert refusal(await sender.act(campaign_id, "resume"), 409, "campaign_not_paused")["field"] == "campaign_id"


async def test_a_campaign_is_resumed_only_when_there_is_money_for_all_of_it(
    platform: PlatformClient, world: World
) -> None:
    sender = Sender(platform, await world.account(funds="1.50"))
    campaign_id = await sender.campaign(*[SMS] * 20)
    await must(sender.act(campaign_id, "pause"))
    await sender.reported(await sender.sent({**SMS, "segments": 10}))
    before = await world.snapshot(sender.account_id)

    body = refusal(await sender.act(campaign_id, "resume", key="k"), 402, "insufficient_funds")

    assert (body["shortfall"], body["free"]) == (0.75, 0.75)
    assert body["ways_to_cover"][0]["path"] == f"/v1/platform/accounts/{sender.account_id}/credits"
    assert await world.snapshot(sender.account_id) == before
    assert (await sender.get(f"campaigns/{campaign_id}"))["by_status"]["paused"]["messages"] == 20
    await world.pay(sender.account_id, "0.75")
    resumed = (await must(sender.act(campaign_id, "resume", key="k"))).json()
    assert (resumed["status"], resumed["by_status"]["accepted"]["messages"]) == ("running", 20)
    assert await sender.account() == (0, 1.5)
    assert (await world.audit()).findings == ()


async def test_a_message_that_was_taken_goes_on_when_its_campaign_is_paused(
    platform: PlatformClient, sender: Sender
) -> None:
    campaign_id = await sender.campaign(*[SMS] * 3)
    (gone,) = await taken(platform, limit=1)

    paused = (await must(sender.act(campaign_id, "pause"))).json()

    assert {name: share["messages"] for name, share in paused["by_status"].items() if share["messages"]} == {
        "accepted": 1,
        "paused": 2,
    }
    assert await sender.account() == (9.925, 0.075)
    assert (await sender.reported(gone))["charged"]["amount"] == "0.075"


async def test_what_of_a_campaign_is_there_is_listed_page_by_page(sender: Sender) -> None:
    campaign_id = await sender.campaign(*[{**SMS, "reference": f"msg_{number}"} for number in range(5)])
    await sender.sent(SMS)
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {"items": [], "next_cursor": ""}
    while page["next_cursor"] is not None:
        after = f"&cursor={page['next_cursor']}" if page["next_cursor"] else ""
        page = await sender.get(f"campaigns/{campaign_id}/messages?limit=2{after}")
        found += page["items"]

    assert {each["reference"] for each in found} == {f"msg_{number}" for number in range(5)}
    assert len(found) == 5
    assert found[0] == await sender.get(f"messages/{found[0]['message_id']}")


async def test_a_campaign_adds_up_what_was_charged(sender: Sender) -> None:
    campaign_id = await sender.campaign(*[{**SMS, "segments": 2}] * 4)
    messages = (await sender.get(f"campaigns/{campaign_id}/messages"))["items"]
    await sender.reported(messages[0])
    await sender.reported(messages[1], segments=3)
    await sender.reported(messages[2], "failed")

    campaign = await sender.get(f"campaigns/{campaign_id}")

    assert campaign["by_status"] == {
        "accepted": {"messages": 1, "charged": "0.00"},
        "paused": {"messages": 0, "charged": "0.00"},
        "delivered": {"messages": 2, "charged": "0.375"},
        "failed": {"messages": 1, "charged": "0.00"},
    }
    assert (campaign["messages"], campaign["charged"], campaign["currency"]) == (4, "0.375", "EUR")


# --- Receipts ---


async def test_a_message_is_charged_when_it_is_delivered_and_given_back_when_it_failed(
    sender: Sender, world: World
) -> None:
    one, other = await sender.sent({**SMS, "segments": 2}), await sender.sent(SMS)

    delivered = await sender.reported(one, occurred_at="2026-03-12T11:59:00+02:00")
    failed = await sender.reported(other, "failed")

    assert (delivered["status"], delivered["delivered_at"]) == ("delivered", "2026-03-12T09:59:00Z")
    assert delivered["charged"] == {"rule_id": "sms.given", "unit": "segment", "quantity": 2, "amount": "0.15"}
    assert (failed["status"], failed["charged"], failed["failed"]) == ("failed", None, 1)
    assert (failed["free"], failed["reserved"]) == await sender.account() == (9.85, 0)
    ledger = {each.transaction_id: each.type for each in (await world.snapshot(sender.account_id))["ledger"]}
    assert [ledger[each] for each in delivered["transaction_ids"]] == ["charge"]
    assert [ledger[each] for each in failed["transaction_ids"]] == ["release"]
    assert (await world.audit()).findings == ()


@pytest.mark.parametrize("order", [["delivered", "failed"], ["failed", "delivered"], ["delivered"] * 3])
async def test_receipts_that_come_twice_late_or_out_of_order_are_harmless(
    sender: Sender, clock: Clock, order: list[str]
) -> None:
    message = await sender.sent(SMS)

    for status in order:
        await sender.reported(message, status, occurred_at="2026-03-12T10:00:00Z")
        clock.now += timedelta(days=20)
    last = await sender.reported(message, order[0])

    assert (last["status"], last["charged"]["amount"], last["transaction_ids"]) == ("delivered", "0.075", [])
    assert await sender.account() == (9.925, 0)


async def test_a_receipt_can_be_for_one_recipient_however_the_address_is_written(sender: Sender) -> None:
    email = await sender.sent({**EMAIL, "cc": ["bob@example.com", "eve@example.com"]})
    for message in (await sender.sent(SMS), await sender.sent(RCS)):
        assert (await sender.reported(message, recipient="0049 (151) 1234-5678"))["status"] == "delivered"

    first = await sender.reported(email, recipient=" Bob@Example.COM ")
    second = await sender.reported(email, "failed", recipient="eve@example.com")
    third = await sender.reported(email)

    assert [(each["delivered"], each["failed"]) for each in (first, second, third)] == [(1, 0), (1, 1), (3, 0)]
    assert [each["charged"]["amount"] for each in (first, second, third)] == ["0.0009", "0.0009", "0.0027"]
    for recipient in ("mal@example.com", PHONE):
        assert refusal(await sender.report(email, recipient=recipient), 404, "not_found")["field"] == "recipient"
    assert refusal(await sender.report(email, recipient="bob"), 422, "invalid_argument")["field"] == "recipient"


async def test_the_provider_s_count_overrides_ours_and_what_is_missing_is_owed(
    platform: PlatformClient, world: World
) -> None:
    sender = Sender(platform, await world.account(funds="0.10"))
    message = await sender.sent(SMS)

    told = await sender.reported(message, segments=4)

    assert told["charged"] == {"rule_id": "sms.provider_count", "unit": "segment", "quantity": 4, "amount": "0.30"}
    assert (told["accepted"]["rule_id"], told["accepted"]["quantity"], told["segments"]) == ("sms.given", 1, 4)
    assert (await platform.get(f"/accounts/{sender.account_id}"))["status"] == "past_due"
    refusal(await sender.send(SMS), 409, "account_not_active")


NO_RECEIPTS: list[tuple[dict[str, Any], str]] = [
    ({"status": "lost"}, "status"),
    ({"occurred_at": "2026-03-12T10:06:00Z"}, "occurred_at"),
    ({"occurred_at": "0001-01-01T00:00:00Z"}, "occurred_at"),
    ({"occurred_at": "2026-03-12T10:00:00"}, "occurred_at"),
    ({"segments": 0}, "segments"),
    ({"segments": 256}, "segments"),
    ({"conversation": {"type": "a2p", "started_at": "2026-03-12T10:06:00Z"}}, "started_at"),
    ({"conversation": {"type": "p2a", "started_at": "0001-01-01T00:00:00Z"}}, "started_at"),
    ({"conversation": {"type": "b2b", "started_at": "2026-03-12T10:00:00Z"}}, "conversation.type"),
    ({"conversation": {"type": "a2p"}}, "conversation.started_at"),
    ({"reason": "busy"}, "reason"),
]


async def test_what_is_no_receipt_is_refused_by_field(platform: PlatformClient, sender: Sender) -> None:
    message = await sender.sent(RCS, conversational=True)
    for change, field in NO_RECEIPTS:
        refused = await sender.report(message, **{"status": "delivered", **change})
        assert refusal(refused, 422, refused.json()["code"])["field"] == field, change
    for other in (Sender(platform, NOBODY), sender):
        refusal(await other.report({"message_id": NOBODY}), 404, "not_found")
    assert (await sender.get(f"messages/{message['message_id']}"))["status"] == "accepted"


async def test_each_receipt_of_a_batch_is_taken_in_for_itself(
    platform: PlatformClient, sender: Sender, world: World
) -> None:
    other = Sender(platform, await world.account(funds="1.00"))
    mine, theirs = await sender.sent(SMS), await other.sent(RCS)

    def item(message: dict[str, Any], of: Sender, status: str = "delivered", **more: Any) -> dict[str, Any]:
        return {"account_id": of.account_id, "message_id": message["message_id"], "status": status, **more}

    asked = [
        item(mine, sender, segments=2),
        item(mine, other),
        item(theirs, other, "failed"),
        item(theirs, other, recipient="x"),
        item(theirs, other),
        item(mine, sender, "failed"),
        item(mine, sender, occurred_at="2026-03-13T10:00:00Z"),
    ]
    body = (await must(platform.send("POST", "/v1/messages/receipts", {"items": asked}))).json()

    assert told(body) == [
        *((200, ""), (404, "not_found"), (200, ""), (422, "invalid_argument"), (200, ""), (200, "")),
        (422, "invalid_argument"),
    ]
    assert body["counts"] == {"done": 4, "refused": 3}
    assert [each["message"]["status"] for each in body["items"] if "message" in each] == [
        *("delivered", "failed", "delivered", "delivered")
    ]
    assert (await sender.account(), await other.account()) == ((9.85, 0), (0.93, 0))
    again = (await must(platform.send("POST", "/v1/messages/receipts", {"items": asked}))).json()
    assert [each["message"]["transaction_ids"] for each in again["items"] if "message" in each] == [[]] * 4
    wrong = await platform.send("POST", "/v1/messages/receipts", {"items": [*asked, item(mine, sender, "lost")]})
    assert refusal(wrong, 422, "invalid_argument")["field"] == "items.7.status"
    for items in ([], [asked[0]] * 1001):
        refused = await platform.send("POST", "/v1/messages/receipts", {"items": items})
        assert refusal(refused, 422, "invalid_argument")["field"] == "items"
    assert (await world.audit()).findings == ()


async def test_an_answer_of_the_user_makes_a_conversation_of_the_message_before_it_once(
    sender: Sender, world: World, clock: Clock
) -> None:
    message = await sender.sent(RCS, conversational=True)
    assert (await sender.reported(message))["charged"]["unit"] == "basic"
    clock.now += timedelta(hours=2)
    answered = {"occurred_at": "2026-03-12T11:00:00Z"}

    for event_id, kind in (("e0", "location"), ("e0", "suggested_action")):
        assert (await must(sender.hear(event_id, kind, **answered))).json()["transaction_ids"] == []
    heard = (await must(sender.hear("e1", "suggested_reply", **answered))).json()
    again = (await must(sender.hear("e1", "suggested_reply", **answered))).json()
    covered = await sender.sent(RCS, conversational=True)
    free = await sender.reported(covered)

    now = await sender.get(f"messages/{message['message_id']}")
    assert now["charged"] == {
        "rule_id": "rcs.standard.a2p_conversation",
        "unit": "a2p_conversation",
        "quantity": 1,
        "amount": "0.10",
    }
    assert now["accepted"]["unit"] == "basic"
    assert (len(heard["transaction_ids"]), again["transaction_ids"], heard["event_id"]) == (2, [], "e1")
    assert (heard["free"], heard["reserved"]) == (again["free"], again["reserved"]) == (9.89, 0)
    assert (covered["billing"]["amount"], covered["billing"]["hold"], covered["billing"]["rule_id"]) == (
        *("0.00", None, "rcs.standard.covered"),
    )
    assert (free["charged"]["amount"], free["free"]) == ("0.00", 9.89)
    assert (await world.audit()).findings == ()


async def test_a_provider_can_tell_of_a_conversation_by_its_receipt(sender: Sender) -> None:
    message = await sender.sent(RCS, conversational=True)
    conversation = {"type": "p2a", "started_at": "2026-03-12T10:00:00Z"}

    told = await sender.reported(message, conversation=conversation, occurred_at="2026-03-12T10:00:00Z")

    assert (told["charged"]["unit"], told["charged"]["amount"]) == ("p2a_conversation", "0.08")


async def test_what_is_nothing_that_a_user_wrote_is_refused_by_field(platform: PlatformClient, sender: Sender) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"kind": "wink"}, "kind"),
        ({"user": "ada@example.com"}, "user"),
        ({"event_id": ""}, "event_id"),
        ({"event_id": "e" * 101}, "event_id"),
        ({"event_id": "a\nb"}, "event_id"),
        ({"sender": "a\nb"}, "sender"),
        ({"occurred_at": "2026-03-12T10:06:00Z"}, "occurred_at"),
        ({"occurred_at": "0001-01-01T00:00:00Z"}, "occurred_at"),
        ({"occurred_at": None}, "occurred_at"),
    ]
    for change, field in wrong:
        refused = await sender.hear(**{"event_id": "e1", "kind": "text", **change})
        assert refusal(refused, 422, refused.json()["code"])["field"] == field, change
    refusal(await Sender(platform, NOBODY).hear("e1"), 404, "not_found")


# --- The outbox ---


async def test_accepted_messages_leave_through_the_outbox_once_oldest_first(
    platform: PlatformClient, elsewhere: PlatformClient, sender: Sender, clock: Clock
) -> None:
    sent = []
    for content in (SMS, RCS, EMAIL):
        sent.append(await sender.sent(content, reference=content["channel"]))
        clock.now += timedelta(seconds=1)

    first, second = await taken(platform, limit=2, lease_s=30), await taken(elsewhere, limit=2)

    assert [[each["message_id"] for each in some] for some in (first, second)] == [
        [sent[0]["message_id"], sent[1]["message_id"]],
        [sent[2]["message_id"]],
    ]
    assert first[0] == {
        "account_id": sender.account_id,
        "message_id": sent[0]["message_id"],
        "channel": "sms",
        "campaign_id": None,
        "reference": "sms",
        "lease": first[0]["lease"],
        "leased_until": "2026-03-12T10:00:33Z",
    }
    assert await taken(platform) == []
    assert await finished(platform, *first, *second) == 3
    assert await finished(platform, *first, *second) == 0
    clock.now += timedelta(days=1)
    assert await taken(platform) == []


async def test_what_was_taken_and_not_sent_on_is_given_out_again(
    platform: PlatformClient, elsewhere: PlatformClient, sender: Sender, clock: Clock
) -> None:
    await sender.sent(SMS)
    (late,) = await taken(platform, lease_s=1)
    clock.now += timedelta(seconds=1)

    (again,) = await taken(elsewhere)

    assert (again["message_id"], again["lease"] != late["lease"]) == (late["message_id"], True)
    assert await finished(platform, late) == 0
    assert await finished(elsewhere, again) == 1


@pytest.mark.parametrize(
    ("asked", "field"),
    [({"limit": 0}, "limit"), ({"limit": 101}, "limit"), ({"lease_s": 0}, "lease_s"), ({"lease_s": 3601}, "lease_s")],
)
async def test_what_is_taken_is_bounded(platform: PlatformClient, asked: dict[str, int], field: str) -> None:
    refused = await platform.send("POST", "/v1/messages/outbox/take", asked)

    assert refusal(refused, 422, "invalid_argument")["field"] == field


async def finished(platform: PlatformClient, *items: dict[str, Any]) -> int:
    """How many of the messages left the outbox."""
    named = [{name: each[name] for name in ("account_id", "message_id", "lease")} for each in items]
    done: int = (await must(platform.send("POST", "/v1/messages/outbox/done", {"items": named}))).json()["done"]
    return done


# --- Tiers ---


async def test_a_tier_that_is_granted_is_the_price_of_what_is_sent_from_then_on(
    platform: PlatformClient, sender: Sender, clock: Clock
) -> None:
    path = f"/accounts/{sender.account_id}/tiers/sms"
    before = await sender.sent(SMS, key="k")

    committed = await must(platform.send("PUT", path, {"commitment": "growth"}))
    after = await sender.sent(SMS)
    overridden = await must(platform.send("PUT", path, {"override": "scale"}))

    assert committed.json() == {
        "account_id": sender.account_id,
        "channel": "sms",
        "tier": "growth",
        "source": "commitment",
        "commitment": "growth",
        "override": None,
        "volume": 0,
        "missed_months": 0,
    }
    assert (before["billing"]["unit_price"], before["billing"]["tier"]) == ("0.075", "standard")
    assert (after["billing"]["unit_price"], after["billing"]["tier"]) == ("0.071", "growth")
    assert (await sender.sent(SMS))["billing"]["unit_price"] == "0.0675"
    assert (overridden.json()["commitment"], overridden.json()["source"]) == (None, "override")
    assert await platform.get(path) == overridden.json()
    assert (await sender.reported(before))["charged"]["amount"] == "0.075"
    assert (await sender.sent(RCS))["billing"]["tier"] == "standard"
    assert (await platform.get(path))["volume"] == 1
    clock.now += timedelta(days=60)
    assert (await platform.get(path))["volume"] == 0
    taken_back = (await must(platform.send("PUT", path, {}))).json()
    assert (taken_back["tier"], taken_back["volume"], taken_back["missed_months"]) == ("standard", 0, 0)


async def test_a_tier_that_there_is_not_is_refused_with_the_names_of_those_there_are(
    platform: PlatformClient, sender: Sender
) -> None:
    path = f"/accounts/{sender.account_id}/tiers/sms"

    for field in ("commitment", "override"):
        refused = refusal(await platform.send("PUT", path, {field: "gold"}), 422, "invalid_argument")
        assert (refused["field"], refused["hint"]) == (field, "Its tiers are standard, growth, scale.")
    refusal(await platform.send("PUT", f"/accounts/{NOBODY}/tiers/sms", {}), 404, "not_found")
    refusal(await platform.send("GET", f"/accounts/{NOBODY}/tiers/sms"), 404, "not_found")
    wrong = await platform.send("PUT", f"/accounts/{sender.account_id}/tiers/fax", {})
    assert refusal(wrong, 422, "invalid_argument")["field"] == "channel"


async def test_a_plan_can_be_what_a_tier_is_due_to(platform: PlatformClient, world: World) -> None:
    account_id = await world.account(funds="200.00", plan="smtp_per_proxy")

    found = await platform.get(f"/accounts/{account_id}/tiers/email")

    assert (found["tier"], found["source"]) == ("growth", "plan")
