"""Owns the work on one queue: leasing it, a few jobs at a time, and noting what became of each.

Every topic has a lane of its own, or shares one with those of its kind, so a job that hangs keeps nothing waiting
but its own place in its lane. A job may happen twice: a worker can be killed when the work is done and not yet noted.
It must be idempotent, and it must let itself be cancelled: its statements run within `uninterrupted`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

import structlog

from billing_mcp.domain.clock import Clock
from billing_mcp.domain.errors import BillingError, InvalidArgument, NotFound, PermissionDenied
from billing_mcp.kernel.limits import WorkerLimits
from billing_mcp.store.engine import TransactionAbortedError, uninterrupted
from billing_mcp.store.outbox import Work
from billing_mcp.store.store import Store, Transaction
from billing_mcp.worker.queues import Failure, Outcome, Queue

W = TypeVar("W")

log = structlog.get_logger()

Ending = Callable[[Transaction], Awaitable[None]]
"""What a job leaves to be written in the very transaction that notes it as done: both are, or neither."""
Doing = Callable[[W], Awaitable[Ending | None]]
"""What is done with work of a queue. What it raises is tried again later."""
Job = Doing[Work]
"""What is done with work on a topic of the outbox."""
OnJob = Callable[[str, Outcome, float], None]
"""Hears of each job its topic, its outcome, and how many seconds it took."""

_FOR_GOOD = (InvalidArgument, NotFound, PermissionDenied)
"""What the same work meets every time. What else there is may pass, a state of the account too."""


@dataclass(frozen=True, slots=True)
class Duty(Generic[W]):
    """A queue, what is done with its work, and how."""

    queue: Queue[W]
    job: Doing[W]
    limits: WorkerLimits


class Lane(Generic[W]):
    """The work on one queue."""

    def __init__(self, duty: Duty[W], store: Store, clock: Clock, on_job: OnJob) -> None:
        self.name = duty.queue.name
        self.topics = duty.queue.topics
        self._queue = duty.queue
        self._job = duty.job
        self._limits = duty.limits
        self._store = store
        self._clock = clock
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
            self.begin(work)
        return len(taken)

    def begin(self, work: W) -> asyncio.Task[None]:
        """Do what was taken already; the task ends when its outcome is noted."""
        task = asyncio.create_task(self._do(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

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

    async def _take(self, room: int) -> Sequence[W]:
        now = self._clock()
        if not self._more:  # to look first disturbs nobody who writes
            async with self._store.read(now) as tx:
                if not await self._queue.is_due(tx):
                    return []
        until = now + timedelta(seconds=self._limits.lease_s)
        async with self._store.write(now) as tx:
            return await self._queue.take(tx, lease=secrets.token_hex(16), until=until, limit=room)

    async def _do(self, work: W) -> None:
        began = time.monotonic()
        with structlog.contextvars.bound_contextvars(**self._queue.named(work)):
            failure, ending = await self._tried(work)
            outcome = await self._noted(work, failure, ending)
        self._on_job(self.name, outcome, time.monotonic() - began)

    async def _tried(self, work: W) -> tuple[Failure | None, Ending | None]:
        """Do it. Returns why it failed, or what is still to be written."""
        lost = self._queue.lost(work)
        if lost is not None:
            return lost, None
        try:
            async with asyncio.timeout(self._limits.job_s) as limit:
                return None, await self._job(work)
        except BillingError as error:
            return Failure(error.code, for_good=isinstance(error, _FOR_GOOD)), None
        except TransactionAbortedError:
            return Failure("database_busy"), None
        except Exception as error:
            if limit.expired():
                return Failure("time_limit"), None
            log.exception("job_crashed")
            return Failure(type(error).__name__), None

    async def _noted(self, work: W, failure: Failure | None, ending: Ending | None) -> Outcome:
        """Note what became of it, where it is still ours. What cannot be noted is left to the lease."""
        try:
            outcome = await uninterrupted(self._note(work, failure, ending))
        except (BillingError, TransactionAbortedError) as error:
            log.warning("job_left", error=getattr(error, "code", "database_busy"))
            return "left"
        except Exception:
            log.exception("job_left")
            return "left"
        if outcome == "left":
            log.warning("job_taken_over")
        elif failure is not None:
            attempts = getattr(work, "attempts", None)
            say = log.error if outcome == "dead" else log.info
            say("job_dead" if outcome == "dead" else "job_failed", error=failure.error, attempts=attempts)
        return outcome

    async def _note(self, work: W, failure: Failure | None, ending: Ending | None) -> Outcome:
        async with self._store.write(self._clock()) as tx:
            outcome = await self._queue.note(tx, work, failure)
            if outcome == "done" and ending is not None:
                await ending(tx)
            return outcome
