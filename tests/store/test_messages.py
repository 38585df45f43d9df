"""What a message holds, what it is charged, and what is given back, whatever is told of it and when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from billing_mcp.domain.errors import InvalidArgument, NotFound, Refused
from billing_mcp.domain.instructions import Receipt
from billing_mcp.store.store import Store
from tests.store.books import ACCOUNT, OTHER
from tests.store.second_opinion import price_book
from tests.store.traffic import (
    ADA,
    BOB,
    DAY,
    FUNDS,
    HOUR,
    SEGMENT,
    Platform,
    charged,
    email,
    everything,
    of,
    sms,
    text,
)


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


async def test_the_same_recipient_is_another_hash_on_another_account_and_the_same_on_every_channel(
    platform: Platform,
) -> None:
    drafts = [(sms(1), ACCOUNT), (sms(1), OTHER), (text(), ACCOUNT), (text(), OTHER)]
    hashes = [(await platform.sent(*each)).recipients[0] for each in drafts]
    assert (len(set(hashes)), hashes[0]) == (2, hashes[2])
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
