"""A clock that is advanced by a process which is killed: the next goes on from where it stands."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from billing_mcp.domain.clock import iso
from billing_mcp.operations.platform import open_account, receive_payment
from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.store.store import Store
from billing_mcp.store.test_clock import ClockMark
from tests.faults.ground import EUR, account, assert_sound
from tests.processes import cold_command, warm_command
from tests.store.books import raw_connection

START = datetime(2026, 1, 30, 12, tzinfo=UTC)
END = START + timedelta(days=40)
ACCOUNTS = 4
HOLDS = 30


async def furnish(database: str) -> None:
    """Accounts with money, of which each has spent some, and holds due at moments of their own all through the span."""
    store = await Store.open(database)
    try:
        async with store.write(START) as tx:
            await tx.test_clock.set(ClockMark(START))
        holds = PlatformHolds(store, lambda: START)
        for number in range(ACCOUNTS):
            async with store.write(START) as tx:
                await open_account(tx, account(number), f"Account {number}", "EUR")
                await receive_payment(tx, account(number), 100 * EUR, provider="test")
            spent = await holds.place(account(number), EUR, reference="spent")
            assert spent.hold is not None
            await holds.capture(account(number), spent.hold.hold_id)
        for number in range(HOLDS):
            due = START + timedelta(hours=25 * (number + 1))
            await holds.place(account(number % ACCOUNTS), EUR, reference=f"hold {number}", expires_at=due)
    finally:
        await store.close()


async def start(database: str, command_of: Callable[..., list[str]] = warm_command) -> Process:
    """An advance to the end, as people start it."""
    env = {name: value for name, value in os.environ.items() if name != "BILLING_MCP_NOW"}
    command = command_of("clock", "advance", "--to", iso(END), "--json", "--database", database)
    return await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=env)


async def test_an_advance_that_is_killed_is_gone_on_with_and_everything_happened_at_its_moment(database: str) -> None:
    await furnish(database)
    async with raw_connection(database) as run:
        process = await start(database, cold_command)
        try:
            async with asyncio.timeout(60):
                while (await run("SELECT COUNT(*) FROM holds WHERE status = 'expired'"))[0][0] < HOLDS // 3:
                    assert process.returncode is None
                    await asyncio.sleep(0.005)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()
        assert process.returncode == -9
        ((stood_at,),) = await run("SELECT now_us FROM test_clock")
        assert stood_at < END.timestamp() * 1_000_000
        ((too_early,),) = await run("SELECT COUNT(*) FROM ledger_transactions WHERE created_at_us > $1", stood_at)
        assert too_early == 0

        last = await start(database)
        output, errors = await last.communicate()

        assert last.returncode == 0, errors
        assert iso(END).encode() in output
        invoices = await run("SELECT number, issued_at_us FROM invoices ORDER BY number")
        month_end_us = int(datetime(2026, 2, 28, tzinfo=UTC).timestamp()) * 1_000_000
        assert invoices == [(f"INV-2026-{number:06d}", month_end_us) for number in range(1, ACCOUNTS + 1)]
        held = "SELECT reference, status, expires_at_us FROM holds ORDER BY expires_at_us"
        released = (
            "SELECT h.reference, t.created_at_us FROM ledger_transactions t JOIN holds h "
            "ON h.account_id = t.account_id AND h.hold_id = t.hold_id WHERE t.type = 'release' ORDER BY t.created_at_us"
        )
        due = [(reference, at_us) for reference, status, at_us in await run(held) if status == "expired"]
        assert len(due) == HOLDS
        assert await run(released) == due
        assert await run("SELECT now_us FROM test_clock") == [(int(END.timestamp()) * 1_000_000,)]
    store = await Store.open(database)
    try:
        await assert_sound(store, database)
    finally:
        await store.close()
