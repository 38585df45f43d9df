"""Holds and executions share a database fairly, too many are refused at once, and who goes away disturbs nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from billing_mcp.app import App
from billing_mcp.domain.clock import system_clock
from billing_mcp.domain.errors import Unavailable
from billing_mcp.domain.instructions import Receipt
from billing_mcp.settings import Settings
from billing_mcp.store import engine
from billing_mcp.store.store import Store
from tests.conftest import Clock
from tests.faults import SOAK
from tests.faults.ground import EUR, Crowd, OpenStore, account, assert_sound, holds_on, open_accounts, outcomes, placed
from tests.world import World

ROUNDS = 40 if SOAK else 4
CHANGES = "billing.plan.cancel(account_id={0!r})\nbilling.plan.resume(account_id={0!r})"


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    """The platform's hands and an agent's, with patience."""
    settings = Settings(database=database, execution_after_write_s=10, wall_after_write_s=30, wall_s=60, workers=2)
    clock = Clock()
    clock.now = system_clock()
    async with App.open(settings, clock=clock) as opened:
        yield World(opened, clock)


@asynccontextmanager
async def blocked(store: Store, account_id: str) -> AsyncIterator[None]:
    """For the block an execution of this process is in the way of all holds on an account."""
    async with store.write(system_clock()) as tx:
        await tx.accounts.get(account_id, lock=True)
        yield


async def waiting(store: Store, count: int) -> list[asyncio.Task[Receipt]]:
    """So many holds on the first account that wait."""
    keyed = [f"waiting-{n}" for n in range(count)]
    holds = holds_on(store)
    tasks = [asyncio.create_task(holds.place(account(0), EUR, reference=k, idempotency_key=k)) for k in keyed]
    await asyncio.wait(tasks, timeout=0.2)
    assert not any(task.done() for task in tasks)
    return tasks


async def test_scripts_complete_under_a_steady_stream_of_holds_and_holds_under_scripts(
    world: World, database: str
) -> None:
    store = world.app.store
    subject = await world.account(funds="1000.00", plan="smtp_per_mailbox", mailbox=1)
    crowd = Crowd(store, [subject, *await open_accounts(store, 2)])
    crowd.start(holders=24, payers=0)
    await crowd.more(50)
    for _ in range(ROUNDS):
        async with asyncio.timeout(30):
            await world.must(CHANGES.format(subject))
            await crowd.more(20)

    async def scripts() -> None:
        while True:
            await world.must(CHANGES.format(subject))

    stream = [asyncio.create_task(scripts()) for _ in range(2)]
    await crowd.more(50 * ROUNDS)
    assert not any(task.done() for task in stream)
    await crowd.stop()
    for task in stream:
        task.cancel()
    await asyncio.wait(stream, timeout=30)
    await world.app.executor.settled()
    assert crowd.codes == []
    await crowd.assert_all_happen_once(database)


async def test_holds_on_an_account_that_executions_keep_locked_have_their_turn(
    postgresql: str, open_store: OpenStore
) -> None:
    store = await open_store(postgresql)
    accounts = await open_accounts(store, 2)
    ended = 0

    async def keep_locked() -> None:
        nonlocal ended
        while True:
            async with blocked(store, accounts[0]):
                await asyncio.sleep(0.02)  # what an execution takes
            ended += 1

    locking = [asyncio.create_task(keep_locked()) for _ in range(4)]
    holds = holds_on(store)
    for turn in range(ROUNDS):
        told = await outcomes([holds.place(each, EUR, reference=f"r-{turn}-{n}") for n, each in enumerate(accounts)])
        assert [receipt.account_id for receipt in told] == accounts
    before = ended
    while ended < before + 4:  # and the executions go on
        (told,) = await outcomes([holds.place(accounts[0], EUR)])
        assert told.account_id == accounts[0]
    for task in locking:
        task.cancel()
    await asyncio.wait(locking)
    await assert_sound(store, postgresql)


async def test_holds_wait_in_line_behind_an_execution_and_not_in_the_database(
    sqlite: str, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engine._SQLITE_OPTIONS, "timeout", 0)
    store = await open_store(sqlite)
    await open_accounts(store, 1)
    async with blocked(store, account(0)):
        tasks = await waiting(store, 4)
    assert len({receipt.transaction_ids for receipt in await outcomes(tasks)}) == 4


async def test_one_more_than_may_wait_is_refused_at_once_and_the_others_complete(
    database: str, open_store: OpenStore
) -> None:
    store = await open_store(database, capacity=4)
    await open_accounts(store, 1)
    async with blocked(store, account(0)):
        tasks = await waiting(store, 4)
        assert await outcomes([holds_on(store).place(account(0), EUR, reference="fifth")]) == ["queue_full"]
        assert not any(task.done() for task in tasks)

    assert len({receipt.transaction_ids for receipt in await outcomes(tasks)}) == 4
    await outcomes([holds_on(store).place(account(0), EUR, reference="fifth", idempotency_key="fifth")])
    assert await placed(database, "fifth") == {"fifth": 1}
    await assert_sound(store, database)


async def test_a_caller_who_goes_away_frees_a_place_and_disturbs_nobody(database: str, open_store: OpenStore) -> None:
    store = await open_store(database, capacity=4)
    await open_accounts(store, 1)
    async with blocked(store, account(0)):
        first, gone, third, fourth = await waiting(store, 4)
        gone.cancel()
        await asyncio.wait([gone])
        fifth = asyncio.create_task(holds_on(store).place(account(0), EUR, reference="fifth"))
        await asyncio.wait([fifth], timeout=0.1)
        assert not fifth.done()

    told = await outcomes([first, third, fourth, fifth])
    assert len({receipt.transaction_ids for receipt in told}) == 4
    await assert_sound(store, database)


async def test_callers_who_go_away_at_any_moment_disturb_nobody(store: Store, database: str) -> None:
    accounts = await open_accounts(store, 3)
    holds = holds_on(store)

    def place(name: str, n: int) -> asyncio.Task[Receipt]:
        return asyncio.create_task(holds.place(accounts[n % 3], EUR, reference=name, idempotency_key=name))

    names = [f"r-{turn}-{n}" for turn in range(5 * ROUNDS) for n in range(30)]
    for turn in range(5 * ROUNDS):
        tasks = [place(f"r-{turn}-{n}", n) for n in range(30)]
        for task in tasks[::3]:
            await asyncio.sleep(0)
            task.cancel()
        assert len({r.transaction_ids for r in await outcomes([t for n, t in enumerate(tasks) if n % 3])}) == 20
        await asyncio.wait(tasks)

    await outcomes([place(name, int(name.rpartition("-")[2])) for name in names])
    assert await placed(database, "r-") == dict.fromkeys(names, 1)
    await assert_sound(store, database)


async def test_closing_lets_what_waits_end_and_takes_nothing_new(database: str) -> None:
    store = await Store.open(database)
    await open_accounts(store, 1)
    async with blocked(store, account(0)):
        tasks = await waiting(store, 4)
        closing = asyncio.create_task(store.close())
        await asyncio.wait([closing], timeout=0.1)
        assert not closing.done()
        with pytest.raises(Unavailable) as refused:
            await holds_on(store).place(account(0), EUR, reference="late")
        assert refused.value.code == "unavailable"

    assert len({receipt.transaction_ids for receipt in await outcomes(tasks)}) == 4
    await asyncio.wait_for(closing, 30)
    again = await Store.open(database)
    assert await placed(database, "") == {f"waiting-{n}": 1 for n in range(4)}
    await assert_sound(again, database)
    await again.close()
