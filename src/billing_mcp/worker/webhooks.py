"""Owns telling accounts' endpoints of events: fanning events out, and rounds of deliveries.

Endpoints whose last attempt failed have a lane of their own: however many of them hang, the others are told at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from billing_mcp.domain.clock import Clock
from billing_mcp.domain.events import PUBLIC_EVENTS, WEBHOOK_DISABLED, Event
from billing_mcp.domain.webhooks import Attempt, Delivery, Endpoint
from billing_mcp.kernel.limits import WorkerLimits
from billing_mcp.store.outbox import Work
from billing_mcp.store.store import Transaction
from billing_mcp.store.webhooks import Round
from billing_mcp.worker.backoff import backoff_s
from billing_mcp.worker.lane import Doing, Duty, Ending
from billing_mcp.worker.queues import Failure, OutboxQueue, Outcome
from billing_mcp.worker.receivers import Receivers

log = structlog.get_logger()

FAN_OUT = "billing.webhooks.fan_out"
DELIVER = "billing.webhooks.deliver"
DELIVER_FAILING = "billing.webhooks.deliver_failing"

ENDPOINTS_AT_A_TIME = 64
AT_ONCE = 4
"""So many deliveries an endpoint is told at a time; one where its last attempt failed."""
_ROUND = 100
_ROUND_S = 20.0
"""After so long a round begins no more deliveries: others may have their turn."""
_LEAST_JOB_S = 45.0
_RANDOM = random.SystemRandom()

Jitter = Callable[[], float]


def webhook_duties(
    receivers: Receivers, limits: WorkerLimits, clock: Clock, jitter: Jitter | None = None
) -> list[Duty[Any]]:
    """What a worker does about webhooks: the outbox's public events, and endpoints of both standings."""
    rounds = replace(limits, at_a_time=ENDPOINTS_AT_A_TIME, job_s=max(limits.job_s, _LEAST_JOB_S))
    job = tell_endpoint(receivers, clock, jitter or _RANDOM.random)
    return [
        Duty(OutboxQueue(FAN_OUT, sorted(PUBLIC_EVENTS), limits), fan_out, limits),
        Duty(RoundQueue(DELIVER, failing=False), job, rounds),
        Duty(RoundQueue(DELIVER_FAILING, failing=True), job, rounds),
    ]


async def fan_out(work: Work) -> Ending:
    """The job of an event: it is on its way to every endpoint that hears of it once its row has left the outbox.

    Where nobody hears of it, it only leaves.
    """

    async def ending(tx: Transaction) -> None:
        await tx.webhooks.fan_out(work.account_id, work.event_id, work.topic, work.payload, work.created_at)

    return ending


class RoundQueue:
    """Endpoints that have something due, in good standing or failing: each is leased as a whole."""

    topics: tuple[str, ...] = ()

    def __init__(self, name: str, *, failing: bool) -> None:
        self.name = name
        self._failing = failing

    async def is_due(self, tx: Transaction) -> bool:
        """Whether any endpoint is due."""
        return await tx.webhooks.is_due(failing=self._failing)

    async def take(self, tx: Transaction, *, lease: str, until: datetime, limit: int) -> Sequence[Round]:
        """Lease endpoints that are due."""
        at_once = 1 if self._failing else _ROUND
        return await tx.webhooks.take(failing=self._failing, lease=lease, until=until, limit=limit, at_once=at_once)

    async def note(self, tx: Transaction, work: Round, failure: Failure | None) -> Outcome:
        """Give the endpoint back where the round failed: that was our doing, and is no attempt of its deliveries.

        What a round came to is noted by its ending, which gives the endpoint back, too.
        """
        if failure is None:
            return "done" if await tx.webhooks.holds(work) else "left"
        until = tx.now + timedelta(seconds=backoff_s(1))
        return "left" if await tx.webhooks.release(work, until=until) is None else "again"

    def lost(self, work: Round) -> Failure | None:  # noqa: ARG002 - a queue's method
        """Never: an attempt that nobody has noted is none, and is made again."""
        return None

    def named(self, work: Round) -> Mapping[str, str]:
        """Its account and its id."""
        return {"account_id": work.endpoint.account_id, "endpoint_id": work.endpoint.endpoint_id}


def tell_endpoint(receivers: Receivers, clock: Clock, jitter: Jitter) -> Doing[Round]:
    """The job of a round: tell the endpoint, and note what became of each delivery."""

    async def job(work: Round) -> Ending:
        tried = await _tried(receivers, work, clock, jitter)

        async def ending(tx: Transaction) -> None:
            await _record(tx, work, tried)

        return ending

    return job


async def _tried(receivers: Receivers, work: Round, clock: Clock, jitter: Jitter) -> list[Delivery]:
    """Each delivery that was begun, after its attempt. They begin in order; with a failure no more are begun."""
    tried: list[Delivery] = []
    waiting: Iterator[Delivery] = iter(work.deliveries)
    until = time.monotonic() + _ROUND_S
    stopped = False

    async def some() -> None:
        nonlocal stopped
        while not stopped and time.monotonic() < until and (delivery := next(waiting, None)) is not None:
            told = await receivers.tell(work.endpoint, delivery.event_id, delivery.body)
            stopped = stopped or not told.attempt.ok
            tried.append(delivery.after(told.attempt, now=clock(), jitter=jitter()))

    await asyncio.gather(*(some() for _ in range(min(AT_ONCE, len(work.deliveries)))))
    return tried


async def _record(tx: Transaction, work: Round, tried: Sequence[Delivery]) -> None:
    """Note the attempts, and what they say of the endpoint."""
    await tx.webhooks.record(tried)
    endpoint = await tx.webhooks.release(work)
    if endpoint is None or not tried:
        return
    attempts: list[Attempt] = [each.log[-1] for each in tried]
    after = endpoint.after(attempts, gave_up=any(each.status == "dead" for each in tried), now=tx.now)
    if after == endpoint:
        return
    await tx.webhooks.save(after)
    if after.status == "disabled":
        log.warning("webhook_endpoint_disabled", reason=after.reason)
        await tx.outbox.add(_disabled(after))


def _disabled(endpoint: Endpoint) -> Event:
    payload = {"endpoint_id": endpoint.endpoint_id, "url": endpoint.url, "reason": endpoint.reason}
    return Event(endpoint.account_id, WEBHOOK_DISABLED, payload)
