"""Owns the work on one topic: leasing it, a few jobs at a time, and noting what became of each.

Every topic has a lane of its own, so a job that hangs keeps nothing waiting but its own place in its lane.
A job may happen twice: a worker can be killed when the work is done and not yet noted. It must be idempotent,
and it must let itself be cancelled: its statements run within `uninterrupted`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import structlog

from billing_mcp.domain.clock import Clock
from billing_mcp.domain.errors import BillingError, InvalidArgument, NotFound, PermissionDenied
from billing_mcp.kernel.limits import WorkerLimits
from billing_mcp.store.engine import TransactionAbortedError, uninterrupted
from billing_mcp.store.outbox import Work
from billing_mcp.store.store import Store
from billing_mcp.worker.backoff import backoff_s

log = structlog.get_logger()

Job = Callable[[Work], Awaitable[None]]
"""What is done with work on a topic. What it raises is tried again later."""
Outcome = Literal["done", "again", "dead", "left"]
"""What became of a job. It was left to its lease when nobody could note it, or somebody else has taken over."""
OnJob = Callable[[str, Outcome, float], None]
"""Hears of each job its topic, its outcome, and how many seconds it took."""

_FOR_GOOD = (InvalidArgument, NotFound, PermissionDenied)
"""What the same work meets every time. What else there is may pass, a state of the account too."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a job failed: a stable code, or the name of a type; no text of any error."""

    error: str
    for_good: bool = False


class Lane:
    """The work on one topic."""

    def __init__(self, topic: str, job: Job, store: Store, clock: Clock, limits: WorkerLimits, on_job: OnJob) -> None:
        self.topic = topic
        self._job = job
        self._store = store
        self._clock = clock
        self._limits = limits
        self._on_job = on_job
        self._running: set[asyncio.Task[None]] = set()
        self._more = False

    async def step(self, stopped: asyncio.Task[Any]) -> None:
        """Start what is due, and wait until there may be more, or `stopped`. Raises what the database raises."""
        await self.start()
        if self._more:
            running: set[asyncio.Task[Any]] = {stopped, *self._running}
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.wait({stopped}, timeout=self._limits.poll_s)

    async def start(self) -> int:
        """Start what is due, as far as there is room. Returns how much. Raises what the database raises."""
        room = self._limits.at_a_time - len(self._running)
        taken = await uninterrupted(self._take(room)) if room > 0 else []
        self._more = len(taken) == room
        for work in taken:
            task = asyncio.create_task(self._do(work))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return len(taken)

    async def empty(self) -> None:
        """Do all that is due, until nothing is. Raises what the database raises."""
        while await self.start():
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        await self.settle(timeout_s=None)

    async def settle(self, *, timeout_s: float | None) -> None:
        """Let what runs end; what takes longer is cancelled, and left to its lease."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _take(self, room: int) -> list[Work]:
        now = self._clock()
        if not self._more:  # to look first disturbs nobody who writes
            async with self._store.read(now) as tx:
                if not await tx.outbox.is_due(self.topic):
                    return []
        until = now + timedelta(seconds=self._limits.lease_s)
        async with self._store.write(now) as tx:
            return await tx.outbox.take(self.topic, lease=secrets.token_hex(16), until=until, limit=room)

    async def _do(self, work: Work) -> None:
        began = time.monotonic()
        named = {"topic": work.topic, "account_id": work.account_id, "event_id": work.event_id}
        with structlog.contextvars.bound_contextvars(**named):
            outcome = await self._noted(work, await self._failure(work))
        self._on_job(self.topic, outcome, time.monotonic() - began)

    async def _failure(self, work: Work) -> _Failure | None:
        """Do it. Returns why it failed, or None."""
        if work.attempts > self._limits.attempts:
            return _Failure("worker_lost", for_good=True)  # nobody has noted what became of the last attempt
        try:
            async with asyncio.timeout(self._limits.job_s) as limit:
                await self._job(work)
        except BillingError as error:
            return _Failure(error.code, for_good=isinstance(error, _FOR_GOOD))
        except TransactionAbortedError:
            return _Failure("database_busy")
        except Exception as error:
            if limit.expired():
                return _Failure("time_limit")
            log.exception("job_crashed")
            return _Failure(type(error).__name__)
        return None

    async def _noted(self, work: Work, failure: _Failure | None) -> Outcome:
        """Note what became of it, where it is still ours. What cannot be noted is left to the lease."""
        outcome: Outcome = "done"
        if failure is not None:
            outcome = "dead" if failure.for_good or work.attempts >= self._limits.attempts else "again"
        try:
            ours = await uninterrupted(self._note(work, outcome, failure))
        except (BillingError, TransactionAbortedError) as error:
            log.warning("job_left", error=getattr(error, "code", "database_busy"))
            return "left"
        except Exception:
            log.exception("job_left")
            return "left"
        if not ours:
            log.warning("job_taken_over")
            return "left"
        if failure is not None:
            say = log.error if outcome == "dead" else log.info
            say("job_dead" if outcome == "dead" else "job_failed", error=failure.error, attempts=work.attempts)
        return outcome

    async def _note(self, work: Work, outcome: Outcome, failure: _Failure | None) -> bool:
        now = self._clock()
        async with self._store.write(now) as tx:
            if failure is None:
                return await tx.outbox.finish(work)
            if outcome == "dead":
                return await tx.outbox.bury(work, error=failure.error)
            until = now + timedelta(seconds=backoff_s(work.attempts))
            return await tx.outbox.put_off(work, until=until, error=failure.error)
