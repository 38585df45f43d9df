"""The platform's route of messages: sent or refused, each with what it costs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import Clock
from tests.faces.platform import NOBODY, PlatformClient, must, refusal
from tests.faces.sender import EMAIL, PHONE, RCS, SMS, Sender, taken
from tests.world import World


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
