"""Databases in the states that tests of the store begin with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count

import asyncpg
import pytest

from billing_mcp.store.store import Store
from tests.store.traffic import Platform

_names = count(1)


@pytest.fixture
async def empty_postgresql(postgresql_server: str) -> str:
    """The URL of a PostgreSQL database without any table."""
    name = f"billing_empty_{next(_names)}"
    connection = await asyncpg.connect(postgresql_server)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return postgresql_server.replace("/postgres?", f"/{name}?")


@pytest.fixture
async def second_store(database: str, store: Store) -> AsyncIterator[Store]:
    """Another server on the database of `store`."""
    assert store.url.database  # it is open, and its schema is there
    second = await Store.open(database)
    yield second
    await second.close()


@pytest.fixture
async def sqlite_store(fresh_sqlite: str) -> AsyncIterator[Store]:
    """An open store on SQLite, where a test is about SQLite alone."""
    opened = await Store.open(fresh_sqlite)
    yield opened
    await opened.close()


@pytest.fixture
async def postgresql_store(postgresql: str) -> AsyncIterator[Store]:
    """An open store on PostgreSQL, where a test is about PostgreSQL alone."""
    opened = await Store.open(postgresql)
    yield opened
    await opened.close()


@pytest.fixture
async def platform(store: Store) -> Platform:
    """A platform that sends messages from two accounts, on each kind of database in turn."""
    return await Platform.open(store)
