"""What PostgreSQL reads for a posting does not grow with the books, also before it has counted anything."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from billing_mcp.domain.holds import PlaceHold
from billing_mcp.domain.instructions import Instruction
from billing_mcp.store.store import Store
from tests.store.books import ACCOUNT, NOW, eur, open_books, raw_connection, topup

BATCHES, BATCH = 40, 50
READ = """SELECT sum(idx_scan)::bigint, sum(idx_tup_read)::bigint
    FROM pg_stat_user_indexes WHERE relname = 'ledger_transactions'"""


async def test_a_new_database_checks_foreign_keys_without_looking_through_an_account(postgresql: str) -> None:
    async with raw_connection(postgresql) as run:
        for table in ("ledger_transactions", "ledger_entries", "posting_keys", "holds", "wallets"):
            await run(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    store = await Store.open(postgresql)
    await open_books(store, topup("100.00"))
    place = Instruction(ACCOUNT, PlaceHold(eur("0.01"), "", NOW + timedelta(days=7)), NOW, None)
    for _ in range(BATCHES):
        await store.submit_many([place] * BATCH)
    await store.close()

    scans = read = 0
    async with asyncio.timeout(30), raw_connection(postgresql) as run:
        while scans < 2 * BATCHES * BATCH:  # a server process tells what it has counted when it ends
            await asyncio.sleep(0.05)
            ((scans, read),) = await run(READ)
    assert read < 200 * BATCHES * BATCH
