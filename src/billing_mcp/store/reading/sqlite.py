"""Owns reading SQLite: a few rows by their key at once, all else in a thread.

The asynchronous driver crosses to its thread and back four times for each statement, which costs
far more than the statement itself. Writers keep to it: what they wait for is the disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, Executable, Result, Select
from sqlalchemy.exc import DBAPIError

from billing_mcp.store.engine import LOCK_WAIT_S, translated
from billing_mcp.store.reading.announced import Announced
from billing_mcp.store.reading.query import Queries, Rows
from billing_mcp.store.reading.turns import Turns

T = TypeVar("T")


class SQLiteSnapshots:
    """Reads of one SQLite file, as many at a time as its engine has connections."""

    def __init__(self, engine: Engine, *, size: int) -> None:
        self.engine = engine
        self._idle: deque[_Reader] = deque()
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="billing-read")
        self.turns = Turns(size)
        self._closing: set[asyncio.Future[None]] = set()
        self.queries = Queries(engine.dialect)

    def open(self, *, single: bool = False, unhurried: bool = False) -> SQLiteSnapshot:  # noqa: ARG002 - all are
        """A snapshot, for the block that it is opened for, of a `single` statement or of any number."""
        return SQLiteSnapshot(self, single=single)

    @property
    def has_idle(self) -> bool:
        """Whether a connection is open that nobody uses."""
        return bool(self._idle)

    def connect(self) -> _Reader:
        """A connection that nobody uses. They are kept: the toolkit takes longer to lend one than to read with it."""
        try:
            return self._idle.pop()
        except IndexError:
            return _Reader(self.engine.connect())

    def keep(self, reader: _Reader) -> None:
        """Take a connection back for the next one, its transaction ended."""
        if reader.end():
            self._idle.append(reader)

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, from a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def give_back(self, close: Callable[[], None]) -> None:
        """Close a connection while nobody waits for it; then the next one may have it."""
        closing = asyncio.get_running_loop().run_in_executor(self._threads, close)
        self._closing.add(closing)
        closing.add_done_callback(self._given_back)

    def _given_back(self, closing: asyncio.Future[None]) -> None:
        self._closing.discard(closing)
        closing.exception()  # a snapshot that cannot be rolled back has changed nothing either
        self.turns.give_back()

    async def close(self) -> None:
        """Give all connections back."""
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self.run(self._close_all)
        self._threads.shutdown()

    def _close_all(self) -> None:
        while self._idle:
            self._idle.pop().connection.close()
        self.engine.dispose()


class _Reader:
    """A connection, and whether it waits for whoever has the file locked."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.driver = cast("sqlite3.Connection", connection.connection.driver_connection)
        self._patient = True

    def wait(self, *, patient: bool) -> None:
        """From now on it waits for locks, or does not."""
        if patient != self._patient:
            self.driver.execute(f"PRAGMA busy_timeout={LOCK_WAIT_S * 1000 if patient else 0}")
            self._patient = patient

    def end(self) -> bool:
        """End its transaction. Whether it can be used again; else it is closed."""
        try:
            self.connection.rollback()
            self.driver.rollback()
        except (DBAPIError, sqlite3.Error):
            self.connection.close()
            return False
        return True


class SQLiteSnapshot(Announced):
    """One moment of the database: that of the first statement. Without one nothing is opened."""

    def __init__(self, snapshots: SQLiteSnapshots, *, single: bool) -> None:
        super().__init__(single=single)
        self._snapshots = snapshots
        self._reader: _Reader | None = None
        self._used = self._closed = False
        self._alone = threading.Lock()  # who was cancelled may have left a statement running

    async def __aenter__(self) -> SQLiteSnapshot:
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self.close()
        if isinstance(error, DBAPIError | TimeoutError):
            with translated():
                raise error

    async def execute(self, statement: Executable, parameters: dict[str, Any] | None = None) -> Result[Any]:
        """The rows of a statement, all of them fetched."""
        return await self.with_connection(lambda connection: connection.execute(statement, parameters or {}).freeze()())

    async def fetch(self, statements: tuple[Select[Any], ...], parameters: dict[str, Any]) -> list[Rows]:
        """The rows of several statements that each find a few rows by a key, with the same parameters.

        Where a connection is open and nothing is locked that takes less time than to ask a thread
        for it. What would wait is asked of a thread.
        """
        self.spend(len(statements))
        read = self._reading(statements, parameters)
        await self._take()
        if self._reader is not None or self._snapshots.has_idle:
            with suppress(DBAPIError):
                return self._run(read, patient=False)
        return await self._in_thread(read)

    async def fetch_many(self, statements: tuple[Select[Any], ...], parameters: dict[str, Any]) -> list[Rows]:
        """The rows of several statements that find many, with the same parameters; from a thread."""
        self.spend(len(statements))
        return await self._in_thread(self._reading(statements, parameters))

    def _reading(
        self, statements: tuple[Select[Any], ...], parameters: dict[str, Any]
    ) -> Callable[[_Reader], list[Rows]]:
        queries = [self._snapshots.queries.of(each) for each in statements]

        def read(reader: _Reader) -> list[Rows]:
            driver = reader.driver
            try:
                if not driver.in_transaction:
                    driver.execute("BEGIN")
                return [each.rows_of(driver.execute(each.sql, each.values(parameters))) for each in queries]
            except sqlite3.Error as error:
                raise DBAPIError(None, None, error) from error

        return read

    async def with_connection(self, work: Callable[[Connection], T]) -> T:
        """What `work` finds with the connection, from a thread."""
        self.spend()
        return await self._in_thread(lambda reader: work(reader.connection))

    async def _in_thread(self, work: Callable[[_Reader], T]) -> T:
        await self._take()
        return await self._snapshots.run(lambda: self._run(work))

    async def _take(self) -> None:
        if not self._used:
            await self._snapshots.turns.take()
            self._used = True

    def _run(self, work: Callable[[_Reader], T], *, patient: bool = True) -> T:
        with self._alone:
            if self._closed:
                raise RuntimeError("the snapshot is closed")
            if self._reader is None:
                self._reader = self._snapshots.connect()
            self._reader.wait(patient=patient)
            return work(self._reader)

    def close(self) -> None:
        """Give the connection back."""
        if not self._used:
            return
        if self._alone.acquire(blocking=False):  # what was only read is rolled back in no time
            self._alone.release()
            self._close()
            self._snapshots.turns.give_back()
        else:
            self._snapshots.give_back(self._close)

    def _close(self) -> None:
        with self._alone:
            self._closed = True
            if self._reader is not None:
                self._snapshots.keep(self._reader)
