"""Owns judging months by itself: once one has ended, what it was is judged, and the world hears whose tier dropped.

A message does the same whenever it is charged: this is for accounts that send none.
"""

from __future__ import annotations

from billing_mcp.domain.clock import Clock
from billing_mcp.domain.pricing import PriceBook
from billing_mcp.domain.tiers import month_of
from billing_mcp.operations.platform_tiers import judge_months
from billing_mcp.store.outbox import Work
from billing_mcp.store.store import Store
from billing_mcp.worker.announcing import announce
from billing_mcp.worker.lane import Job
from billing_mcp.worker.worker import Finder

JUDGE_MONTHS = "billing.tier.judge"
"""The topic."""


def judge_tiers(store: Store, book: PriceBook, clock: Clock) -> Job:
    """The job: judge the months of an account that have ended."""

    async def job(work: Work) -> None:
        async with store.write(clock()) as tx:
            await judge_months(tx, book, work.account_id)

    return job


def find_ended_months(store: Store, clock: Clock) -> Finder:
    """The finder: work for each account that has earned a tier, with a month of which it is not known what it was."""

    async def find() -> int:
        now = clock()
        async with store.read(now) as tx:
            due = await tx.messages.unjudged_account_ids(month_of(now.date()))
        return await announce(store, JUDGE_MONTHS, due, now)

    return find
