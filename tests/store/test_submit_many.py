"""Many instructions of one caller: each for itself, in order, and no more than may wait."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from billing_mcp.domain.errors import BillingError, Unavailable
from billing_mcp.domain.holds import PlaceHold
from billing_mcp.domain.instructions import IdempotencyKey, Instruction, Receipt
from billing_mcp.store.store import Store
from tests.store.books import ACCOUNT, NOW, audit, eur, open_books, topup, wallet


def place(amount: str, account_id: str = ACCOUNT, key: str = "") -> Instruction:
    action = PlaceHold(eur(amount), "", NOW + timedelta(days=7))
    return Instruction(account_id, action, NOW, IdempotencyKey(key, "same") if key else None)


def told(outcomes: list[Receipt | BillingError]) -> list[str | int]:
    """The code of each refusal, and what was free after what was done."""
    return [each.available_micros if isinstance(each, Receipt) else each.code for each in outcomes]


async def test_each_has_its_own_outcome_in_order(store: Store) -> None:
    await open_books(store, topup("10.00"))

    outcomes = await store.submit_many(
        [place("6.00"), place("5.00"), place("1.00", "nobody"), place("3.00", key="k"), place("3.00", key="k")]
    )

    assert told(outcomes) == [eur("4.00"), "insufficient_funds", "not_found", eur("1.00"), eur("1.00")]
    assert [each.replayed for each in outcomes if isinstance(each, Receipt)] == [False, False, True]
    assert (await audit(store)).findings == ()


async def test_there_are_more_than_fit_into_one_commit(store: Store) -> None:
    await open_books(store, topup("10.00"))

    outcomes = await store.submit_many([place("0.01")] * 1001)

    assert told(outcomes) == [eur("10.00") - n * eur("0.01") for n in range(1, 1001)] + ["insufficient_funds"]


async def test_what_finds_no_room_is_refused_and_what_came_before_is_done(sqlite: str) -> None:
    store = await Store.open(sqlite, capacity=3)
    await open_books(store, topup("10.00"))

    first, second = await asyncio.gather(store.submit_many([place("1.00")] * 2), store.submit_many([place("2.00")] * 3))

    assert told(first) == [eur("9.00"), eur("8.00")]
    assert told(second) == [eur("6.00"), "queue_full", "queue_full"]
    assert told(await store.submit_many([place("1.00")] * 3)) == [eur("5.00"), eur("4.00"), eur("3.00")]
    await store.close()


async def test_who_goes_away_has_withdrawn_what_still_waits(store: Store) -> None:
    await open_books(store, topup("10.00"))
    asking = asyncio.create_task(store.submit_many([place("1.00")] * 8))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    await store.submit(place("2.00"))
    assert (await wallet(store)).reserved_micros == eur("2.00")


async def test_a_store_that_is_closed_takes_none(sqlite: str) -> None:
    store = await Store.open(sqlite)
    await store.close()
    with pytest.raises(Unavailable, match="shutting down"):
        await store.submit_many([place("1.00")])
