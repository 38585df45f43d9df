"""Owns what can be seen of a database without using it: for a check-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import from_epoch_us
from billing_mcp.store.engine import check_place, connected, create_sqlite_reader, create_writer, parse_database_url
from billing_mcp.store.migrate import revision
from billing_mcp.store.reading.sqlite import SQLiteSnapshots
from billing_mcp.store.tables import LedgerTransactionRow, WalletRow, table

_TRANSACTIONS = table(LedgerTransactionRow)
_WALLETS = table(WalletRow)
_PRAGMAS = ("journal_mode", "synchronous", "foreign_keys")
_EPOCH_S = "SELECT extract(epoch FROM clock_timestamp())::float8"


@dataclass(frozen=True, slots=True)
class Health:
    """What a database says of itself. `clock` is a server's own time; a file has none."""

    place: str
    server: str
    revision: str | None
    settings: Mapping[str, Any]
    newest_posting: datetime | None
    clock: datetime | None


async def look(database: str) -> Health:
    """Look at a database that exists. Raises BillingError when it cannot be reached."""
    url = parse_database_url(database)
    check_place(url)
    place = url.database if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite":
        snapshots = SQLiteSnapshots(create_sqlite_reader(url, size=1), size=1)
        try:
            async with snapshots.open() as snapshot:
                return await snapshot.with_connection(lambda connection: _look(connection, place or ""))
        finally:
            await snapshots.close()
    engine = create_writer(url)
    try:
        async with connected(engine) as connection:
            return await _look_at_server(connection, place or "")
    finally:
        await engine.dispose()


async def _look_at_server(connection: AsyncConnection, place: str) -> Health:
    return await connection.run_sync(_look, place)


def _look(connection: Connection, place: str) -> Health:
    sqlite = connection.dialect.name == "sqlite"

    def value(statement: str) -> Any:
        return connection.execute(text(statement)).scalar_one()

    newest = None
    if inspect(connection).has_table(_TRANSACTIONS.name):
        last = (_WALLETS.c.account_id == _TRANSACTIONS.c.account_id) & (_WALLETS.c.last_seq == _TRANSACTIONS.c.seq)
        latest = select(func.max(_TRANSACTIONS.c.created_at_us)).join_from(_WALLETS, _TRANSACTIONS, last)
        newest = connection.execute(latest).scalar_one()
    return Health(
        place=place,
        server=value("SELECT sqlite_version()" if sqlite else "SHOW server_version"),
        revision=revision(connection),
        settings={name: value(f"PRAGMA {name}") for name in _PRAGMAS} if sqlite else {},
        newest_posting=None if newest is None else from_epoch_us(newest),
        clock=None if sqlite else from_epoch_us(int(value(_EPOCH_S) * 1_000_000)),
    )
