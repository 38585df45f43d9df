"""Owns transactions: a read snapshot, or a write that commits whole or leaves no trace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from billing_mcp.store.accounts import Accounts
from billing_mcp.store.changes import ChangeLog
from billing_mcp.store.engine import busy, check_place, connected, create_reader, create_writer, parse_database_url
from billing_mcp.store.executions import Executions
from billing_mcp.store.invoices import Invoices
from billing_mcp.store.keys import Keys
from billing_mcp.store.ledger import Ledger
from billing_mcp.store.migrate import ensure_schema
from billing_mcp.store.outbox import Outbox
from billing_mcp.store.subscriptions import Subscriptions

TURN_WAIT_S = 15


class Transaction:
    """What can be read and written in one database transaction, at one frozen moment."""

    def __init__(self, connection: AsyncConnection, now: datetime, *, writable: bool) -> None:
        self._connection = connection
        self.now = now
        self.writable = writable
        self.rollback_only = False
        self.changes = ChangeLog()
        self.accounts = Accounts(connection, self.changes)
        self.ledger = Ledger(connection, self.changes, now)
        self.subscriptions = Subscriptions(connection, self.changes, now)
        self.invoices = Invoices(connection, self.changes)
        self.keys = Keys(connection)
        self.executions = Executions(connection)
        self.outbox = Outbox(connection, now)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """All of the block is kept, or none of it; then the error goes on."""
        mark = self.changes.mark()
        try:
            async with self._connection.begin_nested():
                yield
        except BaseException:
            self.changes.rewind(mark)
            raise


class Store:
    """A database that is open: the door to every transaction."""

    def __init__(self, url: URL, writer: AsyncEngine, reader: AsyncEngine) -> None:
        self.url = url
        self._writer = writer
        self._reader = reader
        # SQLite has one writer: waiting here is fair, waiting in the database is a lottery.
        self._turn = asyncio.Lock() if url.get_backend_name() == "sqlite" else None

    @classmethod
    async def open(cls, database: str) -> Store:
        """Open a database. A SQLite file is created and brought up to date by itself.

        Raises InvalidArgument for a wrong URL, and Unavailable when the database cannot be
        reached or has another schema than this version of the program.
        """
        url = parse_database_url(database)
        check_place(url)
        writer = create_writer(url)
        store = cls(url, writer, create_reader(url, writer))
        try:
            await ensure_schema(store._reader, writer)
        except BaseException:
            await store.close()
            raise
        return store

    @asynccontextmanager
    async def read(self, now: datetime) -> AsyncIterator[Transaction]:
        """Everything read in the block is of one moment of the database."""
        async with connected(self._reader) as connection:
            try:
                yield Transaction(connection, now, writable=False)
            finally:
                await connection.rollback()

    @asynccontextmanager
    async def write(self, now: datetime) -> AsyncIterator[Transaction]:
        """Commit at the end of the block; roll back on an error, or if `rollback_only` is set.

        Raises Conflict with code `database_busy` when its turn does not come.
        """
        if self._turn is None:
            async with self._write(now) as transaction:
                yield transaction
            return
        try:
            async with asyncio.timeout(TURN_WAIT_S):
                await self._turn.acquire()
        except TimeoutError:
            raise busy() from None
        try:
            async with self._write(now) as transaction:
                yield transaction
        finally:
            self._turn.release()

    async def close(self) -> None:
        """Give all connections back."""
        await self._writer.dispose()
        await self._reader.dispose()

    @asynccontextmanager
    async def _write(self, now: datetime) -> AsyncIterator[Transaction]:
        async with connected(self._writer) as connection:
            await connection.begin()
            transaction = Transaction(connection, now, writable=True)
            try:
                yield transaction
            except BaseException:
                await connection.rollback()
                raise
            if transaction.rollback_only:
                await connection.rollback()
            else:
                await connection.commit()
