"""What is one conversation, to the microsecond, in whatever order it is told."""

from __future__ import annotations

from typing import Any

import pytest

from billing_mcp.store.store import Store
from tests.store.traffic import (
    A2P,
    BASIC,
    DAY,
    FUNDS,
    HOUR,
    MOMENT,
    P2A,
    USER,
    Platform,
    charged,
    everything,
    of,
    text,
)


async def test_an_answer_folds_only_the_message_immediately_before(platform: Platform) -> None:
    first = await platform.delivered(text())
    platform.now += HOUR
    second = await platform.delivered(text(200))
    platform.now += HOUR
    await platform.hear("e1")
    assert charged(await platform.get(first)) == ("basic", 1, BASIC)
    assert charged(await platform.get(second)) == ("a2p_conversation", 1, A2P)
    assert await platform.money() == (FUNDS - BASIC - A2P - USER, 0)
    await platform.assert_sound()


@pytest.mark.parametrize(("after", "unit"), [(DAY - MOMENT, "a2p_conversation"), (DAY, "basic")])
async def test_an_answer_folds_up_to_the_last_microsecond_of_24_hours(
    platform: Platform, after: Any, unit: str
) -> None:
    message = await platform.delivered(text())
    platform.now += after
    await platform.hear("e1")
    assert (await platform.get(message)).charged_unit == unit


@pytest.mark.parametrize(("after", "place"), [(DAY - MOMENT, "covered"), (DAY, "alone")])
async def test_an_answer_opens_a_window_of_24_hours(platform: Platform, after: Any, place: str) -> None:
    await platform.delivered(text())
    platform.now += HOUR
    await platform.hear("e1")
    platform.now += after
    assert (await platform.delivered(text())).place == place
    await platform.assert_sound()


@pytest.mark.parametrize(("after", "place"), [(DAY - MOMENT, "p2a_conversation"), (DAY, "alone")])
async def test_who_is_answered_within_24_hours_begins_a_conversation(
    platform: Platform, after: Any, place: str
) -> None:
    await platform.hear("e1")
    platform.now += after
    message = await platform.delivered(text())
    assert (message.expected, message.place) == (place, place)
    platform.now += DAY - MOMENT
    assert (await platform.delivered(text())).place == ("covered" if place == "p2a_conversation" else "alone")
    platform.now += MOMENT
    assert (await platform.delivered(text())).place == "alone"
    await platform.assert_sound()


@pytest.mark.parametrize("kind", ["suggested_action", "location"])
async def test_a_tapped_action_and_a_location_open_nothing(platform: Platform, kind: str, database: str) -> None:
    await platform.delivered(text())
    before = await everything(database)
    await platform.hear("e1", kind=kind)
    assert await everything(database) == before


async def test_what_is_heard_late_is_put_in_its_place_and_all_after_it_is_judged_again(platform: Platform) -> None:
    began = platform.now
    sent = []
    for _ in range(3):
        sent.append(await platform.delivered(text()))
        platform.now += 6 * HOUR
    await platform.hear("e2", at=began + 13 * HOUR)
    assert [(await platform.get(each)).place for each in sent] == ["alone", "alone", "a2p_conversation"]
    await platform.hear("e1", at=began + HOUR)
    assert [(await platform.get(each)).place for each in sent] == ["a2p_conversation", "covered", "covered"]
    assert await platform.money() == (FUNDS - A2P - USER, 0)
    await platform.hear("e0", at=began - HOUR)
    assert [(await platform.get(each)).place for each in sent] == ["p2a_conversation", "covered", "covered"]
    assert await platform.money() == (FUNDS - P2A - USER, 0)
    await platform.assert_sound()


async def test_the_first_delivery_that_is_told_fixes_the_moment(platform: Platform) -> None:
    message = await platform.delivered(text())
    platform.now += 30 * HOUR
    assert (await platform.report(message)).message == message
    await platform.hear("e1")
    assert (await platform.get(message)).place == "alone"


async def test_a_delivery_that_is_told_late_takes_its_place_between_others(platform: Platform) -> None:
    began = platform.now
    first, second = await platform.sent(text()), await platform.sent(text())
    platform.now += 3 * HOUR
    await platform.hear("e1", at=began + 2 * HOUR)
    await platform.report(first, occurred_at=began)
    assert (await platform.get(first)).place == "a2p_conversation"
    await platform.report(second, occurred_at=began + HOUR)
    assert (await platform.get(first)).place == "alone"
    assert (await platform.get(second)).place == "a2p_conversation"
    await platform.assert_sound()


async def test_what_a_user_wrote_counts_once_whenever_it_is_told_again(platform: Platform) -> None:
    await platform.hear("e1")
    platform.now += 20 * HOUR
    await platform.hear("e1")
    platform.now += 20 * HOUR
    await platform.hear("e1")
    assert (await platform.delivered(text())).place == "alone"


async def test_what_is_covered_holds_nothing_and_costs_nothing(store: Store) -> None:
    platform = await Platform.open(store, funds=A2P + USER)
    await platform.delivered(text())
    await platform.hear("e1", at=platform.now + MOMENT)
    platform.now += HOUR
    assert await platform.money() == (0, 0)
    receipt = await platform.send(text(500))
    assert (of(receipt).amount_micros, receipt.hold, receipt.transaction_ids) == (0, None, ())
    assert charged(of(await platform.report(of(receipt)))) == ("single", 0, 0)
    await platform.assert_sound()


async def test_the_provider_can_say_that_a_conversation_began(platform: Platform) -> None:
    first = await platform.delivered(text())
    began = platform.now + HOUR
    platform.now += 2 * HOUR
    second = of(await platform.report(await platform.sent(text()), conversation=("a2p", began)))
    assert (second.place, (await platform.get(first)).place) == ("covered", "a2p_conversation")
    platform.now += 3 * DAY
    third = of(await platform.report(await platform.sent(text()), conversation=("p2a", platform.now)))
    assert third.place == "p2a_conversation"
    await platform.assert_sound()


async def test_agents_that_hold_no_conversations_and_the_us_form_none(platform: Platform) -> None:
    plain = await platform.delivered(text(conversational=False))
    american = await platform.delivered(text(161, market="US"))
    await platform.hear("e1", at=platform.now + MOMENT)
    assert charged(await platform.get(plain)) == ("basic", 1, BASIC)
    assert charged(await platform.get(american)) == ("rich", 2, 20_000)
