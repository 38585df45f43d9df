"""A disk that is full: `python -m tests.faults.limited DATABASE`, in a process whose files may not grow for a while.

It says "sound" at the end.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from pathlib import Path

from billing_mcp.store.store import Store
from tests.faults.filling import fill_and_make_room
from tests.faults.ground import open_accounts


async def _run(database: str) -> None:
    store = await Store.open(database)
    accounts = await open_accounts(store, 4)
    grown = Path(f"{database}-wal").stat().st_size  # noqa: ASYNC240 - nothing else runs
    _limit(grown + (1 << 17) + 1234)

    async def make_room() -> None:
        _limit(resource.RLIM_INFINITY)

    await fill_and_make_room(store, database, accounts, make_room)
    await store.close()
    sys.stdout.write("sound\n")


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    asyncio.run(_run(sys.argv[1]))
