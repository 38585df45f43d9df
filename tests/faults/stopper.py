"""A process that locks and is then stopped: `python -m tests.faults.stopper DATABASE ACCOUNT...`.

On SQLite it holds the lock of the file, on PostgreSQL those of the accounts. It says "locked", and gives
up at the next line.
"""

from __future__ import annotations

import asyncio
import sys

from tests.store.books import raw_connection


async def _lock(database: str, account_ids: list[str]) -> None:
    async with raw_connection(database) as run:
        if "://" in database:
            await run("BEGIN")
            for account_id in account_ids:
                await run("SELECT 1 FROM wallets WHERE account_id = $1 FOR UPDATE", account_id)
        else:
            await run("BEGIN IMMEDIATE")
        sys.stdout.write("locked\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        await run("ROLLBACK")


if __name__ == "__main__":
    asyncio.run(_lock(sys.argv[1], sys.argv[2:]))
