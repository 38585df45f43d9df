"""Owns waiting for one of a few connections."""

from __future__ import annotations

import asyncio

from billing_mcp.store.engine import POOL_WAIT_S, busy


class Turns:
    """So many may read at a time; the others wait, in the order in which they came."""

    def __init__(self, size: int) -> None:
        self._free = asyncio.Semaphore(size)

    async def take(self) -> None:
        """Wait for a turn. Raises Conflict with code `database_busy` when it does not come."""
        if not self._free.locked():
            await self._free.acquire()  # at once, without a timer
            return
        try:
            async with asyncio.timeout(POOL_WAIT_S):
                await self._free.acquire()
        except TimeoutError:
            raise busy() from None

    def give_back(self) -> None:
        """Let the next one have it."""
        self._free.release()
