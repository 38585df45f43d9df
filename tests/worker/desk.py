"""A worker at its desk: its jobs are the test's, its clock too, and what it was told of them is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from billing_mcp.domain.clock import Clock
from billing_mcp.domain.events import Event
from billing_mcp.kernel.limits import WorkerLimits
from billing_mcp.store.outbox import Work
from billing_mcp.store.store import Store
from billing_mcp.worker.lane import Job
from billing_mcp.worker.queues import Outcome
from billing_mcp.worker.worker import Worker

TOPIC = "test.topic"
LIMITS = WorkerLimits(poll_s=0.01, scan_s=0.01, at_a_time=2, job_s=30, attempts=5, grace_s=10)


class Desk:
    """One store, and the workers that a test sets to it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.told: list[tuple[str, Outcome]] = []

    def worker(self, job: Job | None = None, *, jobs: Mapping[str, Job] | None = None, **limits: Any) -> Worker:
        """A worker for a job on the topic of these tests, or for several."""

        def told(topic: str, outcome: Outcome, seconds: float) -> None:
            assert seconds >= 0
            self.told.append((topic, outcome))

        known = jobs if jobs is not None else {TOPIC: job} if job else {}
        return Worker(self.store, self.clock, replace(LIMITS, **limits), jobs=known, on_job=told)

    async def add(self, account_id: str, count: int = 1, *, topic: str = TOPIC) -> None:
        """Work that is due now."""
        async with self.store.write(self.clock()) as tx:
            for number in range(count):
                await tx.outbox.add(Event(account_id, topic, {"number": str(number)}))

    async def work(self) -> list[Work]:
        """All that waits or is dead."""
        async with self.store.read(self.clock()) as tx:
            return await tx.outbox.listed(None, limit=10_000)

    @property
    def outcomes(self) -> list[Outcome]:
        """Of the jobs so far."""
        return [outcome for _, outcome in self.told]
