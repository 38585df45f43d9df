"""Servers that may be killed, and time limits that a test can wait for."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from billing_mcp.store import engine
from billing_mcp.store.posting.group import CAPACITY
from billing_mcp.store.store import Store
from tests.faults.ground import OpenStore
from tests.faults.servers import Server


@pytest.fixture(scope="session")
def mortal_server() -> Iterator[Server]:
    """A PostgreSQL server for tests that kill it."""
    folder = Path(tempfile.mkdtemp(prefix="billing-pg-mortal-"))
    server = Server(folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def server(mortal_server: Server) -> Server:
    """A running server with a fresh database."""
    if not mortal_server.runs:
        await mortal_server.start()
    await mortal_server.renew_database()
    return mortal_server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every time limit of the engine is a second or two, so that a test can see what comes after it."""
    for limit in ("timeout", "command_timeout"):
        monkeypatch.setitem(engine._POSTGRESQL_CONNECT, limit, 2)
    monkeypatch.setattr(engine, "PING_S", 1)
    monkeypatch.setitem(engine._POSTGRESQL_SETTINGS, "lock_timeout", "1s")
    monkeypatch.setitem(engine._POSTGRESQL_SETTINGS, "idle_in_transaction_session_timeout", "2s")
    monkeypatch.setitem(engine._SQLITE_OPTIONS, "timeout", 1)


@pytest.fixture
async def open_store() -> AsyncIterator[OpenStore]:
    """Opens stores when a test has set what they begin with, and closes them whatever becomes of it."""
    opened: list[Store] = []

    async def open_store(database: str, *, capacity: int = CAPACITY) -> Store:
        opened.append(await Store.open(database, capacity=capacity))
        return opened[-1]

    yield open_store
    for store in opened:
        await store.close()
