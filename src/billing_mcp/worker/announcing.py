"""Owns announcing what only time has made due: once for an account, and not again while the last of it is dead."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from billing_mcp.store.store import Store

_REST_OF_THE_DEAD = timedelta(days=1)


async def announce(store: Store, topic: str, account_ids: Sequence[str], now: datetime) -> int:
    """Put work on a topic into the outbox for each account that has none. Returns for how many.

    Where it has failed for good it is tried anew after a day, or once somebody revives it.
    """
    if not account_ids:
        return 0
    async with store.read(now) as tx:
        unsettled = await tx.outbox.unsettled(topic, account_ids, dead_since=now - _REST_OF_THE_DEAD)
    missing = sorted(set(account_ids) - unsettled)
    if not missing:
        return 0
    async with store.write(now) as tx:
        return await tx.outbox.add_once(topic, missing)
