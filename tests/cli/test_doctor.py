"""The check-up: what serving needs, each line fine or with the way to mend it."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from billing_mcp.doctor import jail_finding, sqlite_finding
from billing_mcp.sandbox.jail import PARTS, JailReport
from tests.cli.conftest import MAIL, Cli

LOOKED_AT = [
    "versions",
    "sqlite",
    "database",
    "pragmas",
    "migrations",
    "clock",
    "catalog",
    "sandbox",
    "jail",
    "port",
    "time",
]


def findings(cli: Cli, database: str, *, exit_code: int = 0, **env: str) -> dict[str, dict[str, Any]]:
    shown = cli("doctor", "--json", "--database", database, **env)
    assert shown.exit_code == exit_code, shown
    return {finding["what"]: finding for finding in shown.json}


def test_everything_that_serving_needs_is_looked_at(cli: Cli, lived: str) -> None:
    found = findings(cli, lived)

    assert list(found) == LOOKED_AT
    assert {f["verdict"] for f in found.values()} <= {"ok", "note"}
    assert all(f["mend"] for f in found.values() if f["verdict"] != "ok")
    assert "journal_mode=wal" in found["pragmas"]["found"]


def test_people_read_a_line_for_each_finding(cli: Cli, lived: str) -> None:
    shown = cli("doctor", "--database", lived)

    assert shown.exit_code == 0
    for what in LOOKED_AT:
        assert sum(line.split()[1:2] == [what] for line in shown.stdout.splitlines()) == 1


def test_a_postgresql_server_is_looked_at_and_its_password_is_not_shown(cli: Cli, postgresql: str) -> None:
    url = postgresql.replace("postgres:@", "postgres:hidden-word@").replace("postgres@", "postgres:hidden-word@")
    found = findings(cli, url)

    assert "PostgreSQL 18" in found["database"]["found"]
    assert "hidden-word" in url
    assert "hidden-word" not in str(found)
    assert "pragmas" not in found


def test_a_server_without_our_schema_is_wrong_and_says_what_to_run(cli: Cli, empty_postgresql: str) -> None:
    found = findings(cli, empty_postgresql, exit_code=1)

    assert found["migrations"]["verdict"] == "wrong"
    assert "billing-mcp db upgrade" in found["migrations"]["mend"]


@pytest.mark.parametrize("url", ["postgresql://nobody@127.0.0.1:1/none", "mysql://x/y", "/nowhere/billing.db"])
def test_a_database_that_cannot_be_had_is_wrong_and_the_rest_is_looked_at_all_the_same(cli: Cli, url: str) -> None:
    found = findings(cli, url, exit_code=1)

    assert found["database"]["verdict"] == "wrong"
    assert found["database"]["mend"]
    assert found["sandbox"]["verdict"] == "ok"


def test_a_file_that_is_not_there_yet_is_fine_and_is_not_made(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "new.db"

    assert findings(cli, str(file))["database"]["verdict"] == "ok"
    assert not file.exists()


def test_a_file_that_is_no_database_is_wrong(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("Dear Sir or Madam, this is not a database at all." * 50)

    assert findings(cli, str(file), exit_code=1)["database"]["verdict"] == "wrong"


def test_an_old_schema_is_noted_and_not_touched(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "empty.db"
    sqlite3.connect(file).close()
    file.touch()

    assert findings(cli, str(file))["migrations"]["verdict"] == "note"
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such permissions")
def test_a_file_that_others_can_open_is_noted(cli: Cli, lived: str) -> None:
    Path(lived).chmod(0o604)
    assert "chmod o-rwx" in findings(cli, lived)["database"]["mend"]

    Path(lived).chmod(0o600)
    assert findings(cli, lived)["database"]["verdict"] == "ok"


@pytest.mark.parametrize(("version", "verdict"), [
    ((3, 40, 1), "note"), ((3, 44, 5), "note"), ((3, 44, 6), "ok"), ((3, 50, 6), "note"), ((3, 50, 7), "ok"),
    ((3, 51, 2), "note"), ((3, 51, 3), "ok"), ((3, 52, 0), "ok"),
])  # fmt: skip
def test_a_sqlite_with_the_wal_reset_bug_is_noted(version: tuple[int, ...], verdict: str) -> None:
    assert sqlite_finding(version).verdict == verdict


def test_a_posting_from_the_future_is_noted(cli: Cli, lived: str) -> None:
    cli("accounts", "topup", MAIL, "5.00", "--database", lived, BILLING_MCP_NOW="2199-01-01T00:00:00Z")
    cli("accounts", "create", "Late", "--id", MAIL, "--database", lived)
    cli("accounts", "topup", "0190c0de-0000-7000-8000-000000000001", "5", "--database", lived,
        BILLING_MCP_NOW="2199-01-01T00:00:00Z")  # fmt: skip

    found = findings(cli, lived)["clock"]

    assert found["verdict"] == "note"
    assert "2199-01-01" in found["found"]


def test_a_stopped_clock_is_noted(cli: Cli, lived: str) -> None:
    assert findings(cli, lived)["time"]["verdict"] == "note"
    assert findings(cli, lived, BILLING_MCP_NOW="2026-01-01")["time"]["found"].endswith("2026-01-01T00:00:00Z")


def test_a_port_that_is_taken_is_noted(cli: Cli, lived: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = findings(cli, lived, BILLING_MCP_PORT=str(taken.getsockname()[1]))["port"]

    assert found["verdict"] == "note"
    assert "--port" in found["mend"]


def test_the_key_is_tried(cli: Cli, lived: str) -> None:
    account = "0190c0de-0000-7000-8000-000000000001"
    made = cli("keys", "create", "bot", "--account", account, "--json", "--database", lived).json["key"]

    assert "billing.view on 1 account" in findings(cli, lived, BILLING_MCP_KEY=made)["key"]["found"]
    assert findings(cli, lived, exit_code=1, BILLING_MCP_KEY=made + "x")["key"]["verdict"] == "wrong"


def test_what_is_in_force_of_the_jail_is_said_honestly() -> None:
    whole = jail_finding(JailReport(PARTS))
    part = jail_finding(JailReport(PARTS[1:], {"limits": "not permitted"}))
    none = jail_finding(JailReport((), dict.fromkeys(PARTS, "there is none on darwin")))

    assert whole.verdict == "ok"
    assert (part.verdict, none.verdict) == ("note", "note")
    assert "limits: not permitted" in part.found
    assert none.found == "workers are refused: nothing (there is none on darwin)"
    assert all(finding.mend for finding in (part, none))


def test_a_copy_of_a_database_is_healthy_too(cli: Cli, lived: str, tmp_path: Path) -> None:
    copy = shutil.copy(lived, tmp_path / "copy.db")

    assert findings(cli, str(copy))["pragmas"]["verdict"] == "ok"
