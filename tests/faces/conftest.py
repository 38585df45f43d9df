"""A database with the demo's accounts, for the server processes of these tests."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from billing_mcp.app import App
from billing_mcp.settings import Settings
from tests.conftest import Clock
from tests.faces.platform import PlatformClient, platform_client
from tests.faces.sender import Sender
from tests.faces.server import billing_mcp
from tests.world import World


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the demo's accounts, closed."""
    path = tmp_path_factory.mktemp("demo") / "demo.db"
    billing_mcp("demo", "--seed-only", "--messages", "100", "--database", str(path))
    return path


@pytest.fixture
def demo(seeded: Path, sqlite: str) -> str:
    """A copy of it for one test."""
    return str(shutil.copy(seeded, sqlite))


@pytest.fixture
async def platform(app: App) -> AsyncIterator[PlatformClient]:
    """A server of the platform that talks to the app, on each kind of database in turn."""
    async with platform_client(app) as client:
        yield client


@pytest.fixture
async def elsewhere(database: str, app: App, clock: Clock) -> AsyncIterator[PlatformClient]:
    """The same server of the platform, talking to another app on the same database."""
    assert app.store.url.database  # it is open, and its schema is there
    async with (
        App.open(Settings(database=database, workers=1), clock=clock) as second,
        platform_client(second) as client,
    ):
        yield client


@pytest.fixture
async def other_platform(app: App) -> AsyncIterator[PlatformClient]:
    """A server of another platform that talks to the same app."""
    async with platform_client(app, "platform_2", "bmpk_87654321_another-secret") as client:
        yield client


@pytest.fixture
async def sender(platform: PlatformClient, world: World) -> Sender:
    return Sender(platform, await world.account(funds="10.00"))
