"""`billing-mcp audit` and `db`: proof that the books are sound, and the schema they are kept in."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from billing_mcp.store.migrate import HEAD
from tests.cli.conftest import LOGISTICS, MAIL, STUDIO, Cli

ENTRY = "UPDATE ledger_entries SET amount_micros = amount_micros + 1 WHERE account_id = ? AND seq = ?"
TEXT = "UPDATE ledger_transactions SET description = 'other' WHERE account_id = ? AND seq = ?"
OTHER_BUCKET = """
UPDATE ledger_entries SET ledger_account = 'reserved' WHERE account_id = ? AND seq = ? AND ledger_account = 'available'
"""
NO_ENTRIES = "DELETE FROM ledger_entries WHERE account_id = ? AND seq = ?"
NO_TRANSACTION = "DELETE FROM ledger_transactions WHERE account_id = ? AND seq = ?"


def _corrupt(database: str, *changes: tuple[str, tuple[str | int, ...]]) -> None:
    """Change rows behind the program's back, as only someone with the file in hand can."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        assert triggers
        for (name,) in triggers:
            connection.execute(f'DROP TRIGGER "{name}"')
        for statement, row in changes:
            assert connection.execute(statement, row).rowcount > 0, statement


def test_the_books_of_the_demo_are_sound(cli: Cli, lived: str) -> None:
    report = cli("audit", "verify", "--json", "--database", lived)

    assert report.exit_code == 0
    with closing(sqlite3.connect(lived)) as connection:
        (transactions,) = connection.execute("SELECT count(*) FROM ledger_transactions").fetchone()
        (entries,) = connection.execute("SELECT count(*) FROM ledger_entries").fetchone()
        (holds,) = connection.execute("SELECT count(*) FROM holds").fetchone()
    assert report.json == {
        "accounts": 4,
        "transactions": transactions,
        "entries": entries,
        "holds": holds,
        "findings": [],
        "sound": True,
    }
    said = cli("audit", "verify", "--database", lived)
    counted = f"4 accounts, {transactions} transactions, {entries} entries, {holds} holds"
    assert (said.exit_code, said.words) == (0, f"Sound: {counted}.")


def test_an_empty_database_is_sound(cli: Cli, database: str) -> None:
    report = cli("audit", "verify", "--json", "--database", database)

    assert (report.exit_code, report.json["sound"], report.json["transactions"]) == (0, True, 0)


@pytest.mark.parametrize(
    ("statement", "row", "problem"),
    [
        (ENTRY, (MAIL, 3), "sum to zero"),
        (TEXT, (MAIL, 2), "hash"),
        ("UPDATE ledger_transactions SET hash = 'x' WHERE account_id = ? AND seq = ?", (MAIL, 4), "hash"),
        ("UPDATE ledger_transactions SET previous_hash = 'x' WHERE account_id = ? AND seq = ?", (MAIL, 4), "hash"),
        ("UPDATE ledger_transactions SET amount_micros = 1 WHERE account_id = ? AND seq = ?", (MAIL, 1), "hash"),
        (
            "UPDATE ledger_transactions SET balance_after_micros = 1 WHERE account_id = ? AND seq = ?",
            (MAIL, 1),
            "after",
        ),
        ("UPDATE ledger_transactions SET txn_seq = 99 WHERE account_id = ? AND seq = ?", (STUDIO, 2), "txn_seq"),
        (OTHER_BUCKET, (MAIL, 1), "balances"),
        ("UPDATE wallets SET available_micros = 1 WHERE account_id = ?", (LOGISTICS,), "available"),
        ("UPDATE wallets SET reserved_micros = 1 WHERE account_id = ?", (LOGISTICS,), "reserved"),
        ("UPDATE wallets SET head_hash = 'x' WHERE account_id = ?", (STUDIO,), "head_hash"),
        ("UPDATE wallets SET last_seq = 99 WHERE account_id = ?", (STUDIO,), "seq"),
    ],
)
def test_a_row_that_was_tampered_with_is_named_and_the_exit_code_tells(
    cli: Cli, lived: str, statement: str, row: tuple[str | int, ...], problem: str
) -> None:
    account_id, seq = row if len(row) == 2 else (row[0], None)
    _corrupt(lived, (statement, row))

    report = cli("audit", "verify", "--json", "--database", lived)

    assert (report.exit_code, report.json["sound"], report.json["accounts"]) == (1, False, 4)
    (finding,) = report.json["findings"]
    assert (finding["account_id"], finding["seq"]) == (account_id, seq)
    assert problem in finding["problem"]
    said = cli("audit", "verify", "--database", lived)
    place = "wallet" if seq is None else f"transaction seq {seq}"
    assert (said.exit_code, "Not sound" in said.words) == (1, True)
    assert f"account {account_id}, {place}: " in said.words


def test_a_transaction_without_its_entries_is_named(cli: Cli, lived: str) -> None:
    _corrupt(lived, (NO_ENTRIES, (LOGISTICS, 5)))

    (finding,) = cli("audit", "verify", "--json", "--database", lived).json["findings"]

    assert (finding["account_id"], finding["seq"]) == (LOGISTICS, 5)


def test_a_transaction_that_is_gone_is_missed(cli: Cli, lived: str) -> None:
    _corrupt(lived, (NO_ENTRIES, (MAIL, 3)), (NO_TRANSACTION, (MAIL, 3)))

    (finding,) = cli("audit", "verify", "--json", "--database", lived).json["findings"]

    assert (finding["account_id"], finding["problem"]) == (MAIL, "seq 3 is missing")


def test_the_end_of_a_ledger_cannot_be_cut_off_unseen(cli: Cli, lived: str) -> None:
    with closing(sqlite3.connect(lived)) as connection:
        (last,) = connection.execute("SELECT last_seq FROM wallets WHERE account_id = ?", (MAIL,)).fetchone()
    _corrupt(lived, (NO_ENTRIES, (MAIL, last)), (NO_TRANSACTION, (MAIL, last)))

    report = cli("audit", "verify", "--json", "--database", lived)

    assert (report.exit_code, report.json["findings"][0]["account_id"]) == (1, MAIL)


def test_of_many_wrong_rows_the_first_of_each_account_is_named(cli: Cli, lived: str) -> None:
    _corrupt(lived, (ENTRY, (MAIL, 6)), (TEXT, (MAIL, 5)), (ENTRY, (MAIL, 9)), (ENTRY, (STUDIO, 2)))

    report = cli("audit", "verify", "--json", "--database", lived)

    assert report.exit_code == 1
    assert {(f["account_id"], f["seq"]) for f in report.json["findings"]} == {(MAIL, 5), (STUDIO, 2)}
    assert len(report.json["findings"]) == 2


def test_a_row_that_was_tampered_with_in_postgresql_is_named(cli: Cli, postgresql: str) -> None:
    cli("accounts", "create", "Northwind Mail", "--id", MAIL, "--database", postgresql)
    for _ in range(2):
        cli("accounts", "topup", MAIL, "10.00", "--database", postgresql)
    assert cli("audit", "verify", "--database", postgresql).exit_code == 0

    async def tamper() -> None:
        connection = await asyncpg.connect(postgresql)
        await connection.execute("SET session_replication_role = replica")  # as dropping the triggers would
        await connection.execute(ENTRY.replace("account_id = ?", "account_id = $1").replace("?", "$2"), MAIL, 2)
        await connection.close()

    asyncio.run(tamper())

    report = cli("audit", "verify", "--json", "--database", postgresql)

    assert (report.exit_code, report.json["sound"]) == (1, False)
    assert [(f["account_id"], f["seq"]) for f in report.json["findings"]] == [(MAIL, 2)]


def test_postgresql_is_refused_until_its_schema_is_upgraded(cli: Cli, empty_postgresql: str) -> None:
    for command in (("accounts", "list"), ("keys", "list"), ("audit", "verify"), ("run", "-"), ("demo", "--seed-only")):
        refused = cli(*command, "--database", empty_postgresql, stdin="1").refused("schema_outdated", 4)
        assert "billing-mcp db upgrade" in refused.stderr

    upgraded = cli("db", "upgrade", "--database", empty_postgresql)

    assert (upgraded.exit_code, upgraded.words) == (0, f"The schema upgraded from nothing to {HEAD}.")
    assert cli("accounts", "list", "--json", "--database", empty_postgresql).json == []


def test_an_upgrade_of_what_is_up_to_date_changes_nothing(cli: Cli, database: str, account: str) -> None:
    before = cli("accounts", "list", "--json", "--database", database).json

    again = cli("db", "upgrade", "--database", database)

    assert (again.exit_code, again.words) == (0, f"The schema is up to date at {HEAD}.")
    assert cli("accounts", "list", "--json", "--database", database).json == before
    assert before[0]["id"] == account


def test_a_sqlite_file_is_made_and_upgraded_by_itself(cli: Cli, tmp_path: Path) -> None:
    one, two, three = (tmp_path / name for name in ("one.db", "two.db", "three.db"))

    assert cli("accounts", "list", "--database", str(one)).exit_code == 0
    assert cli("db", "upgrade", "--database", str(one)).words == f"The schema is up to date at {HEAD}."
    assert cli("db", "upgrade", "--database", str(two)).words == f"The schema upgraded from nothing to {HEAD}."
    assert cli("db", "upgrade", "--database", f"sqlite:///{three}").exit_code == 0
    assert three.exists()
