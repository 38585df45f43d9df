"""The demo's past, lived once on each kind of database: for all tests that only look at it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from billing_mcp.demo.history import seed_demo
from billing_mcp.store.store import Store
from tests.conftest import fresh_database

BUSY_DAY = datetime(2026, 3, 12, 10, tzinfo=UTC)
MESSAGES = 400


@pytest.fixture(scope="session")
def lived_databases(
    migrated_sqlite: Path, postgresql_server: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """One of each kind, at BUSY_DAY, with MESSAGES messages."""

    async def live(database: str) -> None:
        store = await Store.open(database)
        try:
            assert await seed_demo(store, BUSY_DAY, messages=MESSAGES)
        finally:
            await store.close()

    file = shutil.copyfile(migrated_sqlite, tmp_path_factory.mktemp("lived") / "demo.db")
    found = {"sqlite": str(file), "postgresql": asyncio.run(fresh_database(postgresql_server))}
    for database in found.values():
        asyncio.run(live(database))
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def lived_database(request: pytest.FixtureRequest, lived_databases: dict[str, str]) -> str:
    """Each of them in turn."""
    return lived_databases[request.param]


@pytest.fixture
async def lived_store(lived_database: str) -> AsyncIterator[Store]:
    """Each of them in turn, open."""
    opened = await Store.open(lived_database)
    yield opened
    await opened.close()
