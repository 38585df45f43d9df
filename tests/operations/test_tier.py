"""billing.tier.get: the tier of each channel, why it is in force, and what the next one needs and saves."""

from __future__ import annotations

from typing import Any

import pytest

from billing_mcp.domain.errors import InvalidArgument, NotFound
from tests.operations.platform import Platform
from tests.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def world(lasting_world: World) -> World:
    """One for all of these tests: each is about accounts of its own."""
    return lasting_world


async def tier(platform: Platform, channel: str) -> dict[str, Any]:
    """The answer for one channel."""
    (item,) = (await platform.ask("tier.get", channel=channel))["items"]
    found: dict[str, Any] = item
    return found


async def parts(platform: Platform, count: int) -> None:
    """So many parts of text messages are sent and delivered."""
    while count:
        now = min(count, 200)
        await platform.delivered(await platform.sms(now))
        count -= now


async def test_a_channel_that_was_never_used_has_the_lowest_tier(world: World) -> None:
    platform = await Platform.of(world)

    answer = await platform.ask("tier.get")

    assert (answer["month"], answer["currency"]) == ("2026-03", "EUR")
    assert [item["channel"] for item in answer["items"]] == ["email", "sms", "rcs"]
    assert answer["items"][1] == {
        "channel": "sms",
        "tier": "standard",
        "source": "previous_month",
        "volume": 0,
        "earned_tier": "standard",
        "kept_from_volume": 0,
        "downgrade_counter": 0,
        "drops_after": 2,
        "drops_to": None,
        "next_tier": {"name": "growth", "from_volume": 1000, "missing": 1000, "would_save": "0.00"},
        "commitment": None,
        "plan_tier": None,
        "override": None,
    }


async def test_channels_are_counted_each_for_itself(world: World) -> None:
    platform = await Platform.of(world)
    await parts(platform, 400)

    answer = await platform.ask("tier.get")

    assert [item["volume"] for item in answer["items"]] == [0, 400, 0]


async def test_the_next_tier_says_what_it_needs_and_what_this_month_would_cost_less_at_it(world: World) -> None:
    platform = await Platform.of(world)
    await parts(platform, 400)
    await platform.delivered(await platform.sms(10, market="US"))

    found = await tier(platform, "sms")

    saved = 400 * (75_000 - 71_000) + 10 * (7_900 - 7_200)
    assert found["next_tier"] == {
        "name": "growth",
        "from_volume": 1000,
        "missing": 590,
        "would_save": f"{saved / 1_000_000}",
    }


async def test_what_was_taken_back_and_what_is_on_its_way_saves_nothing(world: World) -> None:
    platform = await Platform.of(world)
    await platform.sms(200)
    await platform.delivered(await platform.sms(50), segments=None)
    await platform.report(await platform.sms(70), "failed")

    found = await tier(platform, "sms")

    assert (found["volume"], found["next_tier"]["would_save"]) == (50, "0.20")


async def test_a_tier_is_reached_at_once_and_today_s_prices_count_for_what_it_saves(world: World) -> None:
    world.clock.now = world.clock.now.replace(month=7)  # a later version is in force
    platform = await Platform.of(world)
    await parts(platform, 1000)

    found = await tier(platform, "sms")

    assert (found["tier"], found["source"], found["volume"]) == ("growth", "current_month", 1000)
    assert (found["kept_from_volume"], found["drops_to"]) == (1000, "standard")
    # All of it was charged at the standard tier: what counts is what growth and scale would make of it.
    assert found["next_tier"] == {
        "name": "scale",
        "from_volume": 10_000,
        "missing": 9000,
        "would_save": f"{1000 * (74_000 - 70_500) / 1_000_000}0",
    }


async def test_months_below_are_counted_and_the_tier_drops_a_step(world: World) -> None:
    platform = await Platform.of(world)
    await parts(platform, 1000)

    told = []
    for month in (4, 5, 6):
        world.clock.now = world.clock.now.replace(month=month, day=1)
        found = await tier(platform, "sms")
        told.append((found["tier"], found["source"], found["downgrade_counter"], found["volume"], found["drops_to"]))

    assert told == [
        ("growth", "previous_month", 0, 0, "standard"),
        ("growth", "previous_month", 1, 0, "standard"),
        ("standard", "previous_month", 0, 0, None),
    ]


async def test_a_commitment_holds_the_tier_whatever_the_volume(world: World) -> None:
    platform = await Platform.of(world)
    await platform.grant("sms", commitment=1)

    found = await tier(platform, "sms")
    assert (found["tier"], found["source"], found["commitment"]) == ("growth", "commitment", "growth")
    assert (found["earned_tier"], found["drops_to"], found["next_tier"]["name"]) == ("standard", None, "scale")

    await parts(platform, 1000)
    found = await tier(platform, "sms")  # earned as well, and a drop would change nothing
    assert (found["tier"], found["source"], found["drops_to"]) == ("growth", "current_month", None)


async def test_an_override_fixes_the_tier_and_its_counter(world: World) -> None:
    platform = await Platform.of(world)
    await parts(platform, 1000)
    await platform.grant("sms", override=0)
    world.clock.now = world.clock.now.replace(month=9, day=1)

    found = await tier(platform, "sms")

    assert (found["tier"], found["source"], found["override"]) == ("standard", "override", "standard")
    assert (found["earned_tier"], found["downgrade_counter"]) == ("growth", 0)
    assert (found["drops_to"], found["next_tier"]) == (None, None)


async def test_a_plan_grants_its_tier_and_only_on_its_channel(world: World) -> None:
    platform = await Platform.of(world, plan="smtp_per_proxy")

    email, sms = await tier(platform, "email"), await tier(platform, "sms")

    assert (email["tier"], email["source"], email["plan_tier"]) == ("growth", "plan", "growth")
    assert (sms["tier"], sms["plan_tier"]) == ("standard", None)


async def test_above_the_top_there_is_no_next_tier(world: World) -> None:
    platform = await Platform.of(world)
    await platform.grant("rcs", commitment=2)

    found = await tier(platform, "rcs")

    assert (found["tier"], found["next_tier"]) == ("scale", None)


async def test_what_is_quoted_is_at_the_tier_that_is_told(world: World) -> None:
    platform = await Platform.of(world)
    await parts(platform, 1000)
    world.clock.now = world.clock.now.replace(month=4)

    found, quote = await tier(platform, "sms"), await platform.ask("messages.quote", channel="sms", segments=1)

    assert (found["tier"], found["source"]) == (quote["tier"], quote["tier_source"]) == ("growth", "previous_month")


async def test_a_channel_that_there_is_not_is_refused_with_those_that_there_are(world: World) -> None:
    platform = await Platform.of(world)

    with pytest.raises(InvalidArgument) as caught:
        await platform.ask("tier.get", channel="fax")

    assert caught.value.field == "channel"
    assert "'email', 'sms' or 'rcs'" in caught.value.message


async def test_nobody_s_tier_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await Platform(world, "0190c0de-0000-7000-8000-0000000000ff").ask("tier.get")
