"""The outbox under locks of others, and its index: what only one kind of database shows."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from billing_mcp.domain.events import Event
from billing_mcp.store.outbox import Work
from billing_mcp.store.store import Store
from tests.store.books import ACCOUNT, NOW, OTHER, open_books, raw_connection

TOPIC = "test.topic"
LEASE = timedelta(minutes=1)


async def _take(store: Store) -> list[Work]:
    async with store.write(NOW) as tx:
        return await tx.outbox.take(TOPIC, lease="b", until=NOW + LEASE, limit=10)


async def _add_once(store: Store, *account_ids: str) -> int:
    async with store.write(NOW) as tx:
        return await tx.outbox.add_once(TOPIC, account_ids)


async def test_on_postgresql_nobody_waits_for_another_to_take(postgresql_store: Store) -> None:
    await open_books(postgresql_store)
    async with postgresql_store.write(NOW) as tx:
        for _ in range(3):
            await tx.outbox.add(Event(ACCOUNT, TOPIC, {}))
    async with asyncio.timeout(4), postgresql_store.write(NOW) as tx:  # a lock would be waited for 5 s
        (first,) = await tx.outbox.take(TOPIC, lease="a", until=NOW + LEASE, limit=1)
        others = await _take(postgresql_store)

    assert len(others) == 2
    assert first.event_id not in {work.event_id for work in others}


async def test_on_postgresql_an_account_that_is_locked_holds_up_nobody(postgresql_store: Store) -> None:
    await open_books(postgresql_store)
    await open_books(postgresql_store, account_id=OTHER)
    async with postgresql_store.write(NOW) as tx:
        await tx.accounts.get(ACCOUNT, lock=True)
        async with asyncio.timeout(4):  # a lock would be waited for 5 s
            assert await _add_once(postgresql_store, ACCOUNT, OTHER) == 1

    assert await _add_once(postgresql_store, ACCOUNT, OTHER) == 1


async def test_what_waits_is_found_by_its_index_on_sqlite(sqlite_store: Store, sqlite: str) -> None:
    assert sqlite_store.url.database == sqlite
    due = "SELECT 1 FROM outbox WHERE status = 'waiting' AND event = 'x' AND due_at_us <= 1 ORDER BY due_at_us LIMIT 1"
    async with raw_connection(sqlite) as run:
        ((*_, plan),) = await run(f"EXPLAIN QUERY PLAN {due}")
    assert "ix_outbox_due (event=? AND due_at_us<?)" in plan
