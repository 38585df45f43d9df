"""Owns the schema's version: one chain of Alembic migrations for both databases."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.errors import Unavailable
from billing_mcp.store.engine import connected, create_writer, parse_database_url

HEAD = "0001"
"""The newest revision in `migrations/versions`."""

_UPGRADE_LOCK = 7_210_316_450_001


async def ensure_schema(connection: AsyncConnection) -> None:
    """On SQLite, upgrade when needed. On PostgreSQL, raise Unavailable unless up to date."""
    current = await connection.run_sync(_revision)
    await connection.rollback()
    if current == HEAD:
        return
    if connection.dialect.name == "sqlite":
        await _upgrade(connection)
        return
    raise Unavailable(
        f"the database has schema {current or 'none'}, this program needs {HEAD}",
        code="schema_outdated",
        hint="Run: billing-mcp db upgrade --database URL",
    )


async def upgrade_database(database: str) -> tuple[str | None, str]:
    """Bring a database to this version's schema. Returns the revision before and after.

    Raises InvalidArgument for a wrong URL, and Unavailable when it cannot be reached.
    """
    engine = create_writer(parse_database_url(database))
    try:
        async with connected(engine) as connection:
            return await _upgrade(connection)
    finally:
        await engine.dispose()


async def _upgrade(connection: AsyncConnection) -> tuple[str | None, str]:
    """Apply what is missing in one transaction. Returns the revision before and after.

    Processes that start together take turns: on SQLite by BEGIN IMMEDIATE, on PostgreSQL by
    an advisory lock.
    """
    await connection.begin()
    if connection.dialect.name == "postgresql":
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})"))
    before = await connection.run_sync(_revision)
    await connection.run_sync(_run)
    await connection.commit()
    return before, HEAD


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _run(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "billing_mcp.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
