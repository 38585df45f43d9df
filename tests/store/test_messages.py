"""What a message holds, what it is charged, and what is given back, whatever is told of it and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlmodel import SQLModel

from billing_mcp.domain.errors import InsufficientFunds, InvalidArgument, NotFound, Refused
from billing_mcp.domain.instructions import Receipt
from billing_mcp.domain.messages import Message
from billing_mcp.domain.tiers import ChannelState, month_of
from billing_mcp.store.store import Store
from tests.store.books import ACCOUNT, OTHER, raw_connection
from tests.store.second_opinion import price_book
from tests.store.traffic import ADA, BOB, DAY, HOUR, MOMENT, Platform, email, sms, text

FUNDS = 1_000_000
SEGMENT, BASIC, SINGLE, A2P, P2A, USER = 70_000, 40_000, 60_000, 90_000, 80_000, 10_000


@pytest.fixture
async def platform(store: Store) -> Platform:
    return await Platform.open(store, funds=FUNDS)


def of(receipt: Receipt) -> Message:
    assert receipt.message is not None
    return receipt.message


def charged(message: Message) -> tuple[str | None, int, int]:
    return message.charged_unit, message.charged_quantity, message.charged_micros


async def everything(database: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables."""
    names = sorted(SQLModel.metadata.tables)
    async with raw_connection(database) as run:
        return {name: sorted(await run(f"SELECT * FROM {name}"), key=repr) for name in names}  # noqa: S608


# Acceptance and receipts


async def test_what_is_accepted_is_held_and_captured_when_it_is_delivered(platform: Platform) -> None:
    receipt = await platform.send(sms(3))
    assert of(receipt).billing.amount_micros == 3 * SEGMENT
    assert (receipt.available_micros, receipt.reserved_micros) == (FUNDS - 3 * SEGMENT, 3 * SEGMENT)

    receipt = await platform.report(of(receipt))
    assert charged(of(receipt)) == ("segment", 3, 3 * SEGMENT)
    assert (receipt.available_micros, receipt.reserved_micros) == (FUNDS - 3 * SEGMENT, 0)
    await platform.assert_sound()


async def test_what_failed_is_given_back_whole(platform: Platform) -> None:
    receipt = await platform.report(await platform.sent(sms(3)), "failed")
    assert (of(receipt).status, charged(of(receipt))) == ("failed", (None, 0, 0))
    assert (receipt.available_micros, receipt.reserved_micros) == (FUNDS, 0)
    assert receipt.hold is not None
    assert receipt.hold.status == "released"
    await platform.assert_sound()


async def test_a_message_is_not_sent_at_the_prices_of_another_currency(store: Store, database: str) -> None:
    platform = await Platform.open(store, book=replace(price_book(), currency="USD"))
    before = await everything(database)
    with pytest.raises(Refused) as refused:
        await platform.sent(sms(1))
    assert refused.value.code == "currency_mismatch"
    assert await everything(database) == before


async def test_an_email_is_charged_for_each_recipient_and_the_rest_comes_back_at_the_end(store: Store) -> None:
    book = price_book()
    quiet = tuple(replace(version, active_users={}) for version in book.versions)
    platform = await Platform.open(store, book=replace(book, versions=quiet))
    message = await platform.sent(email("ada", "bob", cc=["cyn@example.com"]))
    assert await platform.money() == (FUNDS - 3000, 3000)
    await platform.report(message, recipient="ada@example.com")
    assert await platform.money() == (FUNDS - 3000, 2000)
    await platform.report(message, "failed", recipient="Bob@Example.com")
    assert await platform.money() == (FUNDS - 3000, 2000)
    receipt = await platform.report(message)
    assert (of(receipt).outcomes, charged(of(receipt))) == ("ddd", ("basic", 3, 3000))  # delivered outranks failed
    assert await platform.money() == (FUNDS - 3000, 0)

    other = await platform.sent(email("ada", "bob"))
    await platform.report(other, recipient="ada@example.com")
    receipt = await platform.report(other, "failed")
    assert (of(receipt).status, of(receipt).outcomes, charged(of(receipt))) == ("delivered", "df", ("basic", 1, 1000))
    assert await platform.money() == (FUNDS - 4000, 0)
    await platform.assert_sound()


async def test_the_providers_count_is_charged_whether_it_is_less_or_more_and_the_first_one_counts(
    platform: Platform,
) -> None:
    less, more = await platform.sent(sms(3)), await platform.sent(sms(1))
    receipt = await platform.report(less, segments=2)
    assert charged(of(receipt)) == ("segment", 2, 2 * SEGMENT)
    receipt = await platform.report(more, segments=4)
    assert charged(of(receipt)) == ("segment", 4, 4 * SEGMENT)
    assert await platform.money() == (FUNDS - 6 * SEGMENT, 0)
    await platform.report(more, segments=9)
    assert await platform.money() == (FUNDS - 6 * SEGMENT, 0)
    await platform.assert_sound()


async def test_a_count_that_comes_after_the_delivery_reverses_what_was_too_much(platform: Platform) -> None:
    message = await platform.delivered(sms(3))
    receipt = await platform.report(message, segments=1)
    assert (charged(of(receipt)), receipt.available_micros) == (("segment", 1, SEGMENT), FUNDS - SEGMENT)
    await platform.assert_sound()


async def test_a_receipt_is_never_refused_and_what_is_not_there_is_owed(store: Store) -> None:
    platform = await Platform.open(store, funds=3 * SEGMENT)
    message, other = await platform.sent(sms(1)), await platform.sent(sms(1))
    receipt = await platform.report(message, segments=5)
    assert charged(of(receipt)) == ("segment", 5, 5 * SEGMENT)
    assert await platform.money() == (0, SEGMENT)  # the other's hold is not touched
    assert await platform.status() == "past_due"
    with pytest.raises(Refused, match="past_due"):
        await platform.send(email("ada"))
    assert charged(of(await platform.report(other))) == ("segment", 1, SEGMENT)
    await platform.assert_sound()


async def test_delivered_outranks_failed_whichever_came_first(platform: Platform) -> None:
    late = await platform.sent(sms(2))
    await platform.report(late, "failed")
    assert charged(of(await platform.report(late))) == ("segment", 2, 2 * SEGMENT)
    early = await platform.delivered(sms(1))
    assert of(await platform.report(early, "failed")) == early
    assert await platform.money() == (FUNDS - 3 * SEGMENT, 0)
    await platform.assert_sound()


async def test_a_receipt_after_the_hold_expired_charges_all_the_same(platform: Platform) -> None:
    message = await platform.sent(sms(2))
    platform.now += 7 * DAY
    assert await platform.expire() == 1
    assert await platform.money() == (FUNDS, 0)
    receipt = await platform.report(message, occurred_at=platform.now - 6 * DAY)
    assert charged(of(receipt)) == ("segment", 2, 2 * SEGMENT)
    assert await platform.money() == (FUNDS - 2 * SEGMENT, 0)
    await platform.assert_sound()


async def test_a_receipt_that_was_told_before_changes_nothing(platform: Platform, database: str) -> None:
    message = await platform.delivered(sms(2))
    await platform.report(await platform.delivered(text()), conversation=("a2p", platform.now))
    before = await everything(database)
    assert of(await platform.report(message)) == message
    assert await everything(database) == before


async def test_nobody_reports_what_is_not_there_or_has_not_happened(platform: Platform, database: str) -> None:
    message = await platform.sent(text())
    before = await everything(database)
    future = platform.now + HOUR
    with pytest.raises(NotFound):
        await platform.report(message._replace(account_id=OTHER))
    with pytest.raises(NotFound):
        await platform.report(message, recipient=BOB)
    with pytest.raises(InvalidArgument):
        await platform.report(message, occurred_at=future)
    with pytest.raises(InvalidArgument):
        await platform.report(message, conversation=("a2p", future))
    with pytest.raises(InvalidArgument):
        await platform.hear("e1", at=future)
    assert await everything(database) == before


async def test_an_id_that_no_database_can_store_is_not_there(platform: Platform) -> None:
    for odd in ("\x00", "\x1f", "\udc00"):
        with pytest.raises(NotFound):
            await platform.send(sms(1, campaign_id=odd))
        with pytest.raises(NotFound):
            await platform.send(sms(1), odd)
        with pytest.raises(NotFound):
            await platform.report((await platform.sent(sms(1)))._replace(message_id=odd))


# Conversations


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


# Prices and tiers


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


# Active users


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


# Batches and campaigns


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


# What is not kept


async def test_no_address_and_no_text_is_stored_anywhere(platform: Platform, database: str) -> None:
    secret = "Meet me at the old oak"
    message = await platform.delivered(replace(text(), text=secret))
    await platform.send(replace(sms(), segments=None, text=secret), idempotency_key="k")
    await platform.delivered(email("ada", "bob"))
    await platform.hear("e1")
    stored = repr(await everything(database))
    for told in (secret, ADA, ADA[1:], "ada@", "example.com"):
        assert told not in stored
    assert message.recipients[0] in stored


async def test_the_same_recipient_is_another_hash_on_another_account_and_channel(platform: Platform) -> None:
    drafts = [(sms(1), ACCOUNT), (sms(1), OTHER), (text(), ACCOUNT), (text(), OTHER)]
    hashes = [(await platform.sent(*each)).recipients[0] for each in drafts]
    assert len(set(hashes)) == 4
    assert (await platform.sent(sms(1, to=["0049 151 1234 5601"]))).recipients[0] == hashes[0]


async def test_a_long_batch_is_written_in_parts_and_counted_once(platform: Platform) -> None:
    hashes = await platform.messages.hashes()
    drafts = [email(f"user{number}") for number in range(90)]
    told = await platform.messages.carry_out([platform.messages.sending(ACCOUNT, each, hashes) for each in drafts])
    messages = [of(each) for each in told if isinstance(each, Receipt)]
    assert len(messages) == 90
    batch = [await platform.messages.reporting(ACCOUNT, each.message_id, "delivered") for each in messages] * 2
    told = await platform.messages.carry_out(batch)
    assert all(isinstance(each, Receipt) for each in told)
    assert await platform.money() == (FUNDS - 90 * 1000 - 3 * 300 - 87 * 200, 0)
    await platform.assert_sound()
