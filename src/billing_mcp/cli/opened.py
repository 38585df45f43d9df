"""Owns opening the store, or the whole app, for the length of a command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from billing_mcp.app import App
from billing_mcp.cli.common import settings_with
from billing_mcp.settings import Settings
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
