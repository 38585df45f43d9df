"""All of a batch or nothing, keys, and campaigns that are paused and resumed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from billing_mcp.domain.errors import InsufficientFunds, InvalidArgument, Refused
from billing_mcp.domain.instructions import Receipt
from billing_mcp.domain.tiers import ChannelState, month_of
from tests.store.books import ACCOUNT
from tests.store.traffic import (
    FUNDS,
    SEGMENT,
    Platform,
    charged,
    email,
    everything,
    of,
    sms,
    text,
)


async def test_all_of_a_batch_is_accepted_or_nothing_is_left_of_it(platform: Platform, database: str) -> None:
    before = await everything(database)
    with pytest.raises(InsufficientFunds) as refused:
        await platform.send_all("spring", *[sms(3)] * 5)
    assert f"{(5 * 3 * SEGMENT - FUNDS) / 1_000_000}" in f"{refused.value} {refused.value.hint}"
    with pytest.raises(InvalidArgument, match="no price"):
        await platform.send_all("spring", sms(1), sms(1, market="FR"))
    assert await everything(database) == before


async def test_a_message_that_is_refused_leaves_nothing(platform: Platform, database: str) -> None:
    await platform.send_all("spring", sms(1))
    await platform.pause("spring")
    before = await everything(database)
    for draft in (sms(15), sms(1, market="FR"), sms(1, campaign_id="spring")):
        with pytest.raises((InsufficientFunds, InvalidArgument, Refused)):
            await platform.send(draft, idempotency_key="k")
    assert await everything(database) == before

    async with platform.store.write(platform.now) as tx:
        await tx.accounts.set_status(await tx.accounts.get(ACCOUNT, lock=True), "past_due")
    before = await everything(database)
    for draft in (sms(1), text()):
        with pytest.raises(Refused, match="past_due"):
            await platform.send(draft, idempotency_key="k")
    assert await everything(database) == before


async def test_a_key_sends_once_whatever_is_sent_in_between(platform: Platform) -> None:
    first = await platform.send(sms(1), idempotency_key="k")
    hashes = await platform.messages.hashes()
    again = [platform.messages.sending(ACCOUNT, sms(1), hashes, idempotency_key="k") for _ in range(3)]
    new = [platform.messages.sending(ACCOUNT, sms(1), hashes, idempotency_key="other") for _ in range(3)]
    told = await platform.messages.carry_out([*again, *new])
    replayed = [each.replayed for each in told if isinstance(each, Receipt)]
    assert replayed == [True, True, True, False, True, True]
    assert {of(each).message_id for each in told[:3] if isinstance(each, Receipt)} == {of(first).message_id}
    assert await platform.money() == (FUNDS - 2 * SEGMENT, 2 * SEGMENT)
    with pytest.raises(InvalidArgument) as refused:
        await platform.send(sms(2), idempotency_key="k")
    assert refused.value.code == "idempotency_key_reused"
    await platform.assert_sound()


async def test_a_pause_gives_back_what_has_not_left_and_a_resume_prices_it_anew(platform: Platform) -> None:
    left, *others = await platform.send_all("spring", *[sms(1, campaign_id="spring")] * 3)
    async with platform.store.write(platform.now) as tx:
        (work,) = await platform.messages.take(tx, limit=1, lease_s=60)
    await platform.pause("spring")
    assert await platform.money() == (FUNDS - SEGMENT, SEGMENT)
    assert work.event_id == left.message_id
    await platform.delivered(sms(5))  # growth
    platform.now = datetime(2026, 5, 2, tzinfo=UTC)
    free, reserved = await platform.money()
    await platform.resume("spring")
    again = [await platform.get(each) for each in others]
    assert [(each.tier, each.catalog_version, each.hold_micros) for each in again] == [("growth", "summer", 60_007)] * 2
    assert await platform.money() == (free - 2 * 60_007, reserved + 2 * 60_007)
    for each in (left, *again):
        await platform.report(each)
    with pytest.raises(Refused, match="not paused"):
        await platform.resume("spring")
    await platform.assert_sound()


async def test_a_resume_checks_the_funds_of_all_of_it_again(platform: Platform, database: str) -> None:
    await platform.send_all("spring", *[sms(2, campaign_id="spring")] * 5)
    await platform.pause("spring")
    await platform.send(sms(9))
    before = await everything(database)
    with pytest.raises(InsufficientFunds) as refused:
        await platform.resume("spring")
    assert "0.33" in f"{refused.value} {refused.value.hint}"
    assert await everything(database) == before


async def test_what_is_reported_while_it_is_held_back_has_left_and_is_not_accepted_again(platform: Platform) -> None:
    (message,) = await platform.send_all("spring", email("ada", "bob", campaign_id="spring"))
    await platform.pause("spring")
    await platform.report(message, recipient="ada@example.com")
    await platform.resume("spring")
    receipt = await platform.report(message)
    assert (of(receipt).outcomes, charged(of(receipt))) == ("dd", ("basic", 2, 2000))
    assert await platform.money() == (FUNDS - 2000 - 2 * 300, 0)
    await platform.assert_sound()


async def test_a_granted_tier_is_that_of_the_next_message(platform: Platform) -> None:
    state = ChannelState(ACCOUNT, "sms", month_of(platform.now.date()), commitment=1)
    async with platform.store.write(platform.now) as tx:
        await tx.messages.set_state(state, before=None)
    assert (await platform.sent(sms(1))).tier == "growth"
    async with platform.store.write(platform.now) as tx:
        await tx.messages.set_state(replace(state, override=0), before=state)
    assert (await platform.sent(sms(1))).tier == "standard"
