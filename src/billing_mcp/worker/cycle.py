"""Owns the billing cycle: whose period has ended is found, and each account's calendar is worked off, step by step."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.clock import Clock
from billing_mcp.kernel.limits import WorkerLimits
from billing_mcp.operations.closing import Closed, Step, draft, step
from billing_mcp.store.outbox import Work
from billing_mcp.store.store import Store
from billing_mcp.worker.announcing import announce
from billing_mcp.worker.lane import Duty, Job
from billing_mcp.worker.queues import OutboxQueue
from billing_mcp.worker.worker import Finder

log = structlog.get_logger()

RUN_CYCLE = "billing.cycle.run"
"""The topic."""


class Cycle:
    """Works off what the calendar makes due: each step is one transaction, so it may be killed anywhere."""

    def __init__(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        self._store = store
        self._catalog = catalog
        self._clock = clock

    async def due(self, until: datetime) -> Sequence[str]:
        """The accounts of which something is due, those that wait longest first."""
        async with self._store.read(self._clock()) as tx:
            return await tx.cycles.due_account_ids(until)

    async def run(self, account_id: str, until: datetime) -> AsyncIterator[Step]:
        """Do all that is due of an account by `until`, in order of time. Raises NotFound."""
        while (done := await self._step(account_id, until)) is not None:
            yield done

    async def _step(self, account_id: str, until: datetime) -> Step | None:
        async with self._store.read(self._clock()) as tx:
            if not await tx.cycles.is_due(account_id, until):
                return None
            drafted = await draft(tx, account_id, until)
        async with self._store.write(self._clock()) as tx:
            return await step(tx, self._catalog, account_id, until, drafted=drafted)

    async def rehearse(self, account_id: str, until: datetime) -> list[Step]:
        """What `run` would do, done and rolled back. The account is locked for as long."""
        steps: list[Step] = []
        async with self._store.write(self._clock()) as tx:
            tx.rollback_only = True
            while (done := await step(tx, self._catalog, account_id, until)) is not None:
                steps.append(done)
        return steps


def cycle_duty(cycle: Cycle, limits: WorkerLimits, clock: Clock) -> Duty[Work]:
    """What a worker does about the cycle: one account at a time, by id, so invoices are numbered in that order.

    More at once would only wait for each other: whoever issues an invoice holds the seller's numbers.
    """
    one = replace(limits, at_a_time=1)
    return Duty(OutboxQueue(RUN_CYCLE, [RUN_CYCLE], one), run_cycle(cycle, clock), one)


def run_cycle(cycle: Cycle, clock: Clock) -> Job:
    """The job: work off an account's calendar."""

    async def job(work: Work) -> None:
        async for done in cycle.run(work.account_id, clock()):
            number = done.invoice.number if isinstance(done, Closed) and done.invoice else None
            log.info("cycle_step", step=type(done).__name__.lower(), invoice=number)

    return job


def find_due_cycles(store: Store, cycle: Cycle, clock: Clock) -> Finder:
    """The finder: work for each account whose calendar has something due."""

    async def find() -> int:
        now = clock()
        return await announce(store, RUN_CYCLE, await cycle.due(now), now)

    return find
