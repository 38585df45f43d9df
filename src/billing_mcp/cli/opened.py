"""Owns opening the store, or the whole app, for the length of a command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from billing_mcp.app import App
from billing_mcp.cli.common import settings_with
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.settings import Settings
from billing_mcp.store.engine import parse_database_url
from billing_mcp.store.files import beside, same
from billing_mcp.store.store import Store


@asynccontextmanager
async def open_store(database: str | None) -> AsyncIterator[tuple[Store, Settings]]:
    """The store of the settings, for commands that run no script."""
    settings = settings_with(database=database)
    settings.ensure_database_folder()
    store = await Store.open(settings.database)
    try:
        yield store, settings
    finally:
        await store.close()


@asynccontextmanager
async def open_app(database: str | None) -> AsyncIterator[App]:
    """The app of the settings."""
    async with App.open(settings_with(database=database)) as app:
        yield app


def check_not_the_database(file: Path, settings: Settings) -> None:
    """Raise InvalidArgument for a file to write that is the database itself, or beside it."""
    url = parse_database_url(settings.database)
    if url.get_backend_name() == "sqlite" and url.database:
        database = Path(url.database).resolve()
        if any(same(file, path) for path in (database, *beside(database))):
            raise InvalidArgument(f"{file} is the database itself", field="file", hint="Give another file.")
