"""What the engine asks of the database keeps the books sound even where locks and turns would fail."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from billing_mcp.domain.clock import system_clock
from billing_mcp.domain.errors import Internal
from billing_mcp.domain.holds import CaptureHold, HoldAction, PlaceHold
from billing_mcp.domain.instructions import Instruction
from billing_mcp.domain.ledger import Posting
from billing_mcp.operations.platform_holds import DEFAULT_LIFE
from billing_mcp.store.posting.program import Program, carry_out
from billing_mcp.store.posting.running import check_written
from billing_mcp.store.posting.sql import POSTGRESQL, SQLITE, Read, Write
from billing_mcp.store.store import Store
from tests.faults.ground import EUR, account, assert_sound, holds_on, open_accounts, topup


class Hands:
    """A connection that carries a program out, and does something else after what it has read."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def run(self, program: Program, meanwhile: str) -> None:
        """Carry it out; `meanwhile` comes before the first write. All is rolled back."""
        await self._do("BEGIN")
        try:
            step = next(program)
            while isinstance(step, Read):
                step = program.send(await self._read(step))
            await self._do(meanwhile)
            while True:
                assert isinstance(step, Write)
                check_written(step, await self._write(step))
                step = next(program)
        except StopIteration:
            pass
        finally:
            await self._do("ROLLBACK")

    async def _do(self, sql: str) -> None:
        done = self._connection.execute(sql)
        if not isinstance(self._connection, sqlite3.Connection):
            await done

    async def _read(self, step: Any) -> Any:
        if isinstance(self._connection, sqlite3.Connection):
            return self._connection.execute(step.sql, step.values).fetchall()
        return await self._connection.fetch(step.sql, *step.values)

    async def _write(self, step: Any) -> int:
        if isinstance(self._connection, sqlite3.Connection):
            return self._connection.executemany(step.sql, step.values).rowcount
        return int((await self._connection.execute(step.sql, *step.values)).rpartition(" ")[2])


@pytest.fixture
async def hands(database: str, store: Store) -> AsyncIterator[Hands]:
    """Hands on the database of `store`."""
    assert store.url.database
    if "://" in database:
        connection = await asyncpg.connect(database)
        yield Hands(connection)
        await connection.close()
    else:
        file = sqlite3.connect(database, isolation_level=None)
        yield Hands(file)
        file.close()


async def test_a_wallet_that_changed_under_a_posting_is_noticed(store: Store, database: str, hands: Hands) -> None:
    await open_accounts(store, 1)
    now = system_clock()
    words = POSTGRESQL if "://" in database else SQLITE
    actions: list[HoldAction | Posting] = [PlaceHold(EUR, "", now + DEFAULT_LIFE), topup(account(0), "guarded")]
    for action in actions:

        def program(action: HoldAction | Posting = action) -> Program:
            return carry_out([Instruction(account(0), action, now)], words)

        await hands.run(program(), "SELECT 1")
        with pytest.raises(Internal, match="wallets changed under a posting"):
            await hands.run(program(), "UPDATE wallets SET last_seq = last_seq + 1")
    await assert_sound(store, database)


async def test_a_hold_that_changed_under_a_posting_is_noticed(store: Store, database: str, hands: Hands) -> None:
    await open_accounts(store, 1)
    hold = (await holds_on(store).place(account(0), EUR)).hold
    assert hold is not None
    words = POSTGRESQL if "://" in database else SQLITE

    def program() -> Program:
        return carry_out([Instruction(account(0), CaptureHold(hold.hold_id), system_clock())], words)

    await hands.run(program(), "SELECT 1")
    with pytest.raises(Internal, match="holds changed under a posting"):
        await hands.run(program(), "UPDATE holds SET status = 'released'")
    await assert_sound(store, database)
