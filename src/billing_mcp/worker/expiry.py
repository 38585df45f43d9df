"""Owns the expiry of holds by itself: who has any that are due is found, and each account is a job of its own."""

from __future__ import annotations

import structlog

from billing_mcp.domain.clock import Clock
from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.store.outbox import Work
from billing_mcp.store.store import Store
from billing_mcp.worker.announcing import announce
from billing_mcp.worker.lane import Job
from billing_mcp.worker.worker import Finder

log = structlog.get_logger()

EXPIRE_HOLDS = "billing.holds.expire"
"""The topic."""

# Then the next account has its turn, and this one is found again.
_HOLDS_OF_A_JOB = 10_000


def expire_holds(holds: PlatformHolds) -> Job:
    """The job: expire what is due on the account."""

    async def job(work: Work) -> None:
        expired = await holds.expire_due(work.account_id, limit=_HOLDS_OF_A_JOB)
        log.info("holds_expired", holds=expired)

    return job


def find_due_holds(store: Store, clock: Clock) -> Finder:
    """The finder: work for each account that has holds which are due, and no such work."""

    async def find() -> int:
        now = clock()
        async with store.read(now) as tx:
            due = await tx.holds.due_account_ids(now)
        return await announce(store, EXPIRE_HOLDS, due, now)

    return find
