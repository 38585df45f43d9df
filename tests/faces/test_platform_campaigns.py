"""Campaigns: held back and let go, listed and added up."""

from __future__ import annotations

from typing import Any

from tests.faces.platform import PlatformClient, must, refusal
from tests.faces.sender import RCS, SMS, Sender, taken, told
from tests.world import World


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
