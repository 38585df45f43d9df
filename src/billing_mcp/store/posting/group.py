"""Owns the group commit: instructions that wait together are committed together, each for itself.

There is no timer: whenever the writer is idle it takes all that wait, so a lone caller waits for
nobody, and under load one commit, that is one wait for the disk, serves many.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Protocol, cast

import structlog

from billing_mcp.domain.errors import BillingError, Internal, Unavailable
from billing_mcp.domain.instructions import Instruction, Receipt
from billing_mcp.store.engine import TransactionAbortedError, busy
from billing_mcp.store.observer import NOBODY, Observer
from billing_mcp.store.posting.program import Done, Locked, Outcome

log = structlog.get_logger()

CAPACITY = 10_000
_BATCH = 512
_PATIENT_AT_A_TIME = 4
_ATTEMPTS = 3


class Batches(Protocol):
    """A database that commits batches. Both methods return when the commit is durable.

    They raise BillingError when nothing was committed, or with code `outcome_unknown` when nobody
    knows; then every instruction of the batch has that error.
    """

    async def commit(self, instructions: Sequence[Instruction]) -> list[Outcome]:
        """Carry out what is not locked by others, in one transaction."""

    async def commit_patiently(self, instructions: Sequence[Instruction]) -> list[Outcome]:
        """Carry out instructions on one account, and wait for whoever has it locked."""

    async def close(self) -> None:
        """Give all connections back."""


@dataclass(slots=True)
class _Waiting:
    """An instruction, and who waits for its receipt."""

    instruction: Instruction
    receipt: asyncio.Future[Receipt]


class GroupCommit:
    """The queue of instructions, and the tasks that serve it."""

    def __init__(self, batches: Batches, *, capacity: int = CAPACITY, observer: Observer = NOBODY) -> None:
        self._batches = batches
        self._capacity = capacity
        self._observer = observer
        self._queue: deque[_Waiting] = deque()
        self._patient: dict[str, deque[_Waiting]] = {}
        self._patience = asyncio.Semaphore(_PATIENT_AT_A_TIME)
        self._waiting = 0
        self._server: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def submit(self, instruction: Instruction) -> Receipt:
        """Carry out an instruction; returns once that is durable.

        Raises what the instruction raises, and Unavailable: `queue_full` when too many wait, and
        `outcome_unknown` when the database went away at the commit. A caller that goes away while its
        instruction still waits has withdrawn it.
        """
        refusal = self._refusal()
        if refusal is not None:
            raise self._told(instruction, refusal)
        waiting = _Waiting(instruction, asyncio.get_running_loop().create_future())
        self._waiting += 1
        try:
            self._enqueue(waiting)
            return await waiting.receipt
        finally:
            self._waiting -= 1

    @property
    def waiting(self) -> int:
        """How many instructions wait, or are being carried out."""
        return self._waiting

    async def submit_many(self, instructions: Sequence[Instruction]) -> list[Receipt | BillingError]:
        """Carry out each for itself, in order; returns once all are durable, with what `submit` returns or raises.

        What finds no room among those that wait is refused with `queue_full`; what came before it is not.
        Raises Unavailable when the server is shutting down.
        """
        if self._closed:
            raise self._ended()
        room = max(0, self._capacity - self._waiting)
        create_future = asyncio.get_running_loop().create_future
        many = [_Waiting(instruction, create_future()) for instruction in instructions[:room]]
        self._waiting += len(many)
        try:
            for each in many:
                self._enqueue(each)
            told = await asyncio.gather(*[each.receipt for each in many], return_exceptions=True)
        finally:
            self._waiting -= len(many)
        outcomes = cast("list[Receipt | BillingError]", told)  # nothing else is ever set
        return [*outcomes, *[self._told(each, self._full()) for each in instructions[room:]]]

    async def close(self) -> None:
        """Take nothing new, and let what waits end."""
        self._closed = True
        while running := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(running)
        await self._batches.close()

    def _refusal(self) -> Unavailable | None:
        if self._closed:
            return self._ended()
        return self._full() if self._waiting >= self._capacity else None

    def _told(self, instruction: Instruction, refusal: Unavailable) -> Unavailable:
        """The refusal, once whoever observes knows of it."""
        self._observer.instruction_refused(instruction, refusal)
        return refusal

    def _ended(self) -> Unavailable:
        return Unavailable("the server is shutting down", hint="Send the same again when it is back.")

    def _full(self) -> Unavailable:
        return Unavailable(
            f"{self._waiting} instructions wait already, which is all that may",
            code="queue_full",
            hint="Send the same again, with the same idempotency_key, in a second.",
        )

    def _enqueue(self, waiting: _Waiting) -> None:
        account_id = waiting.instruction.account_id
        if account_id in self._patient:  # behind those that came before it
            self._patient[account_id].append(waiting)
            return
        self._queue.append(waiting)
        if self._server is None:
            self._server = self._start(self._serve())

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _serve(self) -> None:
        try:
            while batch := _take(self._queue):
                self._set_aside(_answer(batch, await self._carried_out(batch, patiently=False)))
        finally:
            self._server = None

    def _set_aside(self, locked: Iterable[_Waiting]) -> None:
        """What others have locked waits in line for its account, while the rest goes on."""
        for each in locked:
            account_id = each.instruction.account_id
            if account_id in self._patient:
                self._patient[account_id].append(each)
            else:
                self._patient[account_id] = deque([each])
                self._start(self._serve_patiently(account_id))

    async def _serve_patiently(self, account_id: str) -> None:
        queue = self._patient[account_id]
        try:
            async with self._patience:
                while batch := _take(queue):
                    _answer(batch, await self._carried_out(batch, patiently=True))
        finally:
            del self._patient[account_id]

    async def _carried_out(self, batch: list[_Waiting], *, patiently: bool) -> list[Outcome]:
        started_s = time.perf_counter()
        outcomes = await self._outcomes(batch, patiently=patiently)
        seconds = time.perf_counter() - started_s
        self._observer.batch_ended([each.instruction for each in batch], outcomes, seconds)
        return outcomes

    async def _outcomes(self, batch: list[_Waiting], *, patiently: bool) -> list[Outcome]:
        """The outcome of each. A defect that spoils a batch stays with the instruction that has it."""
        commit = self._batches.commit_patiently if patiently else self._batches.commit
        instructions = [each.instruction for each in batch]
        for _ in range(_ATTEMPTS):
            try:
                return await commit(instructions)
            except TransactionAbortedError:
                continue
            except Internal as error:
                failed: BillingError = error
            except BillingError as error:
                return [copy(error) for _ in batch]  # each is raised, and gets a traceback, elsewhere
            except Exception:
                log.exception("batch_crashed", instructions=len(batch))
                failed = Internal("the server failed on this; its log says why", hint="Nothing was changed.")
            if len(batch) == 1:
                return [failed]
            alone = [await self._outcomes([each], patiently=patiently) for each in batch]
            return [outcome for (outcome,) in alone]
        return [busy() for _ in batch]


def _take(queue: deque[_Waiting]) -> list[_Waiting]:
    """The next batch, without those whose callers have gone."""
    batch: list[_Waiting] = []
    while queue and len(batch) < _BATCH:
        each = queue.popleft()
        if not each.receipt.done():
            batch.append(each)
    return batch


def _answer(batch: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> list[_Waiting]:
    """Tell each caller its outcome. Returns those that have none yet, since their account is locked."""
    locked = []
    for each, outcome in zip(batch, outcomes, strict=True):
        if isinstance(outcome, Locked):
            locked.append(each)
        elif each.receipt.done():
            continue
        elif isinstance(outcome, Done):
            each.receipt.set_result(outcome.receipt)
        else:
            each.receipt.set_exception(outcome)
    return locked
