"""Owns transactions: a read snapshot, or a write that commits whole or leaves no trace."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any, cast

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.errors import BillingError
from billing_mcp.domain.instructions import Instruction, Receipt
from billing_mcp.store.accounts import Accounts
from billing_mcp.store.among import Only
from billing_mcp.store.changes import ChangeLog
from billing_mcp.store.credits import Credits
from billing_mcp.store.cycles import Cycles
from billing_mcp.store.due import DueDates
from billing_mcp.store.engine import (
    DatabaseFile,
    busy,
    check_place,
    commit,
    connected,
    create_postgresql_reader,
    create_sqlite_batch_writer,
    create_sqlite_reader,
    create_writer,
    parse_database_url,
)
from billing_mcp.store.executions import Executions
from billing_mcp.store.holds import Holds
from billing_mcp.store.invoices import Invoices
from billing_mcp.store.keys import Keys
from billing_mcp.store.ledger import Ledger
from billing_mcp.store.messages import Messages
from billing_mcp.store.migrate import ensure_sqlite_schema, require_schema, revision
from billing_mcp.store.observer import NOBODY, Observer
from billing_mcp.store.outbox import Outbox
from billing_mcp.store.payments import Payments
from billing_mcp.store.platform_requests import PlatformRequests
from billing_mcp.store.posting.batches import PostgreSQLBatches, SQLiteBatches
from billing_mcp.store.posting.group import CAPACITY, Batches, GroupCommit
from billing_mcp.store.provider_books import ProviderBooks
from billing_mcp.store.reading.fetch import Snapshot
from billing_mcp.store.reading.postgresql import PostgreSQLSnapshots
from billing_mcp.store.reading.sqlite import SQLiteSnapshots
from billing_mcp.store.secrets import Secrets
from billing_mcp.store.standings import Standings
from billing_mcp.store.states import States
from billing_mcp.store.subscriptions import Subscriptions
from billing_mcp.store.test_clock import StoredClock
from billing_mcp.store.watches import Watches
from billing_mcp.store.webhooks import Webhooks

TURN_WAIT_S = 15
_READERS = 4
_POSTGRESQL_READERS = 8


class Transaction:
    """What can be read and written in one database transaction, at one frozen moment.

    What looks for work that is due finds that of the accounts in `only` alone, unless that is None.
    """

    def __init__(
        self, connection: AsyncConnection | Snapshot, now: datetime, *, writable: bool, only: Only = None
    ) -> None:
        # Who only reads asks no more of a connection than a snapshot offers.
        self._connection = connection = cast("AsyncConnection", connection)
        self.now = now
        self.writable = writable
        self.rollback_only = False
        self.changes = ChangeLog()
        self.accounts = Accounts(connection, self.changes, now, only)
        self.ledger = Ledger(connection, self.changes, now, writable=writable)
        self.holds = Holds(connection, only)
        self.subscriptions = Subscriptions(connection, self.changes, now)
        self.invoices = Invoices(connection, self.changes)
        self.cycles = Cycles(connection, only)
        self.credits = Credits(connection)
        self.messages = Messages(connection, self.changes)
        self.secrets = Secrets(connection)
        self.payments = Payments(connection, self.changes, only)
        self.watches = Watches(connection, self.changes, only)
        self.keys = Keys(connection)
        self.executions = Executions(connection)
        self.outbox = Outbox(connection, self.changes, now, only)
        self.platform_requests = PlatformRequests(connection, now)
        self.provider_books = ProviderBooks(connection, only)
        self.webhooks = Webhooks(connection, now, only)
        self.due = DueDates(connection, now, only)
        self.standings = Standings(connection, only)
        self.test_clock = StoredClock(connection)
        self.states = States(connection, remember=not writable)

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


class _Reading:
    """A block that reads one snapshot: written out, since reads are many and a generator for each is slow."""

    def __init__(self, snapshot: Snapshot, now: datetime, only: Only) -> None:
        self._snapshot = snapshot
        self._now = now
        self._only = only

    async def __aenter__(self) -> Transaction:
        return Transaction(self._snapshot, self._now, writable=False, only=self._only)

    async def __aexit__(self, *ended: Any) -> None:
        await self._snapshot.__aexit__(*ended)


class Store:
    """A database that is open: the door to every transaction."""

    def __init__(self, url: URL, *, capacity: int, observer: Observer) -> None:
        self.url = url
        self.capacity = capacity
        self.only: Only = None
        self._writer = create_writer(url)
        self._file = DatabaseFile(url)
        sqlite = url.get_backend_name() == "sqlite"
        self._snapshots: SQLiteSnapshots | PostgreSQLSnapshots
        if sqlite:
            self._snapshots = SQLiteSnapshots(create_sqlite_reader(url, size=_READERS), size=_READERS)
        else:
            self._snapshots = PostgreSQLSnapshots(create_postgresql_reader(url), size=_POSTGRESQL_READERS)
        # SQLite has one writer: waiting here is fair, waiting in the database is a lottery.
        self._line = asyncio.Lock() if sqlite else None
        batches: Batches
        if sqlite:
            batches = SQLiteBatches(create_sqlite_batch_writer(url), self._turn, self._file.check)
        else:
            batches = PostgreSQLBatches(url, self._writer)
        self._postings = GroupCommit(batches, capacity=capacity, observer=observer)

    @classmethod
    async def open(cls, database: str, *, capacity: int = CAPACITY, observer: Observer = NOBODY) -> Store:
        """Open a database. A SQLite file is created and brought up to date by itself.

        `capacity` is how many instructions may wait to be carried out; `observer` hears of them.
        Raises InvalidArgument for a wrong URL, and Unavailable when the database cannot be
        reached or has another schema than this version of the program.
        """
        url = parse_database_url(database)
        check_place(url)
        store = cls(url, capacity=capacity, observer=observer)
        try:
            if isinstance(store._snapshots, SQLiteSnapshots):
                await ensure_sqlite_schema(store._snapshots, store._writer)
            else:
                await require_schema(store._writer)
            store._file.remember()
        except BaseException:
            await store.close()
            raise
        return store

    def of_accounts(self, account_ids: Iterable[str]) -> Store:
        """The same store for whoever does what falls due: of these accounts alone it finds any work.

        It is open for as long as this one, which is the one to close.
        """
        limited = copy.copy(self)
        limited.only = frozenset(account_ids)
        return limited

    def read(
        self, now: datetime, *, single: bool = False, unhurried: bool = False
    ) -> AbstractAsyncContextManager[Transaction]:
        """Everything read in the block is of one moment of the database. A `single` statement is so by itself.

        An `unhurried` reader may pause for as long as it likes, such as while nobody takes what it writes.
        """
        return _Reading(self._snapshots.open(single=single, unhurried=unhurried), now, self.only)

    @asynccontextmanager
    async def write(self, now: datetime) -> AsyncIterator[Transaction]:
        """Commit at the end of the block; roll back on an error, or if `rollback_only` is set.

        Raises Conflict with code `database_busy` when its turn does not come.
        """
        async with self._turn(), self._write(now) as transaction:
            yield transaction

    async def submit(self, instruction: Instruction) -> Receipt:
        """Carry out an instruction, in one commit with others that wait; returns once that is durable.

        Raises what the instruction raises, and Unavailable: `queue_full`, `outcome_unknown`.
        """
        return await self._postings.submit(instruction)

    async def submit_many(self, instructions: Sequence[Instruction]) -> list[Receipt | BillingError]:
        """Carry out each instruction for itself, in as few commits as can be; the outcomes, in order.

        Each is what `submit` returns or raises. Raises Unavailable when the server is shutting down.
        """
        return await self._postings.submit_many(instructions)

    @property
    def waiting(self) -> int:
        """How many instructions wait, or are being carried out; at most `capacity`."""
        return self._postings.waiting

    async def revision(self) -> str | None:
        """The revision of the schema that the database has now: a trivial read. Raises Unavailable."""
        self._file.check()
        async with self._snapshots.open() as snapshot:
            return await snapshot.with_connection(revision)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """A place in the line of those in this process that write. Raises Conflict when it does not come."""
        if self._line is None:
            yield
            return
        try:
            async with asyncio.timeout(TURN_WAIT_S):
                await self._line.acquire()
        except TimeoutError:
            raise busy() from None
        try:
            yield
        finally:
            self._line.release()

    async def close(self) -> None:
        """Let what waits end, and give all connections back."""
        await self._postings.close()
        await self._writer.dispose()
        await self._snapshots.close()

    @asynccontextmanager
    async def _write(self, now: datetime) -> AsyncIterator[Transaction]:
        self._file.check()
        async with connected(self._writer) as connection:
            await connection.begin()
            transaction = Transaction(connection, now, writable=True, only=self.only)
            try:
                yield transaction
            except BaseException:
                await connection.rollback()
                raise
            if transaction.rollback_only:
                await connection.rollback()
            else:
                await commit(connection)
