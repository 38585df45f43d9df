"""Owns reading PostgreSQL: the rows of every call by the plain driver, all else by the toolkit, in one transaction.

To lend a connection, to see whether it lives, to begin and to pass a statement on, the toolkit takes several
times as long as the database. So connections are kept, and a transaction is begun in the driver's own words.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

import asyncpg
from sqlalchemy import Connection, Executable, Result, Select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from billing_mcp.store.engine import GONE, dressed, is_lost, translated
from billing_mcp.store.reading.announced import Announced
from billing_mcp.store.reading.query import Queries, Query, Rows
from billing_mcp.store.reading.turns import Turns

T = TypeVar("T")

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_END = "ROLLBACK"
_UNHURRIED = "SET LOCAL idle_in_transaction_session_timeout = 0"
_UNUSABLE = (*GONE, TimeoutError, asyncpg.PostgresError, DBAPIError)


class PostgreSQLSnapshots:
    """Reads of one database, as many at a time as there may be connections. The engine must begin nothing itself."""

    def __init__(self, engine: AsyncEngine, *, size: int) -> None:
        self.queries = Queries(engine.dialect)
        self._engine = engine
        self._idle: deque[_Reader] = deque()
        self._turns = Turns(size)

    def open(self, *, single: bool = False, unhurried: bool = False) -> PostgreSQLSnapshot:
        """A snapshot, for the block that it is opened for; a `single` statement is one without a transaction.

        The server ends no `unhurried` one for pausing between statements.
        """
        return PostgreSQLSnapshot(self, single=single, unhurried=unhurried)

    async def lend(self, *, single: bool) -> _Reader:
        """A connection in a new transaction; for a `single` statement perhaps in none, and perhaps a dead one.

        Raises Conflict when none becomes free, and DBAPIError.
        """
        await self._turns.take()
        try:
            return self._idle.pop() if single and self._idle else await self._begun()
        except BaseException:
            self._turns.give_back()
            raise

    async def end(self, reader: _Reader) -> None:
        """End its transaction, and keep the connection for the next one if it can be used again."""
        try:
            await reader.end()
            self._idle.append(reader)
        except _UNUSABLE:
            reader.drop()
        except BaseException:
            reader.drop()
            raise
        finally:
            self._turns.give_back()

    async def close(self) -> None:
        """Give all connections back."""
        while self._idle:
            await self._idle.pop().connection.close()
        await self._engine.dispose()

    async def _begun(self) -> _Reader:
        if self._idle:
            reader = self._idle.pop()
            with suppress(*_UNUSABLE):
                await reader.begin()
                return reader
            while self._idle:  # what has become of one has become of all, such as a server that started anew
                self._idle.pop().drop()
        with dressed():
            reader = await _Reader.connected(self._engine)
            await reader.begin()
        return reader


class _Reader:
    """A connection, as the toolkit has it and as the driver has it."""

    def __init__(self, connection: AsyncConnection, driver: asyncpg.Connection) -> None:
        self.connection = connection
        self.driver = driver
        self.begun = False

    @classmethod
    async def connected(cls, engine: AsyncEngine) -> _Reader:
        """A new connection."""
        connection = await engine.connect().start()
        pooled = await connection.get_raw_connection()
        return cls(connection, cast("asyncpg.Connection", pooled.driver_connection))

    async def begin(self) -> None:
        """Begin a transaction, or leave the connection."""
        try:
            await self.driver.execute(_BEGIN)
            self.begun = True
        except BaseException:
            self.drop()
            raise

    async def end(self) -> None:
        """Make the connection as it was before its transaction. Raises what says that it cannot be used again."""
        if self.begun:
            await self.driver.execute(_END)
            self.begun = False

    def drop(self) -> None:
        """Leave the connection to the server."""
        connection = self.connection.sync_connection
        if connection is not None and not connection.closed:
            connection.invalidate()
            connection.close()


class PostgreSQLSnapshot(Announced):
    """One moment of the database: that of the first statement. Without one no connection is used."""

    def __init__(self, snapshots: PostgreSQLSnapshots, *, single: bool, unhurried: bool) -> None:
        super().__init__(single=single)
        self._snapshots = snapshots
        self._single = single
        self._unhurried = unhurried
        self._reader: _Reader | None = None

    async def __aenter__(self) -> PostgreSQLSnapshot:
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        await self._end()
        if isinstance(error, DBAPIError | TimeoutError):
            with translated():
                raise error

    async def execute(self, statement: Executable, parameters: dict[str, Any] | None = None) -> Result[Any]:
        """The rows of a statement, all of them fetched."""
        self.spend()
        return await (await self._lent()).connection.execute(statement, parameters or {})

    async def fetch(self, statements: tuple[Select[Any], ...], parameters: dict[str, Any]) -> list[Rows]:
        """The rows of several statements with the same parameters."""
        self.spend(len(statements))
        queries = [self._snapshots.queries.of(each) for each in statements]
        try:
            return await self._rows(queries, parameters)
        except DBAPIError as error:
            if not self._single or not is_lost(error):
                raise
        await self._end()  # nobody had looked whether that connection lives
        self._single = False
        return await self._rows(queries, parameters)

    fetch_many = fetch

    async def with_connection(self, work: Callable[[Connection], T]) -> T:
        """What `work` finds with the connection."""
        self.spend()
        return await (await self._lent()).connection.run_sync(work)

    async def _rows(self, queries: list[Query], parameters: dict[str, Any]) -> list[Rows]:
        driver = (await self._lent()).driver
        with dressed():
            return [each.rows_of(await driver.fetch(each.sql, *each.values(parameters))) for each in queries]

    async def _lent(self) -> _Reader:
        if self._reader is None:
            self._reader = await self._snapshots.lend(single=self._single)
            if self._unhurried:
                with dressed():
                    await self._reader.driver.execute(_UNHURRIED)
        return self._reader

    async def _end(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await self._snapshots.end(reader)
