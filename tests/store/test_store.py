"""A write commits whole or leaves no trace, a read sees one moment, and writers never lose an update."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from billing_mcp.domain.errors import Conflict, NotFound, Refused, Unavailable
from billing_mcp.operations.platform import open_account
from billing_mcp.store import engine
from billing_mcp.store import store as store_module
from billing_mcp.store.engine import TransactionAbortedError
from billing_mcp.store.store import Store
from tests.store.books import (
    ACCOUNT,
    NOW,
    OTHER,
    add_the_next_amount,
    assert_none_was_lost,
    charge,
    eur,
    history,
    open_books,
    post,
    raw_connection,
    topup,
    wallet,
)

ROUNDS = 100
PROJECT = Path(__file__).parents[2]
ANOTHER_PROCESS = """
import asyncio, sys
from billing_mcp.store.store import Store
from tests.store.books import NOW, add_the_next_amount

async def main():
    store = await Store.open(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(sys.argv[2])):
        async with store.write(NOW) as tx:
            await add_the_next_amount(tx)
    await store.close()

asyncio.run(main())
"""


async def test_a_write_that_ends_well_is_seen_by_others(store: Store, second_store: Store) -> None:
    await open_books(store, topup("1.00"))

    assert (await wallet(second_store)).available_micros == eur("1.00")


async def test_a_write_that_is_rollback_only_leaves_nothing(store: Store) -> None:
    async with store.write(NOW) as tx:
        await open_account(tx, ACCOUNT, "Books", "EUR")
        await tx.ledger.post([topup("1.00")])
        assert (await tx.ledger.wallet(ACCOUNT)).available_micros == eur("1.00")
        tx.rollback_only = True

    async with store.read(NOW) as tx:
        assert await tx.accounts.all() == []


@pytest.mark.parametrize("error", [Refused("no", code="no_plan"), ValueError("no"), asyncio.CancelledError()])
async def test_a_write_that_fails_leaves_nothing_and_its_error_goes_on(store: Store, error: BaseException) -> None:
    await open_books(store, topup("1.00"))

    async def fail() -> None:
        async with store.write(NOW) as tx:
            await tx.ledger.post([topup("2.00")])
            await open_account(tx, OTHER, "Other", "EUR")
            raise error

    with pytest.raises(type(error)) as raised:
        await fail()

    assert raised.value is error
    assert len(await history(store)) == 1
    with pytest.raises(NotFound):
        await wallet(store, OTHER)


async def test_a_writer_that_is_cancelled_gives_its_turn_to_the_next(store: Store) -> None:
    await open_books(store, topup("1.00"))
    posted = asyncio.Event()

    async def wait_for_ever() -> None:
        async with store.write(NOW) as tx:
            await tx.ledger.post([topup("2.00")])
            posted.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait_for_ever())
    await posted.wait()
    next_in_turn = asyncio.create_task(post(store, topup("3.00")))
    task.cancel()
    await next_in_turn

    assert [row.amount_micros for row in await history(store)] == [eur("1.00"), eur("3.00")]
    assert task.cancelled()


async def test_a_writer_whose_turn_does_not_come_is_told_that_the_database_is_busy(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "TURN_WAIT_S", 0)
    async with sqlite_store.write(NOW) as tx:
        await open_account(tx, ACCOUNT, "Books", "EUR")
        with pytest.raises(Conflict) as busy:
            await post(sqlite_store, topup("1.00"))

    assert busy.value.code == "database_busy"
    await post(sqlite_store, topup("2.00"))
    assert [row.amount_micros for row in await history(sqlite_store)] == [eur("2.00")]


async def test_the_moment_of_a_transaction_is_the_one_it_was_given(store: Store) -> None:
    later = NOW + timedelta(days=400, microseconds=7)
    async with store.write(later) as tx:
        account = await open_account(tx, ACCOUNT, "Books", "EUR")
        (posted,) = await tx.ledger.post([topup("1.00")])

    assert (account.created_at, posted.created_at, posted.effective_at) == (later, later, NOW)
    async with store.read(NOW) as tx:
        assert await tx.accounts.get(ACCOUNT) == account


async def test_a_read_sees_one_moment_whatever_is_committed_meanwhile(store: Store, second_store: Store) -> None:
    await open_books(store, topup("1.00"))
    async with store.read(NOW) as tx:
        before = await tx.ledger.wallet(ACCOUNT)
        await post(store, topup("2.00"))
        await post(second_store, topup("4.00"))
        await open_books(second_store, account_id=OTHER)
        assert await tx.ledger.wallet(ACCOUNT) == before
        assert [row.seq async for row in tx.ledger.history(ACCOUNT)] == [1]
        assert len(await tx.accounts.all()) == 1

    assert (await wallet(store)).available_micros == eur("7.00")


async def test_nobody_sees_what_is_not_committed(store: Store, second_store: Store) -> None:
    await open_books(store, topup("1.00"))
    async with store.write(NOW) as tx:
        await tx.ledger.post([charge("0.40")])
        for reader in (store, second_store):
            assert (await wallet(reader)).available_micros == eur("1.00")

    assert (await wallet(second_store)).available_micros == eur("0.60")


async def test_what_is_written_in_a_read_is_not_kept(store: Store) -> None:
    await open_books(store, topup("1.00"))

    async def write_in_a_read() -> None:
        async with store.read(NOW) as tx:
            await tx.ledger.post([topup("2.00")])

    with capture_logs():
        await asyncio.gather(write_in_a_read(), return_exceptions=True)

    assert (await wallet(store)).available_micros == eur("1.00")
    await post(store, topup("4.00"))
    assert (await wallet(store)).available_micros == eur("5.00")


async def test_reads_and_writes_can_be_told_apart(store: Store) -> None:
    async with store.read(NOW) as tx:
        assert not tx.writable
    async with store.write(NOW) as tx:
        assert tx.writable


async def test_two_servers_on_one_database_lose_no_update(store: Store, second_store: Store) -> None:
    await open_books(store)

    async def add(server: Store) -> None:
        for _ in range(ROUNDS):
            async with server.write(NOW) as tx:
                await add_the_next_amount(tx)

    await asyncio.gather(add(store), add(second_store))

    await assert_none_was_lost(store, 2 * ROUNDS)


async def test_two_processes_on_one_database_lose_no_update(store: Store, database: str) -> None:
    await open_books(store)
    command = [sys.executable, "-c", ANOTHER_PROCESS, database, str(ROUNDS)]
    processes = [
        await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=PROJECT)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        await process.stdout.readline()  # it has opened the database, and waits for the other

    ended = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))

    assert [process.returncode for process in processes] == [0, 0]
    assert ended == [(b"", b"")] * 2
    await assert_none_was_lost(store, 2 * ROUNDS)


async def test_concurrent_writers_on_one_server_each_read_what_the_one_before_wrote(store: Store) -> None:
    await open_books(store)

    async def add() -> None:
        async with store.write(NOW) as tx:
            await add_the_next_amount(tx)

    await asyncio.gather(*(add() for _ in range(50)))

    await assert_none_was_lost(store, 50)


async def test_a_database_that_others_hold_is_busy_and_works_again_afterwards(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LOCK_WAIT_S", 0)
    monkeypatch.setitem(engine._POSTGRESQL_SETTINGS, "lock_timeout", "10ms")
    store = await Store.open(database)
    await open_books(store)
    async with raw_connection(database) as run:
        await run("BEGIN")
        await run("UPDATE wallets SET available_micros = 0")
        with pytest.raises(Conflict) as busy:
            await post(store, topup("1.00"))
        await run("ROLLBACK")

    assert busy.value.code == "database_busy"
    assert await history(store) == []
    await post(store, topup("1.00"))
    assert (await wallet(store)).available_micros == eur("1.00")
    await store.close()


async def test_a_deadlock_gives_one_transaction_up_and_the_other_goes_on(postgresql_store: Store) -> None:
    for account_id in (ACCOUNT, OTHER):
        await open_books(postgresql_store, account_id=account_id)
    both_hold_one = asyncio.Barrier(2)

    async def lock(first: str, second: str) -> None:
        async with postgresql_store.write(NOW) as tx:
            await tx.accounts.get(first, lock=True)
            await both_hold_one.wait()
            await tx.accounts.get(second, lock=True)

    ended = await asyncio.gather(lock(ACCOUNT, OTHER), lock(OTHER, ACCOUNT), return_exceptions=True)

    assert [type(end) for end in ended if end is not None] == [TransactionAbortedError]


async def test_a_lost_connection_loses_its_transaction_only(postgresql: str, postgresql_store: Store) -> None:
    await open_books(postgresql_store, topup("1.00"))

    async def lose_the_connection() -> None:
        async with postgresql_store.write(NOW) as tx:
            await tx.ledger.post([topup("2.00")])
            async with raw_connection(postgresql) as run:
                await run(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND application_name = 'billing-mcp'"
                )
            await tx.ledger.post([topup("3.00")])

    with pytest.raises(Unavailable) as lost:
        await lose_the_connection()

    assert lost.value.code == "database_unavailable"
    await post(postgresql_store, topup("4.00"))
    assert [row.amount_micros for row in await history(postgresql_store)] == [eur("1.00"), eur("4.00")]
