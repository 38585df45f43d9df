"""One chain of migrations: the same schema on both databases, applied once whoever comes first."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from asyncio.subprocess import PIPE
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlmodel import SQLModel

from billing_mcp.catalog.loader import default_catalog
from billing_mcp.domain.clock import to_epoch_us
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.ledger import Wallet, decide
from billing_mcp.operations.closing import close_ended
from billing_mcp.store import engine, migrate
from billing_mcp.store.migrate import HEAD, REVISIONS, upgrade_database
from billing_mcp.store.posting.rows import entry_rows, transaction_row
from billing_mcp.store.store import Store
from tests.store.books import (
    ACCOUNT,
    LIFE,
    NOW,
    OTHER,
    Run,
    audit,
    capture,
    charge,
    history,
    hold,
    open_books,
    post,
    raw_connection,
    release,
    topup,
)

THIRD = "0190c0de-0000-7000-8000-0000000000c3"
PROJECT = Path(__file__).parents[2]
OPENS = """
import asyncio, sys
from billing_mcp.store.store import Store

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    store = await Store.open(sys.argv[1])
    await store.close()

asyncio.run(main())
"""


@pytest.fixture
def empty(request: pytest.FixtureRequest, kind: str) -> str:
    """A database without any table, of each kind in turn."""
    url: str = request.getfixturevalue("sqlite" if kind == "sqlite" else "empty_postgresql")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", "billing_mcp.store:migrations")
    return ScriptDirectory.from_config(config)


async def tables_of(database: str) -> list[tuple[str]]:
    async with raw_connection(database) as run:
        if "://" in database:
            return await run("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
        return await run("SELECT name FROM sqlite_master")


def test_there_is_one_head_and_the_program_names_it() -> None:
    assert scripts().get_heads() == [HEAD]


def test_every_revision_follows_from_the_one_before() -> None:
    revisions = [revision.revision for revision in scripts().walk_revisions("base", "heads")]

    assert tuple(reversed(revisions)) == REVISIONS
    assert len(set(revisions)) == len(revisions) == len(list(Path(scripts().versions).glob("*.py")))


async def test_the_migrated_schema_is_that_of_the_models(store: Store) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, SQLModel.metadata))

    async with store._writer.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_the_migrated_keys_are_those_of_the_models(store: Store) -> None:
    def primary_keys(connection: Connection) -> dict[str, list[str]]:
        found = inspect(connection)
        return {name: found.get_pk_constraint(name)["constrained_columns"] for name in SQLModel.metadata.tables}

    async with store._writer.connect() as connection:
        keys = await connection.run_sync(primary_keys)

    assert keys == {
        name: [column.name for column in table.primary_key.columns] for name, table in SQLModel.metadata.tables.items()
    }
    assert {key[0] for key in keys.values()} == {"account_id", "principal_id", "key_id", "name", "series"}


async def test_books_of_the_first_schema_are_sound_after_the_upgrade_and_go_on(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as first:
        first.setattr(command, "upgrade", partial(_upgrade_to, "0001", command.upgrade))
        await upgrade_database(empty)
    wallet, transaction = decide(Wallet(ACCOUNT, "EUR"), topup("100.00"), now=NOW)
    row = transaction_row(transaction)[:-1]  # it had no hold_id
    async with raw_connection(empty) as run:
        await insert(run, "accounts", ACCOUNT, "Books", "active", "EUR", 0)
        await insert(run, "wallets", *astuple(wallet))
        await insert(run, "ledger_transactions", *row)
        for entry in entry_rows(transaction):
            await insert(run, "ledger_entries", *entry)

    assert await upgrade_database(empty) == ("0001", HEAD)

    store = await Store.open(empty)
    await post(store, hold("10.00"), capture("6.00"), release(), charge("1.00"))
    report = await audit(store)
    await store.close()
    assert (report.findings, report.transactions, report.holds) == ((), 5, 1)


async def test_accounts_that_owed_before_it_was_kept_since_when_owe_since_what_last_happened_to_them(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(command, "upgrade", partial(_upgrade_to, "0010", command.upgrade))
        await upgrade_database(empty)
    _, transaction = decide(Wallet(ACCOUNT, "EUR"), topup("100.00"), now=NOW)
    opened_us = to_epoch_us(NOW) - 1
    async with raw_connection(empty) as run:
        for account_id, status in ((ACCOUNT, "past_due"), (OTHER, "past_due"), (THIRD, "active")):
            await run(
                "INSERT INTO accounts (account_id, status, created_at_us, name, currency) "
                "VALUES ($1, $2, $3, 'Debtor', 'EUR')",
                *(account_id, status, opened_us),
            )
        await insert(run, "ledger_transactions", *transaction_row(transaction))

    await upgrade_database(empty)

    async with raw_connection(empty) as run:
        found = await run("SELECT account_id, status_since_us, dunning_due_us, reminders FROM accounts ORDER BY 1")
    assert found == [
        (ACCOUNT, opened_us + 1, opened_us + 1, 0),
        (OTHER, opened_us, opened_us, 0),
        (THIRD, None, None, 0),
    ]


async def test_what_was_billed_before_invoices_had_numbers_is_billed_no_second_time(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    march, april, may = (datetime(2026, month, 1, tzinfo=UTC) for month in (3, 4, 5))
    closed = april + timedelta(minutes=5)
    with monkeypatch.context() as earlier:
        earlier.setattr(command, "upgrade", partial(_upgrade_to, "0009", command.upgrade))
        await upgrade_database(empty)
    wallet, lived = Wallet(ACCOUNT, "EUR"), []
    for act, now in (
        (topup("100.00"), march),
        (charge("5.00"), march + timedelta(days=9)),
        (charge("3.00"), april + timedelta(minutes=1)),  # of April, and posted before March was closed
        (charge("29.00"), closed),  # March
        (charge("1.00"), april + timedelta(days=9)),
    ):
        wallet, transaction = decide(wallet, act, now=now)
        lived.append(transaction)
    first, last = (str(day.date()) if "://" not in empty else day.date() for day in (march, april))
    async with raw_connection(empty) as run:
        await insert(run, "accounts", ACCOUNT, "Books", "active", "EUR", to_epoch_us(march), None, None, False)
        await insert(run, "wallets", *astuple(wallet), None, None)
        await insert(run, "subscriptions", ACCOUNT, 1, last)
        await insert(run, "subscription_phases", ACCOUNT, first, "smtp_per_mailbox")
        for transaction in lived:
            await insert(run, "ledger_transactions", *transaction_row(transaction))
            for entry in entry_rows(transaction):
                await insert(run, "ledger_entries", *entry)
        billed = (29_000_000, 29_000_000, to_epoch_us(closed), first, last, "[]")
        await insert(run, "invoices", ACCOUNT, 1, "id", "paid", "EUR", *billed)

    await upgrade_database(empty)

    store = await Store.open(empty)
    async with store.write(may + timedelta(hours=1)) as tx:
        (issued,) = await close_ended(tx, default_catalog(), ACCOUNT)
        (_, before), _ = await tx.invoices.page(ACCOUNT, page=1, page_size=9)
    assert (before.number, issued.number) == ("INV-2026-000001", "INV-2026-000002")
    assert (issued.period_start, issued.period_end) == (april.date(), may.date())
    assert sorted(line.amount_micros for line in issued.lines) == [1_000_000, 3_000_000, 29_000_000]
    assert (await audit(store)).findings == ()
    await store.close()


def _upgrade_to(revision: str, upgrade: Callable[[Config, str], None], config: Config, _head: str) -> None:
    upgrade(config, revision)


async def insert(run: Run, table: str, *values: object) -> None:
    marks = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await run(f"INSERT INTO {table} VALUES ({marks})", *values)  # noqa: S608


async def test_an_upgrade_tells_what_it_found_and_doing_it_again_is_harmless(empty: str) -> None:
    assert await upgrade_database(empty) == (None, HEAD)
    store = await Store.open(empty)
    posted = await open_books(store, *LIFE)

    assert await upgrade_database(empty) == (HEAD, HEAD)

    assert await history(store, ACCOUNT) == list(posted)
    assert (await audit(store)).findings == ()
    await store.close()


async def test_an_upgrade_that_fails_leaves_the_database_as_it_was(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = migrate._run

    def fail_at_the_end(connection: Connection) -> None:
        original(connection)
        raise LookupError

    monkeypatch.setattr(migrate, "_run", fail_at_the_end)
    with pytest.raises(LookupError):
        await upgrade_database(empty)
    monkeypatch.undo()

    assert await tables_of(empty) == []
    assert await upgrade_database(empty) == (None, HEAD)


async def test_a_database_of_another_program_is_refused_and_left_as_it_was(empty: str) -> None:
    async with raw_connection(empty) as run:
        await run("CREATE TABLE recipes (name text)")
        before = await tables_of(empty)

        with pytest.raises(InvalidArgument, match="belongs to another program"):
            await upgrade_database(empty)

    assert await tables_of(empty) == before


async def test_tasks_that_upgrade_one_database_at_once_do_it_once(empty: str) -> None:
    done = await asyncio.gather(*(upgrade_database(empty) for _ in range(8)), return_exceptions=True)

    assert sorted(done, key=str) == [(HEAD, HEAD)] * 7 + [(None, HEAD)]


@pytest.mark.parametrize("writer", range(3))
async def test_tasks_that_open_one_new_sqlite_file_at_once_all_succeed(sqlite: str, writer: int) -> None:
    ended = await asyncio.gather(*(Store.open(sqlite) for _ in range(8)), return_exceptions=True)

    stores = [store for store in ended if isinstance(store, Store)]
    await open_books(stores[writer], *LIFE)
    ledgers = [await history(store, ACCOUNT) for store in stores]
    await asyncio.gather(*(store.close() for store in stores))
    assert [len(ledger) for ledger in ledgers] == [len(LIFE)] * 8


def test_the_first_connections_to_a_new_sqlite_file_wait_for_each_other(tmp_path: Path) -> None:
    """Of several that begin its log at once, SQLite refuses all but one without waiting."""
    start = threading.Barrier(8)

    def connect(file: Path) -> None:
        reader = engine.create_sqlite_reader(engine.parse_database_url(str(file)), size=1)
        start.wait()
        reader.connect().close()
        reader.dispose()

    with ThreadPoolExecutor(8) as threads:
        for number in range(100):
            list(threads.map(connect, [tmp_path / f"{number}.db"] * 8))


async def test_processes_that_open_one_new_sqlite_file_at_once_all_succeed(sqlite: str) -> None:
    command = [sys.executable, "-c", OPENS, sqlite]
    processes = [
        await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=PROJECT)
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdout is not None
        await process.stdout.readline()  # it has started, and waits for the others

    ended = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))

    assert ended == [(b"", b"")] * 8
    assert [process.returncode for process in processes] == [0] * 8
    assert await upgrade_database(sqlite) == (HEAD, HEAD)


async def test_whoever_opens_a_file_that_another_is_upgrading_waits_longer_than_for_any_other_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engine._SQLITE_OPTIONS, "timeout", 0.01)
    file = tmp_path / "new.db"
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("BEGIN IMMEDIATE")

    opening = asyncio.create_task(Store.open(str(file)))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(opening), 0.3)
    other.execute("ROLLBACK")

    await (await opening).close()
    other.close()


async def test_an_upgrade_may_take_longer_than_any_other_statement(
    empty_postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engine._POSTGRESQL_SETTINGS, "statement_timeout", "1ms")
    monkeypatch.setitem(engine._POSTGRESQL_CONNECT, "command_timeout", 0.001)

    assert await upgrade_database(empty_postgresql) == (None, HEAD)
