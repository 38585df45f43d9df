"""Owns forgetting by itself: what the platform was answered under a key is kept for three days."""

from __future__ import annotations

from datetime import timedelta

from billing_mcp.domain.clock import Clock
from billing_mcp.store.store import Store
from billing_mcp.worker.worker import Finder

KEPT = timedelta(days=3)

_AT_A_TIME = 500


def prune_platform_requests(store: Store, clock: Clock) -> Finder:
    """The finder: forget some of what is old enough, each time; a look finds that there is nothing."""

    async def prune() -> int:
        now = clock()
        async with store.read(now) as tx:
            oldest = await tx.platform_requests.oldest()
        if oldest is None or oldest >= now - KEPT:
            return 0
        async with store.write(now) as tx:
            return await tx.platform_requests.prune(now - KEPT, limit=_AT_A_TIME)

    return prune
