"""The engine's watch: a balance that leaves the span somebody set is noticed with what moved it, and once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from billing_mcp.domain.alerts import BALANCE_MOVED
from billing_mcp.domain.errors import InsufficientFunds
from billing_mcp.domain.holds import CaptureHold, PlaceHold
from billing_mcp.domain.instructions import Instruction
from billing_mcp.store.store import Store, Transaction
from tests.store.books import ACCOUNT, NOW, OTHER, Act, carry_out, charge, eur, hold, open_books, raw_connection, topup
from tests.world import World


@pytest.fixture
async def books(store: Store) -> Store:
    """Two accounts with 100.00 each."""
    await open_books(store, topup("100.00"))
    await open_books(store, topup("100.00"), account_id=OTHER)
    return store


async def watch(store: Store, low: str | None, high: str | None, account_id: str = ACCOUNT) -> None:
    async with store.write(NOW) as tx:
        await arm(tx, low, high, account_id)


async def arm(tx: Transaction, low: str | None, high: str | None, account_id: str = ACCOUNT) -> None:
    span = {"low_micros": low and eur(low), "high_micros": high and eur(high)}
    await tx.watches.watch(account_id, **span, check_at=None)  # type: ignore[arg-type]


async def noticed(store: Store, account_id: str = ACCOUNT) -> list[dict[str, Any]]:
    """What was noticed of an account, each with the balance of then."""
    async with store.read(NOW) as tx:
        return [dict(each.payload) for each in await tx.outbox.of(account_id) if each.event == BALANCE_MOVED]


async def span(database: str, account_id: str = ACCOUNT) -> tuple[Any, ...]:
    async with raw_connection(database) as run:
        named = "SELECT watch_low_micros, watch_high_micros FROM wallets WHERE account_id = $1"
        return (await run(named, account_id))[0]


async def alone(store: Store, act: Act) -> None:
    """By group commit, as the platform's calls are."""
    await store.submit(Instruction(ACCOUNT, act, NOW))


async def within(store: Store, act: Act) -> None:
    """In a transaction, as an execution's are."""
    async with store.write(NOW) as tx:
        await carry_out(tx, act, account_id=ACCOUNT)


#   low      high      what happens     available after it, where that is noticed
MOVES: list[tuple[str | None, str | None, Act, str | None]] = [
    ("90.00", None, hold("10.00"), None),
    ("90.00", None, hold("10.000001"), "89.999999"),
    ("90.00", None, charge("10.01"), "89.99"),
    ("0.00", None, charge("100.00"), None),
    (None, "110.00", topup("9.999999"), None),
    (None, "110.00", topup("10.00"), "110.00"),
    ("90.00", "110.00", topup("20.00"), "120.00"),
    ("90.00", "110.00", hold("20.00"), "80.00"),
    ("90.00", "110.00", hold("5.00"), None),
    (None, None, charge("100.00"), None),
    (None, None, topup("1000000.00"), None),
]


@pytest.mark.parametrize("way", [alone, within])
@pytest.mark.parametrize(("low", "high", "act", "seen"), MOVES)
async def test_a_balance_that_leaves_its_span_is_noticed_both_ways_and_on_both_ways(
    books: Store, database: str, way: Any, low: str | None, high: str | None, act: Act, seen: str | None
) -> None:
    await watch(books, low, high)

    await way(books, act)

    found = await noticed(books)
    assert [eur(each["available"]) for each in found] == ([eur(seen)] if seen else [])
    armed = (low and eur(low), high and eur(high))
    assert await span(database) == ((None, None) if seen else armed)
    assert [each["seq"] for each in found] == (["2"] if seen else [])


@pytest.mark.parametrize("way", [alone, within])
async def test_a_debt_that_freezes_an_account_is_noticed_once_though_nobody_watches(books: Store, way: Any) -> None:
    async with books.write(NOW) as tx:
        await carry_out(tx, hold("90.00"), hold("10.00"), account_id=ACCOUNT)
        holds = [each.hold_id for each in await tx.holds.older(ACCOUNT, than=None, status="open", limit=9)]

    for hold_id in holds:
        await way(books, CaptureHold(hold_id, eur("95.00")))

    assert [each["available"] for each in await noticed(books)] == ["0.00"]


async def test_it_is_noticed_once_until_it_is_armed_again(books: Store) -> None:
    await watch(books, "90.00", None)
    for _ in range(3):
        await alone(books, hold("11.00"))
    assert len(await noticed(books)) == 1

    await watch(books, "60.00", None)
    await alone(books, hold("8.00"))
    assert [each["available"] for each in await noticed(books)] in (["89.00", "59.00"], ["59.00", "89.00"])


async def test_many_at_a_time_are_noticed_once_for_each_account(books: Store) -> None:
    await watch(books, "90.00", None)
    await watch(books, "90.00", None, OTHER)
    place = PlaceHold(eur("1.00"), "", hold("1.00").expires_at)

    async with asyncio.timeout(30):
        await asyncio.gather(
            *(books.submit(Instruction(account_id, place, NOW)) for _ in range(50) for account_id in (ACCOUNT, OTHER))
        )

    assert (len(await noticed(books)), len(await noticed(books, OTHER))) == (1, 1)


async def test_what_is_refused_or_rolled_back_is_not_noticed(books: Store, database: str) -> None:
    await watch(books, "90.00", None)

    with pytest.raises(InsufficientFunds):
        await alone(books, hold("100.01"))
    async with books.write(NOW) as tx:
        await carry_out(tx, hold("50.00"), account_id=ACCOUNT)
        tx.rollback_only = True
    with suppress(ZeroDivisionError):
        async with books.write(NOW) as tx:
            await carry_out(tx, hold("50.00"), account_id=ACCOUNT)
            raise ZeroDivisionError
    async with books.write(NOW) as tx:
        with suppress(ZeroDivisionError):
            async with tx.savepoint():
                await carry_out(tx, hold("50.00"), account_id=ACCOUNT)
                raise ZeroDivisionError

    assert await noticed(books) == []
    assert await span(database) == (eur("90.00"), None)


async def test_a_balance_that_is_back_within_the_transaction_that_moved_it_has_dipped(books: Store) -> None:
    await watch(books, "90.00", None)
    async with books.write(NOW) as tx:
        await carry_out(tx, charge("50.00"), account_id=ACCOUNT)
        await carry_out(tx, topup("50.00"), account_id=ACCOUNT)
    assert [each["available"] for each in await noticed(books)] == ["50.00"]


async def test_a_span_that_is_set_in_the_same_transaction_holds_at_once(books: Store) -> None:
    async with books.write(NOW) as tx:
        await arm(tx, "90.00", None)
        await carry_out(tx, charge("50.00"), account_id=ACCOUNT)
    assert len(await noticed(books)) == 1


async def test_a_script_that_fails_or_is_previewed_leaves_no_trace_of_what_it_would_have_crossed(world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=20)
    script = f"billing.alerts.set(account_id={account_id!r}, amounts=['99.00'])"
    await world.must(script)
    world.clock.now = world.clock.now.replace(day=25)
    cancel = f"billing.plan.cancel(account_id={account_id!r}, cancel_immediately=True)"
    before = await world.snapshot(account_id)

    previewed = await world.run(cancel, preview=True)
    failed = await world.run(f"{cancel}\n1 / 0")

    assert (previewed.status, failed.status) == ("previewed", "failed")
    assert await world.snapshot(account_id) == before
    await world.must(cancel)
    assert len(await noticed(world.app.store, account_id)) == 1
