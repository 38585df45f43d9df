"""Workers as processes of their own: they share what is due, and one that is killed leaves nothing undone."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from billing_mcp.app import worker_on
from billing_mcp.domain.clock import iso, system_clock
from billing_mcp.domain.errors import Unavailable
from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.settings import Settings
from billing_mcp.store.store import Store
from tests.faults import SOAK
from tests.faults.ground import EUR, account, assert_sound, holds_on, open_accounts, until
from tests.faults.servers import Server
from tests.store.books import raw_connection
from tests.world import charging_on

PROJECT = Path(__file__).parents[2]
PLACED = datetime(2026, 3, 12, 10, 0, tzinfo=UTC)
DUE = PLACED + timedelta(days=8)
ACCOUNTS = 8
HOLDS = 4000
KILLS = 40 if SOAK else 5


async def holds_that_are_due(store: Store) -> None:
    """So many on each of the accounts; and one on each that is not."""
    await open_accounts(store, ACCOUNTS)
    holds = PlatformHolds(store, lambda: PLACED)
    later = DUE + timedelta(days=300)
    await asyncio.gather(*(holds.place(account(number % ACCOUNTS), EUR) for number in range(HOLDS)))
    await asyncio.gather(*(holds.place(account(number), EUR, expires_at=later) for number in range(ACCOUNTS)))


async def start(database: str, *options: str, now: datetime = DUE, **settings: str) -> Process:
    """A worker as people start it."""
    env = dict(os.environ) | {"BILLING_MCP_NOW": iso(now), "BILLING_MCP_WORKER_POLL_S": "0.05"} | settings
    command = (sys.executable, "-m", "billing_mcp", "worker", *options, "--database", database)
    return await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, cwd=PROJECT, env=env)


async def expired(database: str) -> int:
    """How many holds have expired."""
    async with raw_connection(database) as run:
        ((count,),) = await run("SELECT COUNT(*) FROM holds WHERE status = 'expired'")
    return int(count)


async def assert_each_expired_once(database: str) -> None:
    """All that was due, each in one transaction of the ledger; the rest is as it was, and the books are sound."""
    async with raw_connection(database) as run:
        assert await run("SELECT status, COUNT(*) FROM holds GROUP BY status ORDER BY status") == [
            ("expired", HOLDS),
            ("open", ACCOUNTS),
        ]
        released = "SELECT COUNT(*), COUNT(DISTINCT hold_id) FROM ledger_transactions WHERE type = 'release'"
        assert await run(released) == [(HOLDS, HOLDS)]
        assert await run("SELECT * FROM outbox") == []
    store = await Store.open(database)
    try:
        await assert_sound(store, database)
    finally:
        await store.close()


async def test_two_workers_share_what_is_due_and_each_hold_expires_once(database: str, store: Store) -> None:
    await holds_that_are_due(store)

    workers = [await start(database, "--once", "--json", BILLING_MCP_WORKER_JOBS="2") for _ in range(2)]
    said = await asyncio.gather(*(worker.communicate() for worker in workers))

    assert [worker.returncode for worker in workers] == [0, 0], said
    assert sum(output.count(b'"left": 0') for output, _ in said) == 2, said
    await assert_each_expired_once(database)


@pytest.mark.timeout(300)
async def test_a_worker_that_is_killed_leaves_its_work_to_the_next(database: str) -> None:
    store = await Store.open(database)
    await holds_that_are_due(store)
    await store.close()
    now, interrupted = DUE, 0
    for kill in range(KILLS):
        worker = await start(database, now=now)
        # A busy machine looks rarely, and kills late: more may be done by then than was meant to be.
        goal = min(await expired(database) + HOLDS // (2 * KILLS), HOLDS)
        try:
            await _until_expired(database, goal, worker)
        finally:
            with suppress(ProcessLookupError):
                worker.kill()
            await worker.communicate()
        assert worker.returncode == -9, kill
        async with raw_connection(database) as run:
            interrupted += bool(await run("SELECT 1 FROM outbox WHERE lease IS NOT NULL"))
        now += timedelta(minutes=5)  # its leases have ended by then

    last = await start(database, "--once", "--json", now=now)
    output, errors = await last.communicate()

    assert last.returncode == 0, errors
    assert interrupted
    assert b'"again": 0' in output
    await assert_each_expired_once(database)


async def _until_expired(database: str, goal: int, worker: Process) -> None:
    async with asyncio.timeout(60):
        while await expired(database) < goal:
            assert worker.returncode is None
            await asyncio.sleep(0.002)


async def test_a_worker_whose_database_goes_away_goes_on_when_it_is_back(server: Server) -> None:
    store = await Store.open(server.database)
    try:
        await open_accounts(store, 1)
        place = PlatformHolds(store, lambda: PLACED).place
        settings = Settings(database="unused", worker_poll_s=0.01, worker_scan_s=0.01)
        worker = worker_on(store, settings, system_clock, charging_on(store, system_clock))
        async with worker.running():
            await place(account(0), EUR)
            await until(lambda: worker.outcomes["done"] == 1, "the first")
            await server.kill()
            with suppress(Unavailable):
                while True:
                    await holds_on(store).get(account(0), "any")
            await server.start()
            await place(account(0), EUR)
            await until(lambda: worker.outcomes["done"] == 2, "the second")
        await assert_sound(store, server.database)
    finally:
        await store.close()
