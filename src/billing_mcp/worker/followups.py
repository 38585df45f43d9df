"""Owns what follows a commit at once: asking the payment provider, and telling what it said within a few seconds."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from billing_mcp.domain.clock import Clock
from billing_mcp.domain.events import Event
from billing_mcp.operations import payment_methods, topups
from billing_mcp.operations.topup_start import CHARGE
from billing_mcp.store.outbox import Work
from billing_mcp.store.store import Store
from billing_mcp.worker.lane import Lane

_AGAIN_S = 0.1


class FollowUps:
    """Does at once what an execution has made due on the topics of its lanes; a worker does what it cannot end."""

    def __init__(
        self, store: Store, clock: Clock, lanes: Mapping[str, Lane[Work]], *, lease_s: float, wait_s: float
    ) -> None:
        self._store = store
        self._clock = clock
        self._lanes = lanes
        self._lease = timedelta(seconds=lease_s)
        self._wait_s = wait_s

    async def of(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """What came of the events by the end of the wait, as the functions that show it would say now."""
        made = [event for event in events if event.event in self._lanes]
        if not made:
            return []
        until = asyncio.get_running_loop().time() + self._wait_s
        tasks = [task for event in made if (task := await self._begin(event)) is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=self._wait_s)
        while True:
            news = [await self._news(event) for event in made]
            waits = any(each["status"] == "pending" for one in news for each in one.values())
            if not waits or asyncio.get_running_loop().time() >= until:
                return news
            await asyncio.sleep(_AGAIN_S)  # another worker was quicker, and is at it

    async def settle(self, *, timeout_s: float) -> None:
        """Let what runs end; what takes longer is left to its lease."""
        for lane in self._lanes.values():
            await lane.settle(timeout_s=timeout_s)

    async def _begin(self, event: Event) -> asyncio.Task[None] | None:
        now = self._clock()
        async with self._store.write(now) as tx:
            lease = secrets.token_hex(16)
            work = await tx.outbox.take_one(event.account_id, str(event.event_id), lease=lease, until=now + self._lease)
        return None if work is None else self._lanes[event.event].begin(work)

    async def _news(self, event: Event) -> dict[str, Any]:
        async with self._store.read(self._clock()) as tx:
            if event.event == CHARGE:
                topup = await tx.payments.topup(event.account_id, str(event.payload["topup_id"]))
                return {"topup": topups.shown(topup)}
            method = await tx.payments.method(event.account_id, str(event.payload["payment_method_id"]))
            return {"payment_method": payment_methods.shown(method)}
