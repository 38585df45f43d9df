"""Holds: money is set aside once, charged once and given back once, whoever asks and however often."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from billing_mcp.domain.alerts import BALANCE_MOVED
from billing_mcp.domain.errors import BillingError, InvalidArgument
from billing_mcp.domain.holds import MAX_LIFE, CaptureHold, PlaceHold
from billing_mcp.domain.ids import ledger_id
from billing_mcp.domain.instructions import Instruction, Receipt
from billing_mcp.domain.ledger import MAX_TOTAL_MICROS
from billing_mcp.operations.platform_holds import DEFAULT_LIFE, PlatformHolds
from billing_mcp.store.store import Store
from tests.conftest import NOW, Clock
from tests.store.books import ACCOUNT, OTHER, audit, charge, eur, history, open_books, post, topup, wallet

NOBODY = "0190c0de-0000-7000-8000-0000000000ff"
Asks = Callable[[PlatformHolds], Awaitable[Any]]


@pytest.fixture
def holds(store: Store, clock: Clock) -> PlatformHolds:
    """The platform's holds, as the platform uses them."""
    return PlatformHolds(store, clock)


@pytest.fixture
async def elsewhere(database: str, store: Store, clock: Clock) -> AsyncIterator[PlatformHolds]:
    """The same from another server on the same database."""
    assert store.url.database  # it is open, and its schema is there
    second = await Store.open(database)
    yield PlatformHolds(second, clock)
    await second.close()


async def told(asking: Awaitable[Receipt]) -> str:
    """What a caller is told: the state of the hold, or the code of the refusal."""
    try:
        receipt = await asking
    except BillingError as error:
        return error.code
    assert receipt.hold is not None
    return receipt.hold.status


async def balances(store: Store, account_id: str = ACCOUNT) -> tuple[int, int]:
    """What is free, and what is reserved."""
    found = await wallet(store, account_id)
    return found.available_micros, found.reserved_micros


async def status_of(store: Store, account_id: str = ACCOUNT) -> str:
    async with store.read(NOW) as tx:
        return (await tx.accounts.get(account_id)).status


async def everything(store: Store) -> tuple[Any, ...]:
    """All that is stored of an account and its holds."""
    async with store.read(NOW) as tx:
        kept = await tx.holds.older(ACCOUNT, than=None, status=None, limit=1000)
        return await history(store), await wallet(store), kept, await tx.outbox.of(ACCOUNT), await status_of(store)


async def placed(holds: PlatformHolds, amount: str, account_id: str = ACCOUNT, **options: Any) -> str:
    """The id of a new hold."""
    receipt = await holds.place(account_id, eur(amount), **options)
    assert receipt.hold is not None
    return receipt.hold.hold_id


async def test_a_hold_moves_money_from_free_to_reserved_and_is_kept_as_it_was_asked_for(
    store: Store, holds: PlatformHolds
) -> None:
    await open_books(store, topup("10.00"))

    receipt = await holds.place(ACCOUNT, eur("4.00"), reference="msg_ünï", expires_at=NOW + MAX_LIFE)

    assert receipt.hold is not None
    assert (receipt.hold.status, receipt.hold.reference) == ("open", "msg_ünï")
    assert (receipt.hold.created_at, receipt.hold.expires_at) == (NOW, NOW + MAX_LIFE)
    assert receipt.hold.remaining_micros == eur("4.00")
    assert (receipt.available_micros, receipt.reserved_micros) == await balances(store) == (eur("6.00"), eur("4.00"))
    assert await holds.get(ACCOUNT, receipt.hold.hold_id) == receipt.hold
    (_, row) = await history(store)
    assert (row.type, row.transaction_id, row.hold_id) == ("hold", *receipt.transaction_ids, receipt.hold.hold_id)
    assert row.txn_seq is None


async def test_a_hold_lives_for_seven_days_where_nothing_else_is_said(store: Store, holds: PlatformHolds) -> None:
    await open_books(store, topup("10.00"))

    hold = await holds.get(ACCOUNT, await placed(holds, "1.00"))

    assert hold.expires_at == NOW + timedelta(days=7) == NOW + DEFAULT_LIFE


@pytest.mark.parametrize("units", [1, 10])
async def test_of_64_callers_at_once_as_many_win_as_there_are_units(
    store: Store, holds: PlatformHolds, elsewhere: PlatformHolds, units: int
) -> None:
    await open_books(store, topup(f"{units}.00"))

    callers = [told(each.place(ACCOUNT, eur("1.00"))) for _ in range(32) for each in (holds, elsewhere)]
    outcomes = Counter(await asyncio.gather(*callers))

    assert outcomes == {"open": units, "insufficient_funds": 64 - units}
    assert await balances(store) == (0, eur(f"{units}.00"))
    assert len(await history(store)) == 1 + units
    assert (await audit(store)).findings == ()


ENDINGS: dict[str, Callable[[PlatformHolds, str], Coroutine[Any, Any, Receipt]]] = {
    "captured": lambda holds, hold_id: holds.capture(ACCOUNT, hold_id),
    "released": lambda holds, hold_id: holds.release(ACCOUNT, hold_id),
    "expired": lambda holds, hold_id: holds.expire(ACCOUNT, hold_id),
}


@pytest.mark.parametrize("ways", [["captured"], ["released"], ["expired"], list(ENDINGS)], ids=" ".join)
async def test_a_hold_ends_once_whatever_races_for_it(
    store: Store, holds: PlatformHolds, elsewhere: PlatformHolds, clock: Clock, ways: list[str]
) -> None:
    await open_books(store, topup("10.00"))
    hold_id = await placed(holds, "4.00")
    clock.now += DEFAULT_LIFE

    racing = [(ways[n % len(ways)], (holds, elsewhere)[n % 2]) for n in range(32)]
    outcomes = await asyncio.gather(*(told(ENDINGS[way](server, hold_id)) for way, server in racing))

    counted = Counter(outcomes)
    (winner,) = counted.keys() - {"hold_not_open"}
    assert counted == {winner: 1, "hold_not_open": 31}
    assert winner in ways
    ended = await holds.get(ACCOUNT, hold_id)
    assert (ended.status, ended.closed_at) == (winner, clock.now)
    charged = eur("4.00") if winner == "captured" else 0
    assert (ended.captured_micros, ended.released_micros) == (charged, eur("4.00") - charged)
    assert await balances(store) == (eur("10.00") - charged, 0)
    assert len(await history(store)) == 3
    assert (await audit(store)).findings == ()


async def test_a_hold_can_be_charged_in_parts(store: Store, holds: PlatformHolds) -> None:
    await open_books(store, topup("10.00"))
    hold_id = await placed(holds, "4.00", reference="msg_1")

    first = await holds.capture(ACCOUNT, hold_id, eur("1.00"))
    second = await holds.capture(ACCOUNT, hold_id, eur("2.50"))
    last = await holds.capture(ACCOUNT, hold_id)

    parts = [(each.hold.status, each.hold.remaining_micros, each.reserved_micros) for each in (first, second, last)]  # type: ignore[union-attr]
    assert parts == [("open", eur("3.00"), eur("3.00")), ("open", eur("0.50"), eur("0.50")), ("captured", 0, 0)]
    assert await balances(store) == (eur("6.00"), 0)
    rows = (await history(store))[2:]
    assert [(row.type, row.amount_micros) for row in rows] == [
        ("charge", eur("1.00")),
        ("charge", eur("2.50")),
        ("charge", eur("0.50")),
    ]
    assert {row.hold_id for row in rows} == {hold_id}


async def test_the_final_part_gives_back_what_remains_after_it(store: Store, holds: PlatformHolds) -> None:
    await open_books(store, topup("10.00"))
    hold_id = await placed(holds, "4.00")
    await holds.capture(ACCOUNT, hold_id, eur("1.00"))

    final = await holds.capture(ACCOUNT, hold_id, eur("0.50"), final=True)

    assert final.hold == await holds.get(ACCOUNT, hold_id)
    assert final.hold.status == "captured"
    assert (final.hold.captured_micros, final.hold.released_micros) == (eur("1.50"), eur("2.50"))
    rows = (await history(store))[-2:]
    assert [(row.type, row.amount_micros) for row in rows] == [("charge", eur("0.50")), ("release", eur("2.50"))]
    assert tuple(row.transaction_id for row in rows) == final.transaction_ids
    assert await balances(store) == (eur("8.50"), 0)
    assert (await audit(store)).findings == ()


async def test_a_release_gives_back_what_no_part_has_taken(store: Store, holds: PlatformHolds) -> None:
    await open_books(store, topup("10.00"))
    hold_id = await placed(holds, "4.00")
    await holds.capture(ACCOUNT, hold_id, eur("1.00"))

    released = await holds.release(ACCOUNT, hold_id)

    assert released.hold is not None
    assert (released.hold.status, released.hold.released_micros) == ("released", eur("3.00"))
    assert await balances(store) == (eur("9.00"), 0)


async def test_what_a_hold_does_not_cover_is_taken_from_what_is_free(store: Store, holds: PlatformHolds) -> None:
    await open_books(store, topup("10.00"))
    hold_id = await placed(holds, "4.00")

    captured = await holds.capture(ACCOUNT, hold_id, eur("10.00"))

    assert captured.hold is not None
    assert (captured.hold.status, captured.hold.captured_micros) == ("captured", eur("10.00"))
    assert await balances(store) == (0, 0)
    assert await status_of(store) == "active"
    entries = {entry.ledger_account: entry.amount_micros for entry in (await history(store))[-1].entries}
    assert entries == {"reserved": eur("-4.00"), "available": eur("-6.00"), "revenue": eur("10.00")}


async def test_what_is_missing_is_owed_and_the_account_can_hold_nothing_more(
    store: Store, holds: PlatformHolds
) -> None:
    await open_books(store, topup("10.00"))
    taken, charged, given_back = [await placed(holds, "2.00") for _ in range(3)]

    await holds.capture(ACCOUNT, taken, eur("6.50"))

    entries = {entry.ledger_account: entry.amount_micros for entry in (await history(store))[-1].entries}
    assert entries == {
        "reserved": eur("-2.00"),
        "available": eur("-4.00"),
        "receivable": eur("-0.50"),
        "revenue": eur("6.50"),
    }
    assert await balances(store) == (0, eur("4.00"))
    assert await status_of(store) == "past_due"
    async with store.read(NOW) as tx:
        events = {each.event: each for each in await tx.outbox.of(ACCOUNT)}
    assert set(events) == {"billing.account.past_due", BALANCE_MOVED}  # somebody looks, and sees money that comes in
    event = events["billing.account.past_due"]
    payload = {name: event.payload[name] for name in ("hold_id", "owed", "currency")}
    assert payload == {"hold_id": taken, "owed": "0.50", "currency": "EUR"}
    await holds.capture(ACCOUNT, charged, eur("2.50"))
    await holds.release(ACCOUNT, given_back)
    assert await balances(store) == (eur("2.00"), 0)
    assert await told(holds.place(ACCOUNT, eur("1.00"))) == "account_not_active"
    async with store.read(NOW) as tx:
        assert {each.event: each for each in await tx.outbox.of(ACCOUNT)} == events
        assert len(await tx.outbox.of(ACCOUNT)) == 2  # what is past due already is told once
    assert (await audit(store)).findings == ()


async def test_a_hold_is_not_charged_more_in_all_than_can_be_kept(store: Store, holds: PlatformHolds) -> None:
    await open_books(store, *[topup("999999999999.00")] * 9)
    hold_id = await placed(holds, "900000000000.00")
    await holds.capture(ACCOUNT, hold_id, eur("800000000000.00"))
    before = await everything(store)

    with pytest.raises(BillingError) as refused:
        await holds.capture(ACCOUNT, hold_id, MAX_TOTAL_MICROS)

    assert (refused.value.code, refused.value.field) == ("amount_too_large", "amount")
    assert await everything(store) == before
    assert await told(holds.capture(ACCOUNT, hold_id, MAX_TOTAL_MICROS - eur("800000000000.00"))) == "captured"
    assert (await audit(store)).findings == ()


async def test_a_hold_that_is_placed_and_charged_in_one_batch_is_kept_as_it_ended(store: Store) -> None:
    await open_books(store, topup("10.00"))
    hold_id = ledger_id(NOW, ACCOUNT, 2)

    place, capture = await asyncio.gather(
        store.submit(Instruction(ACCOUNT, PlaceHold(eur("4.00"), "", NOW + DEFAULT_LIFE), NOW)),
        store.submit(Instruction(ACCOUNT, CaptureHold(hold_id, eur("1.00"), final=True), NOW)),
    )

    assert place.hold is not None
    assert (place.hold.hold_id, place.hold.status) == (hold_id, "open")
    async with store.read(NOW) as tx:
        assert await tx.holds.get(ACCOUNT, hold_id) == capture.hold
    assert capture.hold is not None
    assert capture.hold.status == "captured"
    assert await balances(store) == (eur("9.00"), 0)
    assert (await audit(store)).findings == ()


async def test_the_same_key_gives_the_same_receipt_whatever_has_become_of_the_hold(
    store: Store, holds: PlatformHolds, clock: Clock
) -> None:
    await open_books(store, topup("10.00"))
    keyed: dict[str, Any] = {"reference": "msg_1", "idempotency_key": "k-place"}
    first = await holds.place(ACCOUNT, eur("4.00"), **keyed)
    assert first.hold is not None
    hold_id = first.hold.hold_id
    part = await holds.capture(ACCOUNT, hold_id, eur("1.00"), idempotency_key="k-part")
    clock.now += timedelta(hours=1)
    end = await holds.release(ACCOUNT, hold_id, idempotency_key="k-end")
    await post(store, charge("5.00"))
    before = await everything(store)

    assert await holds.place(ACCOUNT, eur("4.00"), **keyed) == replace(first, replayed=True)
    again = await holds.capture(ACCOUNT, hold_id, eur("1.00"), idempotency_key="k-part")
    assert again == replace(part, replayed=True)
    assert await holds.release(ACCOUNT, hold_id, idempotency_key="k-end") == replace(end, replayed=True)
    assert not any(receipt.replayed for receipt in (first, part, end))
    assert await everything(store) == before


async def test_a_place_can_be_sent_again_after_its_own_expiry(store: Store, holds: PlatformHolds, clock: Clock) -> None:
    await open_books(store, topup("10.00"))
    asked: dict[str, Any] = {"expires_at": NOW + timedelta(minutes=1), "idempotency_key": "k"}
    first = await holds.place(ACCOUNT, eur("4.00"), **asked)

    for moment in (NOW + timedelta(minutes=1), NOW + timedelta(days=1), NOW - 2 * MAX_LIFE):
        clock.now = moment
        assert await holds.place(ACCOUNT, eur("4.00"), **asked) == replace(first, replayed=True)


@pytest.mark.parametrize("verb", ["place", "capture", "release"])
async def test_the_same_request_32_times_at_once_happens_once(
    store: Store, holds: PlatformHolds, elsewhere: PlatformHolds, verb: str
) -> None:
    await open_books(store, topup("10.00"))
    hold_id = await placed(holds, "4.00")
    rows = len(await history(store))
    ask: dict[str, Callable[[PlatformHolds], Coroutine[Any, Any, Receipt]]] = {
        "place": lambda it: it.place(ACCOUNT, eur("1.00"), idempotency_key="k"),
        "capture": lambda it: it.capture(ACCOUNT, hold_id, idempotency_key="k"),
        "release": lambda it: it.release(ACCOUNT, hold_id, idempotency_key="k"),
    }

    receipts = await asyncio.gather(*(ask[verb](each) for each in [holds, elsewhere] * 16))

    assert Counter(receipt.replayed for receipt in receipts) == {True: 31, False: 1}
    assert len({replace(receipt, replayed=False) for receipt in receipts}) == 1
    assert len(await history(store)) == rows + 1


async def test_a_key_belongs_to_one_request(store: Store, holds: PlatformHolds) -> None:
    await open_books(store, topup("10.00"))
    first = await holds.place(ACCOUNT, eur("4.00"), reference="msg_1", idempotency_key="k")
    assert first.hold is not None
    hold_id = first.hold.hold_id
    await holds.capture(ACCOUNT, hold_id, eur("1.00"), idempotency_key="k-part")
    before = await everything(store)

    others: list[Asks] = [
        lambda it: it.place(ACCOUNT, eur("4.01"), reference="msg_1", idempotency_key="k"),
        lambda it: it.place(ACCOUNT, eur("4.00"), reference="msg_2", idempotency_key="k"),
        lambda it: it.place(
            ACCOUNT, eur("4.00"), reference="msg_1", expires_at=NOW + DEFAULT_LIFE, idempotency_key="k"
        ),
        lambda it: it.capture(ACCOUNT, hold_id, idempotency_key="k"),
        lambda it: it.release(ACCOUNT, hold_id, idempotency_key="k"),
        lambda it: it.capture(ACCOUNT, hold_id, eur("1.00"), final=True, idempotency_key="k-part"),
        lambda it: it.capture(ACCOUNT, hold_id, idempotency_key="k-part"),
        lambda it: it.capture(ACCOUNT, NOBODY, eur("1.00"), idempotency_key="k-part"),
    ]
    for ask in others:
        with pytest.raises(InvalidArgument) as refused:
            await ask(holds)
        assert (refused.value.code, refused.value.field) == ("idempotency_key_reused", "idempotency_key")
    assert await everything(store) == before


async def test_a_key_is_one_account_s_own_and_can_be_of_any_characters(store: Store, holds: PlatformHolds) -> None:
    await open_books(store, topup("10.00"))
    await open_books(store, topup("10.00", OTHER), account_id=OTHER)
    key = "\ud800 \x00ü" + "k" * 250

    one = await holds.place(ACCOUNT, eur("1.00"), idempotency_key=key)
    other = await holds.place(OTHER, eur("2.00"), idempotency_key=key)

    assert not any(receipt.replayed for receipt in (one, other))
    assert await balances(store) == (eur("9.00"), eur("1.00"))
    assert (await holds.place(ACCOUNT, eur("1.00"), idempotency_key=key)).replayed


async def test_without_a_key_the_same_request_happens_again(store: Store, holds: PlatformHolds) -> None:
    await open_books(store, topup("10.00"))

    for _ in range(2):
        assert not (await holds.place(ACCOUNT, eur("1.00"), reference="msg_1")).replayed

    assert await balances(store) == (eur("8.00"), eur("2.00"))


async def test_a_request_that_was_refused_leaves_its_key_free(store: Store, holds: PlatformHolds) -> None:
    await open_books(store, topup("1.00"))
    assert await told(holds.place(ACCOUNT, eur("2.00"), idempotency_key="k")) == "insufficient_funds"
    await post(store, topup("9.00"))

    receipt = await holds.place(ACCOUNT, eur("2.00"), idempotency_key="k")

    assert not receipt.replayed
    assert await balances(store) == (eur("8.00"), eur("2.00"))
    assert await told(holds.capture(ACCOUNT, NOBODY, idempotency_key="k2")) == "not_found"
    assert await told(holds.place(ACCOUNT, eur("3.00"), idempotency_key="k2")) == "open"


async def test_a_hold_expires_at_its_moment_and_not_before(store: Store, holds: PlatformHolds, clock: Clock) -> None:
    await open_books(store, topup("10.00"))
    hold_id = await placed(holds, "4.00", expires_at=NOW + timedelta(hours=1))
    clock.now = NOW + timedelta(hours=1) - timedelta(microseconds=1)
    assert await told(holds.expire(ACCOUNT, hold_id)) == "hold_not_due"
    assert await holds.expire_due() == 0
    assert await balances(store) == (eur("6.00"), eur("4.00"))

    clock.now += timedelta(microseconds=1)

    assert await told(holds.expire(ACCOUNT, hold_id)) == "expired"
    assert await balances(store) == (eur("10.00"), 0)
    assert await told(holds.expire(ACCOUNT, hold_id)) == "hold_not_open"


async def test_a_hold_past_its_time_can_be_charged_until_it_has_expired(
    store: Store, holds: PlatformHolds, clock: Clock
) -> None:
    await open_books(store, topup("10.00"))
    hold_id = await placed(holds, "4.00")
    clock.now += 2 * DEFAULT_LIFE

    assert await told(holds.capture(ACCOUNT, hold_id)) == "captured"


async def test_all_that_is_due_expires_on_every_account_and_nothing_else(
    store: Store, holds: PlatformHolds, clock: Clock
) -> None:
    await open_books(store, topup("1000.00"))
    await open_books(store, topup("10.00", OTHER), account_id=OTHER)
    await asyncio.gather(*(placed(holds, "1.00") for _ in range(300)))
    await placed(holds, "2.00", OTHER)
    part = await placed(holds, "3.00", OTHER)
    await holds.capture(OTHER, part, eur("1.00"))
    late = await placed(holds, "4.00", OTHER, expires_at=NOW + DEFAULT_LIFE + timedelta(microseconds=1))
    clock.now += DEFAULT_LIFE
    heard: list[int] = []

    assert await holds.expire_due(progress=heard.append) == 302
    assert await holds.expire_due(progress=heard.append) == 0

    assert heard == [256, 302]
    assert await balances(store) == (eur("1000.00"), 0)
    assert await balances(store, OTHER) == (eur("5.00"), eur("4.00"))
    assert (await holds.get(OTHER, late)).status == "open"
    assert (await holds.get(OTHER, part)).status == "expired"
    assert (await audit(store)).findings == ()


async def test_two_that_expire_what_is_due_share_the_work(
    store: Store, holds: PlatformHolds, elsewhere: PlatformHolds, clock: Clock
) -> None:
    await open_books(store, topup("100.00"))
    await asyncio.gather(*(placed(holds, "1.00") for _ in range(20)))
    clock.now += DEFAULT_LIFE

    assert sum(await asyncio.gather(holds.expire_due(), elsewhere.expire_due())) == 20
    assert await balances(store) == (eur("100.00"), 0)


async def test_expiring_ends_although_the_clock_is_set_back_meanwhile(store: Store, clock: Clock) -> None:
    await open_books(store, topup("10.00"))
    await placed(PlatformHolds(store, clock), "1.00")
    moments = iter([NOW + DEFAULT_LIFE])

    async with asyncio.timeout(20):
        assert await PlatformHolds(store, lambda: next(moments, NOW)).expire_due() == 1


FAR = datetime(2026, 3, 12, 12, 0, tzinfo=timezone(timedelta(hours=2)))
WRONG: dict[str, tuple[str, Asks]] = {
    "nothing": ("amount", lambda it: it.place(ACCOUNT, 0, idempotency_key="k")),
    "less than nothing": ("amount", lambda it: it.place(ACCOUNT, -1, idempotency_key="k")),
    "more than there can be": ("amount", lambda it: it.place(ACCOUNT, MAX_TOTAL_MICROS + 1, idempotency_key="k")),
    "an expiry that is now": ("expires_at", lambda it: it.place(ACCOUNT, 1, expires_at=FAR, idempotency_key="k")),
    "an expiry in the past": (
        "expires_at",
        lambda it: it.place(ACCOUNT, 1, expires_at=NOW - timedelta(microseconds=1), idempotency_key="k"),
    ),
    "an expiry too far ahead": (
        "expires_at",
        lambda it: it.place(ACCOUNT, 1, expires_at=NOW + MAX_LIFE + timedelta(microseconds=1), idempotency_key="k"),
    ),
    "an expiry nobody knows where": (
        "expires_at",
        lambda it: it.place(ACCOUNT, 1, expires_at=datetime(2026, 3, 13), idempotency_key="k"),  # noqa: DTZ001
    ),
    "a reference with a control character": (
        "reference",
        lambda it: it.place(ACCOUNT, 1, reference="msg\x1b[2J", idempotency_key="k"),
    ),
    "a reference with a zero": ("reference", lambda it: it.place(ACCOUNT, 1, reference="a\0", idempotency_key="k")),
    "a reference in two lines": ("reference", lambda it: it.place(ACCOUNT, 1, reference="a\nb", idempotency_key="k")),
    "half a character": ("reference", lambda it: it.place(ACCOUNT, 1, reference="\ud800", idempotency_key="k")),
    "a long reference": ("reference", lambda it: it.place(ACCOUNT, 1, reference="r" * 256, idempotency_key="k")),
    "a long key": ("idempotency_key", lambda it: it.place(ACCOUNT, 1, idempotency_key="k" * 256)),
    "a charge of nothing": ("amount", lambda it: it.capture(ACCOUNT, NOBODY, 0, idempotency_key="k")),
    "a negative charge": ("amount", lambda it: it.capture(ACCOUNT, NOBODY, -1, idempotency_key="k")),
    "a charge beyond all": ("amount", lambda it: it.capture(ACCOUNT, NOBODY, MAX_TOTAL_MICROS + 1)),
    "a long key for a charge": ("idempotency_key", lambda it: it.capture(ACCOUNT, NOBODY, idempotency_key="k" * 256)),
    "a long key for a release": ("idempotency_key", lambda it: it.release(ACCOUNT, NOBODY, idempotency_key="k" * 256)),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_argument_is_named_and_nothing_is_written(store: Store, holds: PlatformHolds, wrong: str) -> None:
    await open_books(store, topup("10.00"))
    before = await everything(store)
    field, ask = WRONG[wrong]

    with pytest.raises(InvalidArgument) as refused:
        await ask(holds)

    assert (refused.value.code, refused.value.field) == ("invalid_argument", field)
    assert await everything(store) == before
    assert await told(holds.place(ACCOUNT, 1, reference="r" * 255, idempotency_key="k")) == "open"


async def test_what_is_not_there_is_not_found_and_named(store: Store, holds: PlatformHolds) -> None:
    await open_books(store, topup("10.00"))
    await open_books(store, topup("10.00", OTHER), account_id=OTHER)
    of_other = await placed(holds, "1.00", OTHER)

    missing: list[tuple[str, Asks]] = [
        ("account_id", lambda it: it.place(NOBODY, 1)),
        ("account_id", lambda it: it.release(NOBODY, of_other)),
        ("hold_id", lambda it: it.capture(ACCOUNT, of_other)),
        ("hold_id", lambda it: it.release(ACCOUNT, of_other)),
        ("hold_id", lambda it: it.expire(ACCOUNT, of_other)),
        ("hold_id", lambda it: it.get(ACCOUNT, of_other)),
    ]
    for field, ask in missing:
        with pytest.raises(BillingError) as refused:
            await ask(holds)
        assert (refused.value.code, refused.value.field) == ("not_found", field)
    assert await balances(store, OTHER) == (eur("9.00"), eur("1.00"))


async def test_what_is_refused_in_a_batch_leaves_the_others_as_they_are(store: Store, holds: PlatformHolds) -> None:
    await open_books(store, topup("10.00"))
    hold_id = await placed(holds, "1.00")

    outcomes = await asyncio.gather(
        told(holds.place(ACCOUNT, eur("6.00"))),
        told(holds.place(ACCOUNT, eur("6.00"))),
        told(holds.place(NOBODY, eur("1.00"))),
        told(holds.release(ACCOUNT, hold_id)),
        told(holds.capture(ACCOUNT, hold_id)),
        told(holds.place(ACCOUNT, eur("4.00"))),
    )

    assert [*outcomes] == ["open", "insufficient_funds", "not_found", "released", "hold_not_open", "open"]
    assert await balances(store) == (0, eur("10.00"))
    assert (await audit(store)).findings == ()


async def test_a_caller_that_goes_away_while_its_request_waits_has_withdrawn_it(
    store: Store, holds: PlatformHolds
) -> None:
    await open_books(store, topup("10.00"))
    gone, stays = (asyncio.create_task(holds.place(ACCOUNT, eur(amount))) for amount in ("1.00", "2.00"))
    await asyncio.sleep(0)  # both wait now, and nobody has looked at them

    gone.cancel()

    await asyncio.wait([gone, stays])
    assert gone.cancelled()
    assert (await stays).reserved_micros == eur("2.00")
    assert await balances(store) == (eur("8.00"), eur("2.00"))


async def test_what_is_due_expires_though_fewer_may_wait_at_a_time(database: str, clock: Clock) -> None:
    store = await Store.open(database, capacity=2)
    holds = PlatformHolds(store, clock)
    await open_books(store, topup("10.00"))
    for _ in range(5):
        await placed(holds, "1.00")
    clock.now += DEFAULT_LIFE

    try:
        assert await holds.expire_due() == 5
        assert await balances(store) == (eur("10.00"), 0)
    finally:
        await store.close()
