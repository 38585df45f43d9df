"""Owns reading SQLite: statements run in a thread, as many as are asked for at a time in one hop.

The asynchronous driver crosses to its thread and back four times for each statement, which costs
far more than the statement itself. Writers keep to it: what they wait for is the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Executable, Result
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.store.engine import POOL_WAIT_S, busy, translated, uninterrupted

T = TypeVar("T")


class Snapshots:
    """Reads of one SQLite file, as many at a time as its engine has connections."""

    def __init__(self, engine: Engine, *, size: int) -> None:
        self.engine = engine
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="billing-read")
        self._free = asyncio.Semaphore(size)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Snapshot]:
        """A snapshot for the block."""
        snapshot = Snapshot(self)
        with translated():
            try:
                yield snapshot
            finally:
                await uninterrupted(snapshot.close())

    async def acquire(self) -> None:
        """Wait for a connection. Raises Conflict when none becomes free."""
        try:
            await asyncio.wait_for(self._free.acquire(), POOL_WAIT_S)
        except TimeoutError:
            raise busy() from None

    def release(self) -> None:
        """Let the next one have it."""
        self._free.release()

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, from a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def close(self) -> None:
        """Give all connections back."""
        await self.run(self.engine.dispose)
        self._threads.shutdown()


class Snapshot:
    """One moment of the database: that of the first statement. Without one nothing is opened."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._connection: Connection | None = None

    async def execute(self, statement: Executable, parameters: dict[str, Any] | None = None) -> Result[Any]:
        """The rows of a statement, all of them fetched."""
        (result,) = await self.fetch((statement,), parameters or {})
        return result

    async def fetch(self, statements: tuple[Executable, ...], parameters: dict[str, Any]) -> list[Result[Any]]:
        """The rows of several statements with the same parameters."""
        if self._connection is None:
            await self._snapshots.acquire()
            try:
                self._connection = await self._snapshots.run(self._snapshots.engine.connect)
            except BaseException:
                self._snapshots.release()
                raise
        connection = self._connection
        return await self._snapshots.run(
            lambda: [connection.execute(each, parameters).freeze()() for each in statements]
        )

    async def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            try:
                await self._snapshots.run(self._connection.close)
            finally:
                self._snapshots.release()


async def fetch(
    connection: AsyncConnection | Snapshot, *statements: Executable, **parameters: Any
) -> list[Result[Any]]:
    """The rows of several statements with the same parameters, in as few round trips as the database allows."""
    if isinstance(connection, Snapshot):
        return await connection.fetch(statements, parameters)
    return [await connection.execute(each, parameters) for each in statements]
