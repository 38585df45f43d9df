"""Processes that cross a threshold together: `python -m tests.faults.crossers DATABASE EPOCH_S ACCOUNT...`.

Two are forked. On each account in turn both wait for the other, place a hold, and do whatever is due.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier

from billing_mcp.domain.errors import Conflict
from billing_mcp.store.store import Store
from tests.worker.till import EUR, Till

PROCESSES = 2
_BOUND_S = 60


async def _cross(database: str, now: datetime, account_ids: list[str], together: Barrier) -> None:
    store = await Store.open(database)
    try:
        till = await Till.open(store, lambda: now)
        for account_id in account_ids:
            await asyncio.to_thread(together.wait, _BOUND_S)
            await till.app.holds.place(account_id, 11 * EUR)
            with suppress(Conflict):  # the other one is at it
                await till.worker().run_once()
    finally:
        await store.close()


def _run(*work: object) -> None:
    asyncio.run(_cross(*work))  # type: ignore[arg-type]


def main() -> None:
    """Let them cross, and exit with 1 if one of them failed."""
    database, epoch_s, *account_ids = sys.argv[1:]
    fork = multiprocessing.get_context("fork")
    work = (database, datetime.fromtimestamp(int(epoch_s), UTC), account_ids, fork.Barrier(PROCESSES))
    processes = [fork.Process(target=_run, args=work) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(any(process.exitcode for process in processes))


if __name__ == "__main__":
    main()
