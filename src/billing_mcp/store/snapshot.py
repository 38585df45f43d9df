"""Owns reading SQLite: statements run in a thread, as many as are asked for at a time in one hop.

The asynchronous driver crosses to its thread and back four times for each statement, which costs
far more than the statement itself. Writers keep to it: what they wait for is the disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import namedtuple
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, Executable, Result, Select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.store.engine import POOL_WAIT_S, busy, translated

T = TypeVar("T")

Rows = Sequence[Any]
"""Rows whose columns are attributes."""


class Snapshots:
    """Reads of one SQLite file, as many at a time as its engine has connections."""

    def __init__(self, engine: Engine, *, size: int) -> None:
        self.engine = engine
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="billing-read")
        self._free = asyncio.Semaphore(size)
        self._closing: set[asyncio.Future[None]] = set()
        self._queries: dict[Select[Any], _Query] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Snapshot]:
        """A snapshot for the block."""
        snapshot = Snapshot(self)
        with translated():
            try:
                yield snapshot
            finally:
                snapshot.close()

    async def acquire(self) -> None:
        """Wait for a connection. Raises Conflict when none becomes free."""
        try:
            await asyncio.wait_for(self._free.acquire(), POOL_WAIT_S)
        except TimeoutError:
            raise busy() from None

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, from a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def query(self, statement: Select[Any]) -> _Query:
        """The statement, made ready once. It must be a constant of its module: it is kept."""
        if statement not in self._queries:
            self._queries[statement] = _Query(statement, self.engine)
        return self._queries[statement]

    def give_back(self, close: Callable[[], None]) -> None:
        """Close a connection while nobody waits for it; then the next one may have it."""
        closing = asyncio.get_running_loop().run_in_executor(self._threads, close)
        self._closing.add(closing)
        closing.add_done_callback(self._given_back)

    def _given_back(self, closing: asyncio.Future[None]) -> None:
        self._closing.discard(closing)
        closing.exception()  # a snapshot that cannot be rolled back has changed nothing either
        self._free.release()

    async def close(self) -> None:
        """Give all connections back."""
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self.run(self.engine.dispose)
        self._threads.shutdown()


class _Query:
    """A statement in the driver's own words: the toolkit takes twenty times as long to pass it on."""

    def __init__(self, statement: Select[Any], engine: Engine) -> None:
        compiled = statement.compile(dialect=engine.dialect)
        self._sql = compiled.string
        self._names: list[str] = compiled.positiontup or []
        columns = statement.selected_columns
        self._row = namedtuple("Row", [column.key for column in columns])  # type: ignore[misc]
        readers = [c.type.dialect_impl(engine.dialect).result_processor(engine.dialect, None) for c in columns]
        self._readers = [(number, read) for number, read in enumerate(readers) if read is not None]

    def rows(self, driver: sqlite3.Connection, parameters: dict[str, Any]) -> Rows:
        """What it finds."""
        found = driver.execute(self._sql, [parameters[name] for name in self._names])
        return [self._row(*self._read(row)) for row in found]

    def _read(self, row: tuple[Any, ...]) -> Sequence[Any]:
        if not self._readers:
            return row
        values = list(row)
        for number, read in self._readers:
            values[number] = read(values[number])
        return values


class Snapshot:
    """One moment of the database: that of the first statement. Without one nothing is opened."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._connection: Connection | None = None
        self._used = self._closed = False
        self._alone = threading.Lock()  # who was cancelled may have left a statement running

    async def execute(self, statement: Executable, parameters: dict[str, Any] | None = None) -> Result[Any]:
        """The rows of a statement, all of them fetched."""
        return await self.run(lambda connection: connection.execute(statement, parameters or {}).freeze()())

    async def fetch(self, statements: tuple[Select[Any], ...], parameters: dict[str, Any]) -> list[Rows]:
        """The rows of several statements with the same parameters."""
        queries = [self._snapshots.query(each) for each in statements]

        def run(connection: Connection) -> list[Rows]:
            driver = cast("sqlite3.Connection", connection.connection.driver_connection)
            try:
                if not driver.in_transaction:
                    driver.execute("BEGIN")
                return [query.rows(driver, parameters) for query in queries]
            except sqlite3.Error as error:
                raise DBAPIError(None, None, error) from error

        return await self.run(run)

    async def run(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, from a thread."""
        if not self._used:
            await self._snapshots.acquire()
            self._used = True

        def run() -> T:
            with self._alone:
                if self._closed:
                    raise RuntimeError("the snapshot is closed")
                if self._connection is None:
                    self._connection = self._snapshots.engine.connect()
                return work(self._connection)

        return await self._snapshots.run(run)

    def close(self) -> None:
        """Give the connection back."""
        if self._used:
            self._snapshots.give_back(self._close)

    def _close(self) -> None:
        with self._alone:
            self._closed = True
            if self._connection is not None:
                self._connection.close()


async def fetch(connection: AsyncConnection | Snapshot, *statements: Select[Any], **parameters: Any) -> list[Rows]:
    """The rows of several statements with the same parameters, in as few round trips as the database allows."""
    if isinstance(connection, Snapshot):
        return await connection.fetch(statements, parameters)
    return [(await connection.execute(each, parameters)).all() for each in statements]
