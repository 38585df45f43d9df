"""Forgeries that reach beside the chain, and writes that reach beside the rules."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from billing_mcp.domain.errors import BillingError, NotFound
from billing_mcp.domain.ledger import chain_hash
from billing_mcp.store.store import Store
from tests.store.books import (
    ACCOUNT,
    LIFE,
    NOW,
    audit,
    forger,
    history,
    open_books,
    post,
    raw_connection,
    topup,
)  # fmt: skip
from tests.store.test_append_only import all_rows
from tests.store.test_audit import open_three_accounts

_COLUMNS = (
    "direction, 1, currency, status, description, effective_at_us, created_at_us, balance_after_micros, "
    "available_after_micros, reserved_after_micros, line_items_json, previous_hash, hash, hold_id"
)
REPLACES = (
    "REPLACE INTO ledger_entries SELECT account_id, seq, line, ledger_account, 1, currency FROM ledger_entries",
    (
        f"REPLACE INTO ledger_transactions SELECT account_id, seq, txn_seq, transaction_id, type, {_COLUMNS} "
        f"FROM ledger_transactions"
    ),
)
MINE = "account_id LIKE '%a1'"


@pytest.mark.parametrize("statement", REPLACES)
async def test_sqlite_refuses_to_replace_a_row_of_the_ledger(sqlite: str, sqlite_store: Store, statement: str) -> None:
    await open_books(sqlite_store, *LIFE)
    async with raw_connection(sqlite) as run:
        before = await all_rows(run)
        with pytest.raises(sqlite3.IntegrityError, match="is append-only"):
            await run(statement)
        assert await all_rows(run) == before


@pytest.mark.parametrize(
    "change",
    ["line_items_json = 'x'", "line_items_json = '[{\"x\": 1}]'", "effective_at_us = 9000000000000000000"],
)
async def test_a_row_that_cannot_be_read_is_named(store: Store, database: str, change: str) -> None:
    await open_three_accounts(store)
    async with forger(database) as run:
        await run(f"UPDATE ledger_transactions SET {change} WHERE seq = 5 AND {MINE}")
    (finding,) = (await audit(store)).findings
    assert (finding.account_id, finding.seq) == (ACCOUNT, 5)


@pytest.mark.parametrize(
    "statements",
    [
        [f"DELETE FROM wallets WHERE {MINE}"],
        [f"UPDATE wallets SET currency = 'USD' WHERE {MINE}"],
        [f"INSERT INTO ledger_entries VALUES ('{ACCOUNT}', 99, 1, 'revenue', 5, 'EUR')"],
        [f"DELETE FROM {each} WHERE {MINE}" for each in ("billing_cycles", "wallets", "accounts")],
    ],
    ids=["no wallet", "another currency", "entries without a transaction", "a ledger without an account"],
)
async def test_what_is_beside_the_chain_is_found(store: Store, database: str, statements: list[str]) -> None:
    await open_three_accounts(store)
    async with forger(database) as run:
        for statement in statements:
            await run(statement)
    (finding,) = (await audit(store)).findings
    assert finding.account_id == ACCOUNT


@pytest.mark.parametrize("changes", [{"amount_micros": 1}, {"direction": "debit"}, {"currency": "USD"}])
async def test_an_amount_that_is_not_that_of_its_entries_is_found_even_when_sealed_again(
    store: Store, database: str, changes: dict[str, Any]
) -> None:
    await open_three_accounts(store)
    forged = replace((await history(store))[-1], **changes)
    async with forger(database) as run:
        await run(
            "UPDATE ledger_transactions SET amount_micros = $1, direction = $2, currency = $3, hash = $4 "
            "WHERE seq = 6 AND account_id = $5",
            forged.amount_micros, forged.direction, forged.currency, chain_hash(forged), ACCOUNT,
        )  # fmt: skip
        await run("UPDATE wallets SET head_hash = $1 WHERE account_id = $2", chain_hash(forged), ACCOUNT)
    (finding,) = (await audit(store)).findings
    assert (finding.account_id, finding.seq) == (ACCOUNT, 6)


async def test_a_posting_on_an_unknown_account_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        await post(store, topup("1.00"))


async def test_a_read_refuses_to_write(store: Store) -> None:
    await open_books(store)

    async def write() -> None:
        async with store.read(NOW) as tx:
            await tx.ledger.post([topup("1.00")])

    with pytest.raises(BillingError):
        await write()
