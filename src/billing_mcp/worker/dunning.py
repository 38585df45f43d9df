"""Owns dunning by itself: who has a step of it due is found, and each account is a job of its own."""

from __future__ import annotations

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.clock import Clock
from billing_mcp.operations.dunning import dun
from billing_mcp.store.outbox import Work
from billing_mcp.store.store import Store
from billing_mcp.worker.announcing import announce
from billing_mcp.worker.lane import Job
from billing_mcp.worker.worker import Finder

DUN = "billing.account.dun"
"""The topic."""


def dun_account(store: Store, catalog: Catalog, clock: Clock) -> Job:
    """The job: take the step that is due on the account."""

    async def job(work: Work) -> None:
        async with store.write(clock()) as tx:
            await tx.accounts.get(work.account_id, lock=True)
            await dun(tx, catalog, work.account_id)

    return job


def find_due_debts(store: Store, clock: Clock) -> Finder:
    """The finder: work for each account of which a step is due, and no such work."""

    async def find() -> int:
        now = clock()
        async with store.read(now) as tx:
            due = await tx.accounts.due_for_dunning(now)
        return await announce(store, DUN, due, now)

    return find
