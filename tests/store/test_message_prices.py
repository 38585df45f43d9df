"""At which price a message is accepted, when a tier is gained and lost, and who is active in a month."""

from __future__ import annotations

from datetime import UTC, datetime

from billing_mcp.domain.instructions import Receipt
from billing_mcp.domain.tiers import month_of
from tests.store.books import ACCOUNT, OTHER
from tests.store.traffic import (
    BASIC,
    BOB,
    FUNDS,
    HOUR,
    MOMENT,
    SEGMENT,
    USER,
    Platform,
    charged,
    email,
    of,
    sms,
    text,
)


async def test_price_and_tier_are_those_of_the_acceptance_whatever_comes_before_the_delivery(
    platform: Platform,
) -> None:
    message = await platform.sent(sms(1))
    await platform.delivered(sms(9))
    platform.now = datetime(2026, 5, 1, tzinfo=UTC)
    receipt = await platform.report(message, segments=2)
    assert charged(of(receipt)) == ("segment", 2, 2 * SEGMENT)
    assert (message.catalog_version, message.tier) == ("spring", "standard")
    newer = await platform.sent(sms(1))
    assert (newer.catalog_version, newer.tier, newer.unit_price_micros) == ("summer", "scale", 50_007)
    await platform.assert_sound()


async def test_the_unit_after_the_threshold_has_the_new_price_within_one_batch_too(platform: Platform) -> None:
    waiting = [await platform.sent(sms(1)) for _ in range(3)]
    hashes = await platform.messages.hashes()
    batch = [await platform.messages.reporting(ACCOUNT, each.message_id, "delivered") for each in waiting]
    batch.append(platform.messages.sending(ACCOUNT, sms(1), hashes))  # 3 so far
    batch.append(await platform.messages.reporting(ACCOUNT, (await platform.sent(sms(1))).message_id, "delivered"))
    batch.append(platform.messages.sending(ACCOUNT, sms(1), hashes))  # 4
    told = await platform.messages.carry_out(batch)
    tiers = [each.message.tier for each in told if isinstance(each, Receipt) and each.message is not None]
    assert tiers == ["standard"] * 5 + ["growth"]
    await platform.assert_sound()


async def test_a_tier_is_lost_after_two_months_in_a_row_one_step_at_a_time(platform: Platform) -> None:
    await platform.delivered(sms(9))
    tiers = []
    for month in (3, 4, 5, 6, 7, 8):
        platform.now = datetime(2026, month, 30, tzinfo=UTC)
        tiers.append((await platform.sent(sms(1))).tier)
    assert tiers == ["scale", "scale", "scale", "growth", "growth", "standard"]


async def test_a_month_that_reaches_the_threshold_forgives_those_before_it(platform: Platform) -> None:
    await platform.delivered(sms(4))
    used = {4: 1, 5: 4, 6: 1, 7: 4}  # one missed month, and never two in a row
    for month, parts in used.items():
        platform.now = datetime(2026, month, 10, tzinfo=UTC)
        await platform.delivered(sms(parts))
    platform.now = datetime(2026, 8, 10, tzinfo=UTC)
    assert (await platform.sent(sms(1))).tier == "growth"


async def test_what_is_reversed_does_not_count_for_a_tier(platform: Platform) -> None:
    message = await platform.delivered(sms(3))
    await platform.report(message, segments=1)
    await platform.delivered(sms(2))
    assert (await platform.delivered(sms(1))).tier == "standard"
    assert (await platform.sent(sms(1))).tier == "growth"


async def test_what_an_account_uses_is_no_other_accounts_in_the_same_batch(platform: Platform) -> None:
    hashes = await platform.messages.hashes()
    mine, others = await platform.sent(sms(9)), await platform.sent(sms(1), OTHER)
    rich, poor = await platform.sent(text()), await platform.sent(text(), OTHER)
    told = await platform.messages.carry_out(
        [
            await platform.messages.reporting(ACCOUNT, mine.message_id, "delivered"),
            await platform.messages.reporting(OTHER, others.message_id, "delivered"),
            platform.messages.sending(ACCOUNT, sms(1), hashes),
            platform.messages.sending(OTHER, sms(1), hashes),
            await platform.messages.reporting(ACCOUNT, rich.message_id, "delivered"),
            await platform.messages.reporting(OTHER, poor.message_id, "delivered"),
        ]
    )
    tiers = [each.message.tier for each in told[2:4] if isinstance(each, Receipt) and each.message is not None]
    assert tiers == ["scale", "standard"]
    async with platform.store.read(platform.now) as tx:
        volumes = {name: (await tx.messages.states(name))["sms"].volume for name in (ACCOUNT, OTHER)}
        users = {name: (await tx.messages.states(name))["rcs"].active_users for name in (ACCOUNT, OTHER)}
    assert (volumes, users) == ({ACCOUNT: 9, OTHER: 1}, {ACCOUNT: 1, OTHER: 1})
    assert mine.recipients != others.recipients
    assert rich.thread != poor.thread
    await platform.assert_sound()


async def test_a_recipient_is_active_once_a_month_by_the_first_that_is_charged(platform: Platform) -> None:
    assert (await platform.delivered(text())).hold_micros == BASIC + USER
    assert (await platform.delivered(text())).hold_micros == BASIC
    await platform.delivered(text(to=[BOB]))
    await platform.delivered(text(to=["+4915112345603"]))
    assert await platform.money() == (FUNDS - 4 * BASIC - 2 * USER - 5000, 0)
    platform.now = datetime(2026, 4, 1, tzinfo=UTC)
    await platform.delivered(text())
    assert await platform.active_users() == {"2026-03-29": 3, "2026-04-01": 1}
    await platform.assert_sound()


async def test_nobody_is_active_in_a_month_in_which_nothing_is_charged_for_them(platform: Platform) -> None:
    platform.now = datetime(2026, 3, 31, 23, tzinfo=UTC)
    message = await platform.delivered(text())
    parts = await platform.delivered(sms(3))
    mail = await platform.sent(email("ada", "bob"))
    await platform.report(mail, recipient="ada@example.com")
    platform.now = datetime(2026, 4, 5, tzinfo=UTC)
    await platform.hear("e1")  # too late for an answer: what stands alone still does
    await platform.report(parts, segments=1)
    await platform.report(mail)
    assert await platform.active_users() == {"2026-03-31": 1}
    assert charged(await platform.get(message)) == ("basic", 1, BASIC)
    async with platform.store.read(platform.now) as tx:
        states = await tx.messages.states(ACCOUNT)
    assert (states["email"].month, states["email"].active_users) == (month_of(platform.now.date()), 1)  # bob
    await platform.assert_sound()


async def test_two_that_are_charged_at_once_make_their_recipient_active_once(platform: Platform) -> None:
    began = platform.now = datetime(2026, 3, 29, tzinfo=UTC)
    first = await platform.delivered(text())
    platform.now = began + 23 * HOUR
    await platform.hear("e1")
    covered = []
    for hours in (30, 40):
        platform.now = began + hours * HOUR
        covered.append(await platform.delivered(text()))
    platform.now = datetime(2026, 4, 1, tzinfo=UTC)
    await platform.hear("e0", at=began + HOUR)  # so the window ended before both of them
    assert [(await platform.get(each)).place for each in (first, *covered)] == ["a2p_conversation", "alone", "alone"]
    assert await platform.active_users() == {"2026-03-29": 1, "2026-04-01": 1}
    await platform.assert_sound()


async def test_all_that_is_reported_in_one_transaction_makes_a_recipient_active_once(platform: Platform) -> None:
    sent = [await platform.sent(text()) for _ in range(3)]
    reports = [await platform.messages.reporting(ACCOUNT, each.message_id, "delivered") for each in sent]
    async with platform.store.write(platform.now) as tx:
        await tx.ledger.carry_out(reports)
    assert await platform.money() == (FUNDS - 3 * BASIC - USER, 0)
    await platform.assert_sound()


async def test_a_clock_that_is_behind_at_the_end_of_a_month_charges_nobody_twice(platform: Platform) -> None:
    platform.now = datetime(2026, 4, 1, tzinfo=UTC)
    first, second, third = [await platform.sent(text()) for _ in range(3)]
    await platform.report(first)
    platform.now -= MOMENT
    behind = await platform.messages.reporting(ACCOUNT, second.message_id, "delivered")
    platform.now += MOMENT
    ahead = await platform.messages.reporting(ACCOUNT, third.message_id, "delivered")
    assert all(isinstance(each, Receipt) for each in await platform.messages.carry_out([behind, ahead]))
    assert await platform.money() == (FUNDS - 3 * BASIC - USER, 0)
