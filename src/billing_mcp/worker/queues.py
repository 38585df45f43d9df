"""Owns where a lane's work comes from, and how it is noted what became of it: the outbox, by topics.

A queue works in the transactions of its lane. Other queues of the same shape are where their work is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol, TypeVar

from billing_mcp.kernel.limits import WorkerLimits
from billing_mcp.store.outbox import Work
from billing_mcp.store.store import Transaction
from billing_mcp.worker.backoff import backoff_s

W = TypeVar("W")

Outcome = Literal["done", "again", "dead", "left"]
"""What became of a job. It was left to its lease when nobody could note it, or somebody else has taken over."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed: a stable code, or the name of a type; no text of any error."""

    error: str
    for_good: bool = False


class Queue(Protocol[W]):
    """Work that is leased, done with no transaction open, and then noted by whoever still has the lease."""

    name: str
    """What logs and measures call it."""
    topics: tuple[str, ...]
    """Which topics of the outbox it takes, if its work is there."""

    async def is_due(self, tx: Transaction) -> bool:
        """Whether there is anything to take."""

    async def take(self, tx: Transaction, *, lease: str, until: datetime, limit: int) -> Sequence[W]:
        """Lease up to `limit` pieces of work that are due, those that waited longest first."""

    async def note(self, tx: Transaction, work: W, failure: Failure | None) -> Outcome:
        """Note that it is done, or failed, and say what becomes of it: "left" where it is not ours any more."""

    def lost(self, work: W) -> Failure | None:
        """Why it is not done any more, though it was taken: nobody has noted what became of it too often."""

    def named(self, work: W) -> Mapping[str, str]:
        """What logs name it by."""


class OutboxQueue:
    """The rows of the outbox on some topics."""

    def __init__(self, name: str, topics: Sequence[str], limits: WorkerLimits) -> None:
        self.name = name
        self.topics = tuple(topics)
        self._attempts = limits.attempts

    async def is_due(self, tx: Transaction) -> bool:
        """Whether there is anything to take."""
        return await tx.outbox.is_due(*self.topics)

    async def take(self, tx: Transaction, *, lease: str, until: datetime, limit: int) -> Sequence[Work]:
        """Lease rows that are due."""
        return await tx.outbox.take(*self.topics, lease=lease, until=until, limit=limit)

    async def note(self, tx: Transaction, work: Work, failure: Failure | None) -> Outcome:
        """Done is deleted, failed is put off, given up is dead."""
        if failure is None:
            return "done" if await tx.outbox.finish(work) else "left"
        if failure.for_good or work.attempts >= self._attempts:
            return "dead" if await tx.outbox.bury(work, error=failure.error) else "left"
        until = tx.now + timedelta(seconds=backoff_s(work.attempts))
        return "again" if await tx.outbox.put_off(work, until=until, error=failure.error) else "left"

    def lost(self, work: Work) -> Failure | None:
        """Nobody has noted what became of the last attempt."""
        return Failure("worker_lost", for_good=True) if work.attempts > self._attempts else None

    def named(self, work: Work) -> Mapping[str, str]:
        """Its account and its id."""
        return {"topic": work.topic, "account_id": work.account_id, "event_id": work.event_id}
