"""Receipts and what users write: late, twice and in any order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import Clock
from tests.faces.platform import NOBODY, PlatformClient, must, refusal
from tests.faces.sender import EMAIL, PHONE, RCS, SMS, Sender, told
from tests.world import World


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
