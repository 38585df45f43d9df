"""What is in the ledger stays: the database itself refuses to change or delete it."""

from __future__ import annotations

import sqlite3
from typing import Any

import asyncpg
import pytest

from billing_mcp.store.store import Store
from tests.store.books import LIFE, NOW, Run, audit, carry_out, open_books, raw_connection

STATEMENTS = (
    "UPDATE ledger_transactions SET amount_micros = 1",
    "UPDATE ledger_transactions SET description = description WHERE seq = 3",
    "UPDATE ledger_transactions SET hash = '0' WHERE seq = 6",
    "DELETE FROM ledger_transactions",
    "DELETE FROM ledger_transactions WHERE seq = 6",
    "UPDATE ledger_entries SET amount_micros = amount_micros + 1",
    "UPDATE ledger_entries SET ledger_account = 'tax' WHERE ledger_account = 'revenue'",
    "DELETE FROM ledger_entries",
    "DELETE FROM ledger_entries WHERE seq = 6 AND line = 2",
)
UPSERTS = (
    """
    INSERT INTO ledger_transactions SELECT * FROM ledger_transactions WHERE seq = 6
    ON CONFLICT (account_id, seq) DO UPDATE SET amount_micros = 1
    """,
    """
    INSERT INTO ledger_entries SELECT * FROM ledger_entries WHERE seq = 6
    ON CONFLICT (account_id, seq, line) DO UPDATE SET amount_micros = 1
    """,
)
TRUNCATES = (
    "TRUNCATE ledger_entries",
    "TRUNCATE ledger_transactions, ledger_entries",
    "TRUNCATE ledger_transactions CASCADE",
    "TRUNCATE accounts CASCADE",
)


async def all_rows(run: Run) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    transactions = await run("SELECT * FROM ledger_transactions ORDER BY account_id, seq")
    return transactions, await run("SELECT * FROM ledger_entries ORDER BY account_id, seq, line")


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_the_database_refuses_to_change_or_delete_the_ledger(store: Store, database: str, statement: str) -> None:
    await open_books(store, *LIFE)
    async with raw_connection(database) as run:
        before = await all_rows(run)

        with pytest.raises((sqlite3.IntegrityError, asyncpg.RaiseError), match="is append-only"):
            await run(statement)

        assert await all_rows(run) == before
    assert (await audit(store)).findings == ()


@pytest.mark.parametrize("statement", TRUNCATES)
async def test_postgresql_refuses_to_truncate_the_ledger(
    postgresql: str, postgresql_store: Store, statement: str
) -> None:
    await open_books(postgresql_store, *LIFE)
    async with raw_connection(postgresql) as run:
        before = await all_rows(run)

        with pytest.raises(asyncpg.RaiseError, match="is append-only"):
            await run(statement)

        assert await all_rows(run) == before


@pytest.mark.parametrize("statement", UPSERTS)
async def test_a_row_that_is_there_cannot_be_written_over(store: Store, database: str, statement: str) -> None:
    await open_books(store, *LIFE)
    async with raw_connection(database) as run:
        before = await all_rows(run)

        with pytest.raises((sqlite3.IntegrityError, asyncpg.RaiseError), match="is append-only"):
            await run(statement)

        assert await all_rows(run) == before


async def test_the_ledger_still_takes_new_rows_after_a_refusal(store: Store, database: str) -> None:
    await open_books(store, *LIFE[:3])
    async with raw_connection(database) as run:
        with pytest.raises((sqlite3.IntegrityError, asyncpg.RaiseError)):
            await run("DELETE FROM ledger_entries")

    async with store.write(NOW) as tx:
        await carry_out(tx, *LIFE[3:])

    assert (await audit(store)).transactions == len(LIFE)
