"""Opening a database: what is refused and how, and what holds on every connection."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from billing_mcp.domain.errors import InvalidArgument, NotFound, Unavailable
from billing_mcp.store import migrate
from billing_mcp.store.engine import parse_database_url
from billing_mcp.store.migrate import upgrade_database
from billing_mcp.store.reading.sqlite import SQLiteSnapshots
from billing_mcp.store.store import Store
from tests.sockets import listening
from tests.store.books import ACCOUNT, NOW, open_books, raw_connection, topup, wallet

SECRET = "s3cret-pa55"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "url",
    [
        "",
        ":memory:",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        f"mysql://root:{SECRET}@host/billing",
        f"oracle+nothing://root:{SECRET}@host/billing",
        f"http://user:{SECRET}@host/billing",
        f"://user:{SECRET}@host/billing",
        f"not a scheme://user:{SECRET}@host",
        f"postgresql://user:{SECRET}@host:port/billing",
        f"postgresql://user:{SECRET}@host/billing?application_name=mine",
        "sqlite:///billing.db?mode=memory",
    ],
)
async def test_what_is_no_file_and_no_postgresql_is_refused_without_telling_secrets(url: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await Store.open(url)

    error = refused.value
    assert (error.code, error.field) == ("invalid_database", "database")
    assert error.hint is not None
    assert "sqlite:///" in error.message
    assert SECRET not in f"{error} {error.hint}"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://somebody:{SECRET}@127.0.0.1:1/ledger",
        f"postgresql://somebody:{SECRET}@127.0.0.1:1",
        f"postgresql://somebody:{SECRET}@no-such-host.invalid/ledger",
        f"postgresql://somebody:{SECRET}@/ledger?host=/no/such/folder",
    ],
)
async def test_a_postgresql_that_cannot_be_reached_is_unavailable_and_no_secret_is_told(url: str) -> None:
    with capture_logs() as logs, pytest.raises(Unavailable) as unreachable:
        async with asyncio.timeout(8):
            await Store.open(url)

    error = unreachable.value
    assert error.code == "database_unavailable"
    assert error.hint is not None
    for detail in (SECRET, "somebody", "ledger", "127.0.0.1", "no-such-host", "folder"):
        assert detail not in f"{error} {error.hint} {logs}"


async def test_a_postgresql_server_that_hangs_up_is_unavailable() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with listening(hang_up) as port:
        with capture_logs() as logs, pytest.raises(Unavailable) as unreachable:
            await Store.open(f"postgresql://somebody:{SECRET}@127.0.0.1:{port}/ledger")

    assert unreachable.value.code == "database_unavailable"
    assert SECRET not in f"{unreachable.value} {logs}"


async def test_a_postgresql_database_or_role_that_does_not_exist_is_unavailable(postgresql_server: str) -> None:
    nowhere = postgresql_server.replace("/postgres?", "/nowhere?")
    nobody = postgresql_server.replace("//postgres:", f"//nobody:{SECRET}")
    for url in (nowhere, nobody):
        with capture_logs() as logs, pytest.raises(Unavailable) as missing:
            await Store.open(url)
        assert missing.value.code == "database_unavailable"
        assert SECRET not in f"{missing.value} {logs}"


@pytest.fixture
async def tidy() -> AsyncIterator[None]:
    """Keeps the loop until the driver's threads have ended: one that could not open a file reports back late."""
    yield
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join)


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("name", ["missing/billing.db", "."])
async def test_a_sqlite_file_that_cannot_be_opened_is_unavailable(tmp_path: Path, name: str) -> None:
    with capture_logs(), pytest.raises(Unavailable, match="cannot be opened") as missing:
        await Store.open(str(tmp_path / name))

    assert missing.value.code == "database_unavailable"
    assert names_in(tmp_path) == []


@pytest.mark.usefixtures("tidy")
async def test_a_file_that_is_no_database_is_unavailable_and_left_as_it_is(tmp_path: Path) -> None:
    letter = "Dear Sir or Madam, this is a letter. " * 100
    path = tmp_path / "billing.db"
    path.write_text(letter)

    with capture_logs(), pytest.raises(Unavailable, match="is not a SQLite database"):
        await Store.open(str(path))

    assert path.read_text() == letter


@pytest.mark.parametrize(
    ("text_", "drivername", "database"),
    [
        ("billing.db", "sqlite+aiosqlite", "billing.db"),
        ("/var/lib/billing.db", "sqlite+aiosqlite", "/var/lib/billing.db"),
        ("sqlite:////var/lib/billing.db", "sqlite+aiosqlite", "/var/lib/billing.db"),
        ("sqlite+pysqlite:///billing.db", "sqlite+aiosqlite", "billing.db"),
        ("~/billing.db", "sqlite+aiosqlite", str(Path.home() / "billing.db")),
        ("postgres://user@host/billing", "postgresql+asyncpg", "billing"),
        ("postgresql://user@host/billing", "postgresql+asyncpg", "billing"),
        ("postgresql+psycopg://user@host:5433/billing", "postgresql+asyncpg", "billing"),
    ],
)
def test_a_path_or_url_is_one_of_two_databases(text_: str, drivername: str, database: str) -> None:
    url = parse_database_url(text_)

    assert (url.drivername, url.database) == (drivername, database)


def test_libpq_s_name_for_encryption_is_understood() -> None:
    url = parse_database_url("postgresql://user@host/billing?sslmode=require&port=5433")

    assert dict(url.query) == {"ssl": "require", "port": "5433"}


async def test_a_new_sqlite_file_is_created_and_ready(sqlite: str) -> None:
    store = await Store.open(sqlite)
    await open_books(store, topup("1.00"))
    await store.close()

    again = await Store.open(f"sqlite:///{sqlite}")
    assert (await wallet(again)).available_micros == 1_000_000
    await again.close()


async def test_a_closed_sqlite_database_is_one_file_again(sqlite: str) -> None:
    store = await Store.open(sqlite)
    await open_books(store, topup("1.00"))
    await wallet(store)

    await store.close()

    assert names_in(Path(sqlite).parent) == ["billing.db"]


async def test_a_postgresql_database_without_a_schema_is_outdated_and_left_alone(empty_postgresql: str) -> None:
    with pytest.raises(Unavailable) as outdated:
        await Store.open(empty_postgresql)

    assert outdated.value.code == "schema_outdated"
    assert "billing-mcp db upgrade" in str(outdated.value.hint)
    async with raw_connection(empty_postgresql) as run:
        assert await run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []


async def test_a_postgresql_database_of_an_older_version_is_outdated(
    postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "REVISIONS", (*migrate.REVISIONS, "9999"))
    monkeypatch.setattr(migrate, "HEAD", "9999")

    with pytest.raises(Unavailable, match=f"has schema {migrate.REVISIONS[-2]}, this program needs 9999") as outdated:
        await Store.open(postgresql)

    assert outdated.value.code == "schema_outdated"
    assert "billing-mcp db upgrade" in str(outdated.value.hint)


@pytest.mark.usefixtures("store")
async def test_a_database_of_a_newer_version_is_left_alone(database: str) -> None:
    async with raw_connection(database) as run:
        await run("UPDATE alembic_version SET version_num = '9999'")
        for attempt in (Store.open, upgrade_database):
            with pytest.raises(Unavailable, match="newer version") as newer:
                await attempt(database)
            assert newer.value.code == "schema_outdated"
        assert await run("SELECT version_num FROM alembic_version") == [("9999",)]


async def setting(engine: AsyncEngine, statement: str) -> object:
    async with engine.connect() as connection:
        return (await connection.execute(text(statement))).scalar_one()


async def test_sqlite_connections_are_durable_and_check_foreign_keys(sqlite_store: Store) -> None:
    pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    async with sqlite_store.read(NOW) as snapshot, sqlite_store.write(NOW) as writing:
        for tx in (snapshot, writing):
            values = [(await tx._connection.execute(text(f"PRAGMA {pragma}"))).scalar_one() for pragma in pragmas]
            assert values == ["wal", 2, 1, 5_000]


async def test_the_sqlite_driver_begins_no_transaction_by_itself(sqlite_store: Store) -> None:
    async with sqlite_store._writer.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        assert driver.isolation_level is None
    assert isinstance(sqlite_store._snapshots, SQLiteSnapshots)
    with sqlite_store._snapshots.engine.connect() as reader:
        assert reader.connection.driver_connection is not None
        assert reader.connection.driver_connection.isolation_level is None


async def test_every_sqlite_reader_is_configured_like_the_first(sqlite_store: Store) -> None:
    async with (
        sqlite_store.read(NOW) as a,
        sqlite_store.read(NOW) as b,
        sqlite_store.read(NOW) as c,
        sqlite_store.read(NOW) as d,
    ):
        for reader in (a, b, c, d):
            for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
                assert (await reader._connection.execute(text(f"PRAGMA {pragma}"))).scalar_one() == value


async def test_a_sqlite_writer_holds_the_write_lock_before_its_first_statement(
    sqlite: str, sqlite_store: Store
) -> None:
    file = sqlite3.connect(sqlite, isolation_level=None, timeout=0)
    async with sqlite_store.write(NOW):
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            file.execute("BEGIN IMMEDIATE")
    file.execute("BEGIN IMMEDIATE")
    file.close()


async def test_postgresql_connections_bound_every_wait(postgresql_store: Store) -> None:
    expected = {
        "lock_timeout": "5s",
        "statement_timeout": "15s",
        "idle_in_transaction_session_timeout": "20s",
        "application_name": "billing-mcp",
    }
    assert {name: await setting(postgresql_store._writer, f"SHOW {name}") for name in expected} == expected
    async with postgresql_store.read(NOW) as tx:
        found = {name: (await tx._connection.execute(text(f"SHOW {name}"))).scalar_one() for name in expected}
        assert found == expected


async def test_postgresql_reads_are_repeatable_and_writes_are_not_read_only_after_them(postgresql_store: Store) -> None:
    statements = ("SHOW transaction_isolation", "SHOW transaction_read_only")
    for _ in range(2):
        async with postgresql_store.read(NOW) as tx:
            values = [(await tx._connection.execute(text(statement))).scalar_one() for statement in statements]
            assert values == ["repeatable read", "on"]
        async with postgresql_store.write(NOW) as tx:
            values = [(await tx._connection.execute(text(statement))).scalar_one() for statement in statements]
            assert values == ["read committed", "off"]


async def test_a_store_that_was_closed_can_be_opened_again(database: str) -> None:
    for _ in range(2):
        store = await Store.open(database)
        async with store.read(NOW) as tx:
            with pytest.raises(NotFound):
                await tx.accounts.get(ACCOUNT)
        await store.close()


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_was_taken_away_takes_no_changes(sqlite: str, sqlite_store: Store, replaced: bool) -> None:
    elsewhere = shutil.move(sqlite, f"{sqlite}.elsewhere")
    if replaced:
        shutil.copy(elsewhere, sqlite)

    with pytest.raises(Unavailable, match="gone") as refused:
        async with sqlite_store.write(NOW):
            pass

    assert refused.value.code == "database_unavailable"
    shutil.move(elsewhere, sqlite)
    async with sqlite_store.write(NOW):
        pass
