"""Owns advancing the clock of a database for tests: what would have happened meanwhile happens, each at its moment.

Whoever is killed on the way leaves a clock that stands at the last stop, and the work of that stop due: the next to
advance it begins with that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

import structlog

from billing_mcp.domain.advancing import Due, is_first_of_month, next_stop
from billing_mcp.domain.clock import Clock
from billing_mcp.domain.errors import BillingError, Conflict, Unavailable
from billing_mcp.store.clocks import DatabaseClock
from billing_mcp.store.engine import uninterrupted
from billing_mcp.store.store import Store
from billing_mcp.store.test_clock import ClockMark
from billing_mcp.worker.worker import Worker

log = structlog.get_logger()

Go = Callable[[datetime], Coroutine[Any, Any, None]]
"""Has the clock stand at a moment, or at a later one where somebody else has advanced it further."""
OnStop = Callable[[datetime], None]
"""Hears of each moment at which the clock has stopped, once what was due is done."""

_PATIENCE_S = 2.0
_AGAIN_S = 0.02


class Advance:
    """Has a clock `go` on, and a worker that goes by it do what falls due on the way.

    On a store of some accounts (`Store.of_accounts`) theirs is done and no others': what others have due then is late,
    and any worker does it, or whoever advances next.
    """

    def __init__(self, store: Store, clock: Clock, go: Go, worker: Worker, *, patience_s: float = _PATIENCE_S) -> None:
        self._store = store
        self._clock = clock
        self._go = go
        self._worker = worker
        self._patience_s = patience_s

    async def to(self, until: datetime, *, on_stop: OnStop | None = None) -> None:
        """Do what is due now; go to the next moment at which anything is; and so on, up to `until` itself.

        What fails does not hold the clock back. It may be cancelled at any time: what was done stays. Raises
        Unavailable and Conflict when the database cannot be used.
        """
        fruitless = 0
        while True:
            before = self._worker.outcomes.copy()
            due = await self._done()
            new = self._worker.outcomes - before
            fruitless = 0 if new["done"] else fruitless + bool(new["again"])
            if on_stop is not None:
                on_stop(self._clock())
            if self._clock() >= until:
                return
            await uninterrupted(self._go(next_stop(self._clock(), until, due, fruitless=fruitless)))

    async def _done(self) -> Due:
        """Do what is due, and let others end what they have begun. Returns what is due after that.

        What nobody has ended after a while was left behind, and is taken over before anything else is done: then it
        is done in its turn, and the invoices of a moment have the numbers that they would have had.
        """
        due = await self._look()
        if due.begun_elsewhere:
            await self._end_of_others()
        elif not (due.by_now or is_first_of_month(self._clock())):
            return due
        due = await self._work()
        if due.begun_elsewhere:
            await self._end_of_others()
            due = await self._work()
        return due

    async def _end_of_others(self) -> None:
        """Wait until others have ended what they have begun, or take it over: it may be done twice, if it is theirs."""
        until = time.monotonic() + self._patience_s
        while (await self._look()).begun_elsewhere:
            if time.monotonic() > until:
                await uninterrupted(self._take_over())
                return
            await asyncio.sleep(_AGAIN_S)

    async def _look(self) -> Due:
        async with self._store.read(self._clock(), single=True) as tx:
            return await tx.due.look(self._worker.topics)

    async def _work(self) -> Due:
        """Do what is due, until nothing is, or none of it can be done. Returns what is due after that."""
        failed: list[BillingError] = []
        more = True
        while more:
            more = await self._worker.run_round(failed)
            due = await self._look()
            more = more and due.by_now
        for error in failed:
            if isinstance(error, Unavailable | Conflict):
                raise error
            log.warning("advance_goes_on", error=error.code)  # it is due still, and found again at the next stop
        return due

    async def _take_over(self) -> None:
        async with self._store.write(self._clock()) as tx:
            await tx.due.take_over(self._worker.topics)


def stored(store: Store, clock: DatabaseClock) -> Go:
    """The clock that a database keeps: what is stored before the work of a moment is done cannot go back."""

    async def go(moment: datetime) -> None:
        async with store.write(clock()) as tx:
            stands_at = await tx.test_clock.advance(moment)
        clock.set(ClockMark(stands_at))

    return go
