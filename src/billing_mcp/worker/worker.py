"""Owns a worker: a lane for each topic and each other queue, and what looks for work that nobody has announced."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog

from billing_mcp.domain.clock import Clock
from billing_mcp.domain.errors import BillingError
from billing_mcp.kernel.limits import WorkerLimits
from billing_mcp.store.engine import TransactionAbortedError, uninterrupted
from billing_mcp.store.store import Store
from billing_mcp.worker.backoff import backoff_s
from billing_mcp.worker.lane import Duty, Job, Lane, OnJob
from billing_mcp.worker.queues import OutboxQueue, Outcome

log = structlog.get_logger()

Finder = Callable[[], Coroutine[Any, Any, int]]
"""Puts work into the outbox that only time has made due, and returns how much."""

_PATIENCE_S = 30.0


class Worker:
    """Does the jobs of a store's outbox. As many workers as you like may share one database.

    It knows the topics of `jobs` and what `duties` take, and leaves all other rows alone. An error of the database
    makes it wait and go on. It may be killed at any time: what it had taken is due again when the lease ends.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        limits: WorkerLimits,
        *,
        jobs: Mapping[str, Job],
        duties: Sequence[Duty[Any]] = (),
        finders: Sequence[Finder] = (),
        on_job: OnJob | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits
        self._on_job = on_job
        self._finders = finders
        by_topic = [Duty(OutboxQueue(topic, [topic], limits), job, limits) for topic, job in jobs.items()]
        self._lanes = [Lane[Any](duty, store, clock, self._heard) for duty in (*by_topic, *duties)]
        self.outcomes: Counter[Outcome] = Counter()
        """How many jobs came to what, since it was made."""

    @property
    def topics(self) -> frozenset[str]:
        """The topics of the outbox whose work it does."""
        return frozenset(topic for lane in self._lanes for topic in lane.topics)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, and until the jobs that run then have ended, or their grace has."""
        async with asyncio.TaskGroup() as tasks:
            for lane in self._lanes:
                tasks.create_task(self._serve(lane, stop))
            for finder in self._finders:
                tasks.create_task(self._look(finder, stop))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work for the block."""
        stop = asyncio.Event()
        work = asyncio.create_task(self.run(stop))
        try:
            yield
        finally:
            stop.set()
            await work

    async def run_once(self) -> None:
        """Do all that is due now, and what becomes due by that. Raises what the database raises.

        A finder that fails is raised at the end, when all that the others found is done.
        """
        failed: list[BillingError] = []
        while await self.run_round(failed):
            pass
        for error in failed[:1]:
            raise error

    async def run_round(self, failed: list[BillingError]) -> bool:
        """Do what is due now, once. Whether anything was: then more may have become due by that.

        What finders raise is added to `failed`, and keeps nothing else from being done. Raises what the database
        raises.
        """
        before, found = self.outcomes.total(), 0
        try:
            for finder in self._finders:
                try:
                    found += await uninterrupted(finder())
                except BillingError as error:
                    failed.append(error)
            due = await uninterrupted(self._due_topics())
            for lane in self._lanes:
                if not lane.topics or not due.isdisjoint(lane.topics):
                    await lane.empty()
        finally:
            for lane in self._lanes:
                await lane.settle(timeout_s=self._limits.grace_s)
        return found > 0 or self.outcomes.total() > before

    async def _due_topics(self) -> set[str]:
        async with self._store.read(self._clock()) as tx:
            return await tx.outbox.due_topics(*self.topics)

    async def _serve(self, lane: Lane[Any], stop: asyncio.Event) -> None:
        stopped = asyncio.create_task(stop.wait())
        try:
            await _repeat(lambda: lane.step(stopped), stop, lane.name)
        finally:
            stopped.cancel()
            await lane.settle(timeout_s=self._limits.grace_s)

    async def _look(self, finder: Finder, stop: asyncio.Event) -> None:
        async def step() -> None:
            await uninterrupted(finder())
            await _pause(stop, self._limits.scan_s)

        await _repeat(step, stop, "finder")

    def _heard(self, name: str, outcome: Outcome, seconds: float) -> None:
        self.outcomes[outcome] += 1
        if self._on_job is not None:
            self._on_job(name, outcome, seconds)


async def _repeat(step: Callable[[], Awaitable[None]], stop: asyncio.Event, what: str) -> None:
    """Do it again and again until `stop` is set; what goes wrong makes it wait, longer each time."""
    failures = 0
    while not stop.is_set():
        try:
            await step()
            failures = 0
            continue
        except (BillingError, TransactionAbortedError) as error:
            log.warning("worker_waits", what=what, error=getattr(error, "code", "database_busy"))
        except Exception:
            log.exception("worker_waits", what=what)
        failures += 1
        await _pause(stop, backoff_s(failures, first_s=0.5, cap_s=_PATIENCE_S))


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
