"""Holds expire by themselves: every account's, whatever is wrong with another's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from billing_mcp.app import App, worker_on
from billing_mcp.domain.errors import Internal
from billing_mcp.domain.holds import Hold
from billing_mcp.operations.platform_holds import DEFAULT_LIFE, PlatformHolds
from billing_mcp.settings import Settings
from billing_mcp.store.outbox import Work
from billing_mcp.store.store import Store
from billing_mcp.worker import expiry
from billing_mcp.worker.expiry import EXPIRE_HOLDS, find_due_holds
from billing_mcp.worker.worker import Worker
from tests.conftest import Clock
from tests.faults.ground import EUR, account, open_accounts, until
from tests.store.books import audit, forger
from tests.world import charging_on


@pytest.fixture
def holds(store: Store, clock: Clock) -> PlatformHolds:
    return PlatformHolds(store, clock)


@pytest.fixture
def worker(store: Store, clock: Clock) -> Worker:
    return worker_on(store, Settings(database="unused"), clock, charging_on(store, clock))


async def place(holds: PlatformHolds, account_ids: Sequence[str], count: int) -> None:
    await asyncio.gather(*(holds.place(each, EUR) for each in account_ids for _ in range(count)))


async def reserved(store: Store, account_id: str) -> int:
    """How many of these tests' holds are open."""
    async with store.read(store_now()) as tx:
        return (await tx.ledger.wallet(account_id)).reserved_micros // EUR


def store_now() -> datetime:
    return Clock()()


async def waiting(store: Store) -> list[Work]:
    async with store.read(store_now()) as tx:
        return await tx.outbox.listed(None, limit=1000)


async def test_what_is_due_on_any_account_expires_and_the_rest_stays(
    store: Store, holds: PlatformHolds, worker: Worker, clock: Clock
) -> None:
    accounts = await open_accounts(store, 12)
    await place(holds, accounts[:10], 30)
    clock.now += DEFAULT_LIFE
    await place(holds, accounts[5:], 3)

    await worker.run_once()

    assert [await reserved(store, each) for each in accounts] == [0] * 5 + [3] * 7
    assert worker.outcomes == {"done": 10}
    assert await waiting(store) == []
    assert (await audit(store)).findings == ()
    await worker.run_once()
    assert worker.outcomes == {"done": 10}


async def test_a_worker_that_runs_expires_what_falls_due_meanwhile(app: App, clock: Clock) -> None:
    app.settings.worker_poll_s = app.settings.worker_scan_s = 0.01
    (account_id,) = await open_accounts(app.store, 1)
    heard: list[tuple[str, str]] = []
    worker = app.worker(on_job=lambda topic, outcome, _: heard.append((topic, outcome)))
    async with worker.running():
        for turn in range(1, 4):
            await place(app.holds, [account_id], 5)
            clock.now += DEFAULT_LIFE
            await until(lambda turn=turn: len(heard) >= turn, "its expiry")  # type: ignore[misc]
            assert await reserved(app.store, account_id) == 0

    assert heard == [(EXPIRE_HOLDS, "done")] * 3


async def test_an_account_whose_books_are_spoiled_keeps_no_other_from_it_and_is_dead_in_the_end(
    store: Store, database: str, holds: PlatformHolds, worker: Worker, clock: Clock
) -> None:
    accounts = await open_accounts(store, 5)
    await place(holds, accounts, 4)
    async with forger(database) as run:
        await run("UPDATE wallets SET reserved_micros = 0 WHERE account_id = $1", account(0))
        await run("UPDATE wallets SET reserved_micros = $1 WHERE account_id = $2", EUR, account(1))
    clock.now += DEFAULT_LIFE

    for _ in range(40):
        await worker.run_once()
        clock.now += timedelta(minutes=20)

    assert [await reserved(store, each) for each in accounts] == [0] * 5
    left = {(work.account_id, work.status, work.last_error, work.attempts) for work in await waiting(store)}
    assert left == {(each, "dead", "internal_error", 12) for each in (account(0), account(1))}
    async with store.read(clock()) as tx:
        assert len(await tx.holds.due(clock(), limit=100)) == 4 + 3  # of the second, one hold could be expired


async def test_what_is_dead_is_tried_anew_after_a_day_or_when_it_is_revived(
    store: Store, holds: PlatformHolds, worker: Worker, clock: Clock
) -> None:
    (account_id,) = await open_accounts(store, 1)
    await place(holds, [account_id], 2)
    clock.now += DEFAULT_LIFE
    find = find_due_holds(store, clock)

    async def die() -> None:
        async with store.write(clock()) as tx:
            (work,) = await tx.outbox.take(EXPIRE_HOLDS, lease="l", until=clock(), limit=9)
            await tx.outbox.bury(work, error="internal_error")

    assert await find() == 1
    await die()
    clock.now += timedelta(days=1) - timedelta(microseconds=1)
    assert await find() == 0
    clock.now += timedelta(microseconds=1)
    assert await find() == 1
    await die()
    async with store.write(clock()) as tx:
        assert await tx.outbox.revive() == 1
    await worker.run_once()
    assert await reserved(store, account_id) == 0
    assert await waiting(store) == []


async def test_due_holds_are_found_once_by_however_many_look(store: Store, holds: PlatformHolds, clock: Clock) -> None:
    accounts = await open_accounts(store, 20)
    await place(holds, accounts, 2)
    finders = [find_due_holds(store, clock) for _ in range(4)]
    assert await asyncio.gather(*(find() for find in finders)) == [0] * 4
    clock.now += DEFAULT_LIFE

    assert sum(await asyncio.gather(*(find() for find in finders))) == 20
    assert await asyncio.gather(*(find() for find in finders)) == [0] * 4
    assert sorted(work.account_id for work in await waiting(store)) == accounts


async def test_an_account_with_many_holds_lets_others_have_their_turn(
    store: Store, holds: PlatformHolds, worker: Worker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "_HOLDS_OF_A_JOB", 7)
    accounts = await open_accounts(store, 2)
    await place(holds, accounts[:1], 20)
    await place(holds, accounts[1:], 1)
    clock.now += DEFAULT_LIFE

    await worker.run_once()

    assert worker.outcomes == {"done": 4}
    assert [await reserved(store, each) for each in accounts] == [0, 0]


async def test_by_hand_too_a_spoiled_account_keeps_no_other_from_expiring(
    store: Store, database: str, holds: PlatformHolds, clock: Clock
) -> None:
    accounts = await open_accounts(store, 3)
    await place(holds, accounts, 300)
    async with forger(database) as run:
        await run("UPDATE wallets SET reserved_micros = 0 WHERE account_id = $1", account(0))
    clock.now += DEFAULT_LIFE

    with pytest.raises(Internal):
        await holds.expire_due()

    async with store.read(clock()) as tx:
        left: list[Hold] = await tx.holds.due(clock(), limit=1000)
    assert {hold.account_id for hold in left} == {account(0)}
    assert len(left) == 300
