"""Owns looking at balances by itself: when one has moved that somebody watches, and when its time has come."""

from __future__ import annotations

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.alerts import BALANCE_MOVED, dip_of
from billing_mcp.domain.clock import Clock
from billing_mcp.operations.balance_watch import look_at_balance
from billing_mcp.store.outbox import Work
from billing_mcp.store.store import Store
from billing_mcp.worker.announcing import announce
from billing_mcp.worker.lane import Job
from billing_mcp.worker.worker import Finder


def look_at_moved_balance(store: Store, catalog: Catalog, clock: Clock) -> Job:
    """The job: look at an account's balance, and at what it was when it moved."""

    async def job(work: Work) -> None:
        then = dip_of(work.payload)
        async with store.write(clock()) as tx:
            await tx.accounts.get(work.account_id, lock=True)
            await look_at_balance(tx, catalog, work.account_id, dip=then)

    return job


def find_due_balances(store: Store, clock: Clock) -> Finder:
    """The finder: work for each account whose balance is to be looked at by now, though nothing has moved."""

    async def find() -> int:
        now = clock()
        async with store.read(now) as tx:
            due = await tx.watches.due_account_ids(now)
        return await announce(store, BALANCE_MOVED, due, now)

    return find
