"""Reading PostgreSQL over connections that are kept: whatever becomes of one, the next read is served."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from sqlalchemy import text

from billing_mcp.domain.errors import BillingError
from billing_mcp.store.engine import uninterrupted
from billing_mcp.store.store import Store
from tests.store.books import ACCOUNT, NOW, eur, open_books, raw_connection, topup

_READERS = "application_name = 'billing-mcp' AND datname = current_database() AND query = 'ROLLBACK'"
_UNDER_WAY = "state <> 'idle' AND datname = current_database() AND pid <> pg_backend_pid()"
READERS = f"SELECT pid, state, xact_start IS NULL AS ended FROM pg_stat_activity WHERE {_READERS}"  # noqa: S608
CUT_READERS = f"SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_READERS}"  # noqa: S608
UNDER_WAY = f"SELECT pid FROM pg_stat_activity WHERE {_UNDER_WAY}"  # noqa: S608
CUT_UNDER_WAY = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_UNDER_WAY}"  # noqa: S608


async def read(store: Store, *, single: bool = False) -> int:
    async with store.read(NOW, single=single) as tx:
        return (await tx.ledger.wallet(ACCOUNT)).available_micros


async def slow_read(store: Store) -> None:
    async with store.read(NOW) as tx:
        await tx.ledger.wallet(ACCOUNT)
        await tx._connection.execute(text("SELECT pg_sleep(5)"))


async def read_while_it_is_cut(store: Store, database: str) -> None:
    async with store.read(NOW) as tx, raw_connection(database) as run:
        await tx.ledger.wallet(ACCOUNT)
        await run(CUT_UNDER_WAY)
        await asyncio.sleep(0.1)
        await tx.ledger.wallet(ACCOUNT)


async def test_a_read_leaves_its_connection_outside_of_any_transaction_and_the_next_one_has_it(
    postgresql: str, postgresql_store: Store
) -> None:
    await open_books(postgresql_store, topup("7.00"))
    async with raw_connection(postgresql) as run:
        found = []
        for _ in range(3):
            assert await read(postgresql_store) == eur("7.00")
            found.append(await run(READERS))

    assert found[0] == found[1] == found[2]
    assert [row[1:] for row in found[0]] == [("idle", True)]


async def test_more_reads_than_there_are_connections_all_have_their_turn(
    postgresql: str, postgresql_store: Store
) -> None:
    await open_books(postgresql_store, topup("7.00"))
    assert await asyncio.gather(*(read(postgresql_store) for _ in range(100))) == [eur("7.00")] * 100
    async with raw_connection(postgresql) as run:
        assert 1 < len(await run(READERS)) <= 8


@pytest.mark.parametrize("single", [False, True])
async def test_a_connection_that_the_server_has_closed_meanwhile_is_replaced(
    postgresql: str, postgresql_store: Store, single: bool
) -> None:
    await open_books(postgresql_store, topup("7.00"))
    await asyncio.gather(*(read(postgresql_store) for _ in range(20)))
    async with raw_connection(postgresql) as run:
        before = await run(CUT_READERS)
        assert before
        for _ in range(20):
            assert await read(postgresql_store, single=single) == eur("7.00")
        after = await run(READERS)
    assert {row[0] for row in after}.isdisjoint(row[0] for row in before)


async def test_reads_that_find_no_database_keep_no_turn_from_those_that_do(
    postgresql_server: str, postgresql_store: Store
) -> None:
    await open_books(postgresql_store, topup("7.00"))
    name = postgresql_store.url.database
    async with raw_connection(postgresql_server) as run:
        await run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        for _ in range(20):
            with pytest.raises(BillingError) as refused:
                await read(postgresql_store)
            assert refused.value.code == "database_unavailable"
        await run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert await read(postgresql_store) == eur("7.00")


async def test_a_read_whose_connection_is_cut_tells_so_and_the_next_is_served(
    postgresql: str, postgresql_store: Store
) -> None:
    await open_books(postgresql_store, topup("7.00"))
    with pytest.raises(BillingError) as refused:
        await read_while_it_is_cut(postgresql_store, postgresql)
    assert refused.value.code == "database_unavailable"
    assert await read(postgresql_store) == eur("7.00")


async def test_reads_that_are_cancelled_at_any_point_keep_no_connection_from_others(
    postgresql: str, postgresql_store: Store
) -> None:
    await open_books(postgresql_store, topup("7.00"))
    for moment in range(80):
        shortly, slowly = read(postgresql_store, single=True), slow_read(postgresql_store)
        reading: asyncio.Future[object] = asyncio.ensure_future(shortly if moment % 2 else slowly)
        (slowly if moment % 2 else shortly).close()
        for _ in range(moment // 4):
            await asyncio.sleep(0.0002)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        assert await uninterrupted(read(postgresql_store)) == eur("7.00")
    async with asyncio.timeout(20), raw_connection(postgresql) as run:
        while await run(UNDER_WAY):  # noqa: ASYNC110 - what is watched is in the server
            await asyncio.sleep(0.1)


async def test_an_error_of_a_statement_is_told_and_the_connection_is_used_again(
    postgresql: str, postgresql_store: Store
) -> None:
    await open_books(postgresql_store, topup("7.00"))
    await read(postgresql_store)
    async with raw_connection(postgresql) as run:
        before = await run(READERS)
        with pytest.raises(BillingError):
            async with postgresql_store.read(NOW) as tx:
                await tx._connection.execute(text("SELECT 1 / 0"))
        assert await read(postgresql_store) == eur("7.00")
        assert await run(READERS) == before


async def test_a_single_statement_needs_no_transaction(postgresql: str, postgresql_store: Store) -> None:
    await open_books(postgresql_store, topup("7.00"))
    await read(postgresql_store)
    async with raw_connection(postgresql) as run:
        assert await run(READERS)
        assert await read(postgresql_store, single=True) == eur("7.00")
        assert not await run(READERS)  # the last one began and rolled back nothing
