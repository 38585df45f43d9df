"""The outbox: accepted messages are taken under a lease, and leave once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.conftest import Clock
from tests.faces.platform import PlatformClient, refusal
from tests.faces.sender import EMAIL, RCS, SMS, Sender, finished, taken


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
