"""Owns asking for rows alike in a snapshot and in a transaction that writes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.store.reading.postgresql import PostgreSQLSnapshot
from billing_mcp.store.reading.query import Rows
from billing_mcp.store.reading.sqlite import SQLiteSnapshot

Snapshot = SQLiteSnapshot | PostgreSQLSnapshot


async def fetch(connection: AsyncConnection | Snapshot, *statements: Select[Any], **parameters: Any) -> list[Rows]:
    """The rows of several statements with the same parameters, as fast as the database allows.

    The statements must be constants of their modules: a snapshot keeps them ready.
    """
    if isinstance(connection, Snapshot):
        return await connection.fetch(statements, parameters)
    return [(await connection.execute(each, parameters)).all() for each in statements]


async def fetch_many(connection: AsyncConnection | Snapshot, *statements: Select[Any], **parameters: Any) -> list[Rows]:
    """The same, for statements that find many rows: whoever else waits is served meanwhile."""
    if isinstance(connection, Snapshot):
        return await connection.fetch_many(statements, parameters)
    return [(await connection.execute(each, parameters)).all() for each in statements]
