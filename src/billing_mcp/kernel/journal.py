"""Owns the record of executions that changed nothing; nobody waits for the disk for a reading one."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from billing_mcp.domain.clock import Clock
from billing_mcp.domain.errors import BillingError
from billing_mcp.store.engine import TransactionAbortedError
from billing_mcp.store.executions import ExecutionRecord
from billing_mcp.store.store import Store

log = structlog.get_logger()

_GATHER_S = 0.5


class Journal:
    """Writes execution records in batches: a moment after the first of them, or when somebody waits."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: list[ExecutionRecord] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._alone = asyncio.Lock()
        self._hurry = asyncio.Event()

    async def add(self, record: ExecutionRecord, *, wait: bool) -> None:
        """Store the record, now or in the background."""
        self._waiting.append(record)
        if len(self._waiting) == 1:
            task = asyncio.create_task(self._write())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if wait:
            await self.flush()

    async def answer(self, principal_id: str, execution_id: str) -> str | None:
        """The stored answer of one of the principal's executions."""
        await self.flush()
        async with self._store.read(self._clock()) as tx:
            return await tx.executions.answer(principal_id, execution_id)

    async def flush(self) -> None:
        """Wait until all records so far are stored."""
        self._hurry.set()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Store what waits."""
        await self.flush()

    async def _write(self) -> None:
        """Write one batch: what waits when its turn comes. What comes later is for the next."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), _GATHER_S)
        async with self._alone:
            self._hurry.clear()
            batch, self._waiting = self._waiting, []
            try:
                async with self._store.write(self._clock()) as tx:
                    await tx.executions.add(batch)
            except (BillingError, TransactionAbortedError):
                log.exception("executions_not_recorded", count=len(batch))
