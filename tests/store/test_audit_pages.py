"""A ledger of any length and any numbering is read page by page, and every row of it is verified."""

from __future__ import annotations

import pytest

from billing_mcp.store.audit import Finding, verify_books
from billing_mcp.store.store import Store
from tests.store.books import ACCOUNT, NOW, OTHER, audit, charge, forger, open_books, topup


async def test_progress_moves_within_one_large_account(store: Store) -> None:
    await open_books(store, *[topup("1.00")] * 2100)
    await open_books(store, topup("1.00", OTHER), account_id=OTHER)
    heard: list[tuple[int, int]] = []

    async with store.read(NOW) as tx:
        report = await verify_books(tx, progress=lambda done, of: heard.append((done, of)))

    assert report.findings == ()
    assert heard == [(1000, 2101), (2000, 2101), (2100, 2101), (2101, 2101)]


async def test_a_wrong_row_on_a_late_page_is_named(store: Store, database: str) -> None:
    await open_books(store, *[topup("1.00")] * 2100)
    async with forger(database) as run:
        await run("UPDATE ledger_transactions SET description = 'x' WHERE seq = $1", 2001)

    assert (await audit(store)).findings == (Finding(ACCOUNT, 2001, "its hash does not match what it says"),)


@pytest.mark.parametrize("seq", [-5, 0, 5, 10**18, 2**63 - 1])
async def test_a_row_is_found_whatever_number_somebody_gave_to_it(store: Store, database: str, seq: int) -> None:
    await open_books(store, topup("3.00"), charge("1.00"), topup("1.00"))
    async with forger(database) as run:
        copied = "transaction_id || 'x', type, direction, amount_micros, currency, status, description"
        balances = "balance_after_micros, available_after_micros, reserved_after_micros"
        columns = f"{copied}, effective_at_us, created_at_us, {balances}, line_items_json, previous_hash, hash, hold_id"
        await run(
            f"INSERT INTO ledger_transactions SELECT account_id, $1, NULL, {columns} "  # noqa: S608 - constants
            "FROM ledger_transactions WHERE seq = 3",
            seq,
        )

    report = await audit(store)

    assert report.transactions == 4
    assert [finding.seq for finding in report.findings] == [seq]


async def test_a_ledger_with_a_wide_gap_is_read_to_its_end(store: Store, database: str) -> None:
    await open_books(store, topup("3.00"), charge("1.00"), topup("1.00"))
    async with forger(database) as run:
        for table in ("ledger_entries", "ledger_transactions"):
            await run(f"UPDATE {table} SET seq = $1 WHERE seq = 3", 10**15)  # noqa: S608 - constants

    report = await audit(store)

    assert (report.transactions, report.entries) == (3, 6)
    assert report.findings == (Finding(ACCOUNT, 10**15, "seq 3 is missing"),)


async def test_entries_without_a_transaction_are_found_wherever_they_are(store: Store, database: str) -> None:
    await open_books(store, topup("3.00"))
    async with forger(database) as run:
        await run("INSERT INTO ledger_entries VALUES ($1, 10000000, 1, 'available', 1, 'EUR')", ACCOUNT)

    assert (await audit(store)).findings == (Finding(ACCOUNT, None, "the ledger has entries without a transaction"),)


@pytest.mark.parametrize("column", ["amount_micros", "created_at_us", "txn_seq", "available_after_micros"])
async def test_a_text_where_sqlite_should_have_a_number_is_found(sqlite_store: Store, sqlite: str, column: str) -> None:
    await open_books(sqlite_store, topup("3.00"), charge("1.00"), topup("1.00"))
    async with forger(sqlite) as run:
        await run(f"UPDATE ledger_transactions SET {column} = '1,\"seq\":2' WHERE seq = 2")  # noqa: S608 - constants

    (finding,) = (await audit(sqlite_store)).findings

    assert finding.seq == 2


async def test_line_items_that_say_the_same_in_other_bytes_are_not_what_was_sealed(store: Store, database: str) -> None:
    await open_books(store, topup("3.00"), charge("1.00"))
    async with forger(database) as run:
        await run("UPDATE ledger_transactions SET line_items_json = ' ' || line_items_json WHERE seq = 2")

    assert (await audit(store)).findings == (Finding(ACCOUNT, 2, "its hash does not match what it says"),)
