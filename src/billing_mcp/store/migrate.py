"""Owns the schema's version: one chain of Alembic migrations for both databases."""

from __future__ import annotations

import time

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from billing_mcp.domain.errors import Conflict, InvalidArgument, Unavailable
from billing_mcp.store.engine import check_place, connected, create_writer, parse_database_url, translated
from billing_mcp.store.reading.sqlite import SQLiteSnapshots

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011", "0012", "0013")
"""Every revision in `migrations/versions`, oldest first."""
HEAD = REVISIONS[-1]

_UPGRADE_LOCK = 7_210_316_450_001
_UPGRADE_WAIT_S = 60


async def ensure_sqlite_schema(snapshots: SQLiteSnapshots, writer: AsyncEngine) -> None:
    """Upgrade the file when needed.

    It looks with a reader: opening a database that is up to date waits for no writer. While another process
    upgrades the file, which takes longer than others wait for it, this one looks again and again.
    """
    patience = time.monotonic() + _UPGRADE_WAIT_S
    while await _revision_in(snapshots) != HEAD:
        try:
            async with connected(writer) as connection:
                await _upgrade(connection)
        except Conflict:
            if time.monotonic() > patience:
                raise


async def _revision_in(snapshots: SQLiteSnapshots) -> str | None:
    with translated():
        return await snapshots.run(lambda: _revision_of(snapshots.engine))


async def require_schema(engine: AsyncEngine) -> None:
    """Raise Unavailable unless the schema is this version's. A server's database is upgraded on purpose."""
    async with connected(engine) as connection:
        current = await connection.run_sync(revision)
        await connection.rollback()
    if current != HEAD:
        check_known(current)
        raise Unavailable(
            f"the database has schema {current or 'none'}, this program needs {HEAD}",
            code="schema_outdated",
            hint="Run: billing-mcp db upgrade --database URL",
        )


async def upgrade_database(database: str) -> tuple[str | None, str]:
    """Bring a database to this version's schema. Returns the revision before and after.

    Raises InvalidArgument for a wrong URL, and Unavailable when it cannot be reached.
    """
    url = parse_database_url(database)
    check_place(url)
    engine = create_writer(url, patient=True)
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
    before = await connection.run_sync(revision)
    check_known(before)
    if before is None and await connection.run_sync(_has_tables):
        raise InvalidArgument(
            "the database belongs to another program: it has tables, and none of them is ours",
            code="invalid_database",
            field="database",
            hint="Give another file or an empty database.",
        )
    await connection.run_sync(_run)
    await connection.commit()
    return before, HEAD


def _has_tables(connection: Connection) -> bool:
    return bool(inspect(connection).get_table_names())


def check_known(revision: str | None) -> None:
    """Raise Unavailable for a schema that this version does not know: a newer one has made it."""
    if revision not in (None, *REVISIONS):
        raise Unavailable(
            f"the database has schema {revision}, made by a newer version of this program",
            code="schema_outdated",
            hint="Install that version, or give another database.",
        )


def _revision_of(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return revision(connection)


def revision(connection: Connection) -> str | None:
    """The schema's revision, None where there is no schema of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _run(connection: Connection) -> None:
    # Every command looks at the revision, and hardly any upgrades it: only that waits for this import.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "billing_mcp.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
