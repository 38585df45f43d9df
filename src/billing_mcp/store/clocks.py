"""Owns what time it is in a database: the system's time, or its own where it is one for demos and tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog

from billing_mcp.domain.clock import Clock, system_clock
from billing_mcp.domain.errors import BillingError
from billing_mcp.store.engine import TransactionAbortedError
from billing_mcp.store.store import Store
from billing_mcp.store.test_clock import ClockMark

log = structlog.get_logger()

FOLLOWED_EVERY_S = 0.5


class DatabaseClock:
    """The clock of a database for tests: it stands where it was set, or goes with the system until then.

    Whoever has asked it is never told an earlier moment afterwards.
    """

    def __init__(self, mark: ClockMark) -> None:
        self._mark = mark
        self._latest = datetime.fromtimestamp(0, UTC)

    def __call__(self) -> datetime:
        """The moment now."""
        self._latest = max(self._latest, self._mark.stands_at or system_clock())
        return self._latest

    def set(self, mark: ClockMark) -> None:
        """It was set, by us or by another process."""
        self._mark = mark

    @asynccontextmanager
    async def following(self, store: Store) -> AsyncIterator[None]:
        """For the block, notice within a second what other processes make of it."""
        stop = asyncio.Event()
        task = asyncio.create_task(self._follow(store, stop))
        try:
            yield
        finally:
            stop.set()
            await task

    async def _follow(self, store: Store, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                async with store.read(self(), single=True) as tx:
                    mark = await tx.test_clock.find()
            except (BillingError, TransactionAbortedError) as error:
                log.info("clock_not_read", error=getattr(error, "code", "database_busy"))
            else:
                self.set(mark or self._mark)
            try:
                async with asyncio.timeout(FOLLOWED_EVERY_S):
                    await stop.wait()
            except TimeoutError:
                continue


async def clock_of_database(store: Store) -> Clock:
    """The clock of a database; the system's where it has none. Raises what the database raises."""
    async with store.read(system_clock(), single=True) as tx:
        mark = await tx.test_clock.find()
    return system_clock if mark is None else DatabaseClock(mark)
