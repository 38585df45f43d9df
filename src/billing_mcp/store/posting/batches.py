"""Owns committing batches: on SQLite from a thread in one go, on PostgreSQL by a connection of their own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import cast

import asyncpg
from sqlalchemy import URL, Engine, PoolProxiedConnection
from sqlalchemy.ext.asyncio import AsyncEngine

from billing_mcp.domain.instructions import Instruction
from billing_mcp.store.engine import GONE, commit, connect_asyncpg, connected, is_lost, of_the_driver, outcome_unknown
from billing_mcp.store.posting.program import Outcome, carry_out
from billing_mcp.store.posting.running import run_on_asyncpg, run_on_connection, run_on_sqlite
from billing_mcp.store.posting.sql import POSTGRESQL, SQLITE


class SQLiteBatches:
    """Batches on SQLite. `turn` is the place in the line of all that write in this process."""

    def __init__(
        self, writer: Engine, turn: Callable[[], AbstractAsyncContextManager[None]], check: Callable[[], None]
    ) -> None:
        self._engine = writer
        self._turn = turn
        self._check = check
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="billing-post")
        self._connection: PoolProxiedConnection | None = None

    async def commit(self, instructions: Sequence[Instruction]) -> list[Outcome]:
        """Carry them out in one transaction."""
        async with self._turn():
            self._check()
            with of_the_driver():
                return await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, instructions)

    async def commit_patiently(self, instructions: Sequence[Instruction]) -> list[Outcome]:
        """The same: nothing is ever locked on SQLite, whose writer is alone."""
        return await self.commit(instructions)

    async def close(self) -> None:
        """Give the connection back."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()

    def _commit(self, instructions: Sequence[Instruction]) -> list[Outcome]:
        if self._connection is None:
            self._connection = self._engine.raw_connection()
        driver = cast("sqlite3.Connection", self._connection.driver_connection)
        try:
            driver.execute("BEGIN IMMEDIATE")
            outcomes = run_on_sqlite(driver, carry_out(instructions, SQLITE))
            driver.execute("COMMIT")
        finally:
            if driver.in_transaction:
                driver.execute("ROLLBACK")
        return outcomes


class PostgreSQLBatches:
    """Batches on PostgreSQL, one after the other on a connection of their own. `others` has more of them."""

    def __init__(self, url: URL, others: AsyncEngine) -> None:
        self._url = url
        self._others = others
        self._driver: asyncpg.Connection | None = None
        self._begun = 0

    async def commit(self, instructions: Sequence[Instruction]) -> list[Outcome]:
        """Carry out in one transaction what others have not locked."""
        with of_the_driver():
            driver = await self._begin()
            ended = False
            try:
                outcomes = await run_on_asyncpg(driver, carry_out(instructions, POSTGRESQL, wait=False))
                await self._commit(driver)
                ended = True
            finally:
                if not ended:
                    self._drop()
        return outcomes

    async def commit_patiently(self, instructions: Sequence[Instruction]) -> list[Outcome]:
        """Carry them out in one transaction, in line behind whoever has the account locked."""
        async with connected(self._others) as connection:
            await connection.begin()
            outcomes = await run_on_connection(connection, carry_out(instructions, POSTGRESQL))
            await commit(connection)
        return outcomes

    async def close(self) -> None:
        """Give the connection back."""
        if self._driver is not None:
            self._driver.terminate()

    async def _begin(self) -> asyncpg.Connection:
        """A connection in a new transaction; one that the server has closed meanwhile is replaced."""
        self._begun += 1
        # What was planned for an empty table looks through all of it: plan anew at the 1st, 2nd, 4th, 8th, ... batch.
        begin = _BEGIN if self._begun & (self._begun - 1) else f"DISCARD PLANS; {_BEGIN}"
        if self._driver is not None:
            try:
                await self._driver.execute(begin)
            except (*GONE, asyncpg.PostgresError):
                self._drop()
            else:
                return self._driver
        self._driver = await connect_asyncpg(self._url)
        await self._driver.execute(_BEGIN)
        return self._driver

    async def _commit(self, driver: asyncpg.Connection) -> None:
        try:
            await driver.execute("COMMIT")
        except Exception as error:
            if is_lost(error):
                raise outcome_unknown() from error
            raise

    def _drop(self) -> None:
        """Leave a connection in an unknown state to the server, which rolls back."""
        if self._driver is not None:
            self._driver.terminate()
            self._driver = None


_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
