"""A process that is stopped while it holds a lock delays others in bounds, on PostgreSQL only those who need it."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from billing_mcp.store import engine
from tests.faults.ground import EUR, OpenStore, account, assert_sound, holds_on, open_accounts, outcomes, pay

PROJECT = Path(__file__).parents[2]


class Stopped:
    """A stopped process that holds a lock."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def holding(cls, database: str, *account_ids: str) -> AsyncIterator[Stopped]:
        """One for the block."""
        command = (sys.executable, "-m", "tests.faults.stopper", database, *account_ids)
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, cwd=PROJECT)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"locked\n"
        process.send_signal(signal.SIGSTOP)
        try:
            yield cls(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def goes_on(self) -> None:
        """Let it give its lock up."""
        self._process.send_signal(signal.SIGCONT)
        await self._process.communicate(b"\n")


@pytest.mark.usefixtures("impatient")
async def test_who_needs_the_lock_of_a_stopped_process_is_told_so_in_bounded_time(
    database: str, open_store: OpenStore
) -> None:
    store = await open_store(database)
    await open_accounts(store, 2)
    holds = holds_on(store)
    async with Stopped.holding(database, account(0)) as stopped:
        needing = [holds.place(account(0), EUR, idempotency_key=f"k{n}") for n in range(4)]
        assert await outcomes([*needing, pay(store, account(0), "stopped")]) == ["database_busy"] * 5
        assert await outcomes([holds.get(account(0), "none")]) == ["not_found"]
        await stopped.goes_on()
        again = await outcomes([holds.place(account(0), EUR, idempotency_key=f"k{n}") for n in range(4)])

    assert [receipt.replayed for receipt in again] == [False] * 4
    await assert_sound(store, database)


async def test_who_waits_for_the_lock_of_a_process_that_goes_on_has_its_turn(
    database: str, monkeypatch: pytest.MonkeyPatch, open_store: OpenStore
) -> None:
    give_time(monkeypatch)
    store = await open_store(database)
    await open_accounts(store, 1)
    async with Stopped.holding(database, account(0)) as stopped:
        waiting = [asyncio.create_task(holds_on(store).place(account(0), EUR)) for _ in range(4)]
        paying = asyncio.create_task(pay(store, account(0), "waited"))
        done, _ = await asyncio.wait([*waiting, paying], timeout=0.2)
        assert done == set()
        await stopped.goes_on()
        assert not any(isinstance(told, str) and "_" in told for told in await outcomes([*waiting, paying]))

    await assert_sound(store, database)


async def test_holds_on_other_accounts_go_on_while_a_stopped_process_has_some_locked(
    postgresql: str, monkeypatch: pytest.MonkeyPatch, open_store: OpenStore
) -> None:
    give_time(monkeypatch)
    store = await open_store(postgresql)
    accounts = await open_accounts(store, 9)
    holds = holds_on(store)
    locked, free = accounts[:6], accounts[6:]
    async with Stopped.holding(postgresql, *locked) as stopped:
        waiting = [asyncio.create_task(holds.place(account_id, EUR)) for account_id in locked]
        for _ in range(10):
            receipts = await outcomes([holds.place(account_id, EUR) for account_id in [*free, *free]])
            assert {receipt.account_id for receipt in receipts} == set(free)
            assert not any(task.done() for task in waiting)
        await stopped.goes_on()
        served = await outcomes(waiting)

    assert [receipt.account_id for receipt in served] == locked
    await assert_sound(store, postgresql)


def give_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who waits for a lock gives up while the test runs."""
    for limit in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        monkeypatch.setitem(engine._POSTGRESQL_SETTINGS, limit, "60s")
    monkeypatch.setitem(engine._POSTGRESQL_CONNECT, "command_timeout", 60)
    monkeypatch.setitem(engine._SQLITE_OPTIONS, "timeout", 60)
