"""Owns forgetting by itself: what the platform was answered under a key, and deliveries of webhooks that have ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from billing_mcp.domain.clock import Clock
from billing_mcp.store.store import Store, Transaction
from billing_mcp.worker.worker import Finder

KEPT = timedelta(days=3)
"""How long an answer is kept."""
DELIVERIES_KEPT = timedelta(days=30)
"""How long a delivery can be read, and replayed, after it ended."""

_AT_A_TIME = 500


def prune_platform_requests(store: Store, clock: Clock) -> Finder:
    """The finder: forget some answers that are old enough."""
    return _forgetting(
        store,
        clock,
        KEPT,
        oldest=lambda tx: tx.platform_requests.oldest(),
        prune=lambda tx, before: tx.platform_requests.prune(before, limit=_AT_A_TIME),
    )


def prune_webhook_deliveries(store: Store, clock: Clock) -> Finder:
    """The finder: forget some deliveries that ended long enough ago."""
    return _forgetting(
        store,
        clock,
        DELIVERIES_KEPT,
        oldest=lambda tx: tx.webhooks.oldest_end(),
        prune=lambda tx, before: tx.webhooks.prune(before, limit=_AT_A_TIME),
    )


def _forgetting(
    store: Store,
    clock: Clock,
    kept: timedelta,
    *,
    oldest: Callable[[Transaction], Awaitable[datetime | None]],
    prune: Callable[[Transaction, datetime], Awaitable[int]],
) -> Finder:
    """A finder that forgets some, each time; a look finds that there is nothing."""

    async def forget() -> int:
        now = clock()
        async with store.read(now) as tx:
            first = await oldest(tx)
        if first is None or first >= now - kept:
            return 0
        async with store.write(now) as tx:
            return await prune(tx, now - kept)

    return forget
