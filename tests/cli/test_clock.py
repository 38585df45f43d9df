"""`billing-mcp clock`: a database for tests has a time of its own, and is advanced through all that falls due."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

import billing_mcp.cli
from tests.cli.conftest import LOGISTICS, MAIL, NOBODY, NOW, STUDIO, Cli
from tests.processes import warm_command

START = "2026-01-30T12:00:00Z"


@pytest.fixture(autouse=True)
def _clock_goes(_own_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stops the clock of these commands but a test."""
    monkeypatch.delenv("BILLING_MCP_NOW")


@pytest.fixture
def clock(cli: Cli, database: str) -> Cli:
    """`billing-mcp clock`, on each kind of database in turn, which is one for tests since START."""

    def run(*arguments: str, **env: str) -> Any:
        return cli("clock", *arguments, "--database", database, **env)

    assert run("start", "--at", START).exit_code == 0
    return run


@pytest.fixture
def held(cli: Cli, database: str, clock: Cli) -> Cli:
    """The same, with two accounts, each with a hold of 10.00 of its 100.00, that is due a week after START."""
    options = ("--database", database)
    for name, account_id in (("Northwind Mail", MAIL), ("Heron Logistics", LOGISTICS)):
        assert cli("accounts", "create", name, "--id", account_id, *options).exit_code == 0
        assert cli("accounts", "topup", account_id, "100.00", *options).exit_code == 0
        assert cli("holds", "place", account_id, "10.00", *options).exit_code == 0
    return clock


def hold(cli: Cli, database: str, account_id: str) -> Any:
    (found,) = cli("holds", "list", account_id, "--status", "all", "--json", "--database", database).json
    return found


def test_a_new_database_becomes_one_for_tests_and_everybody_sees_its_time(cli: Cli, database: str, clock: Cli) -> None:
    assert clock("show").words == f"It is {START}: the clock of this test database stands there."
    assert clock("show", "--json").json == {"now": START, "test_clock": True, "stands_at": START}
    opened = cli("accounts", "create", "Northwind Mail", "--id", MAIL, "--json", "--database", database)
    assert opened.exit_code == 0

    assert clock("start", "--at", "2026-01-01").refused("invalid_argument", 2)
    assert (
        "clock advance --to 2026-03-01T00:00:00Z"
        in clock("start", "--at", "2026-03-01").refused("invalid_argument", 2).stderr
    )
    assert clock("start").exit_code == 0
    assert clock("show", "--json").json["now"] == START
    assert clock("show", BILLING_MCP_NOW=NOW).words == f"It is {NOW}: BILLING_MCP_NOW stops the clock."


def test_what_falls_due_is_done_and_told_by_account(cli: Cli, database: str, held: Cli) -> None:
    done = held("advance", "--to", "2026-02-06T12:00:00Z", "--json")

    assert done.exit_code == 0, done
    assert (done.json["since"], done.json["now"]) == (START, "2026-02-06T12:00:00Z")
    assert {each["account_id"] for each in done.json["accounts"]} == {MAIL, LOGISTICS}
    assert done.json["accounts"][0] | {"account_id": "", "name": ""} == {
        "account_id": "",
        "name": "",
        "currency": "EUR",
        "invoices": 0,
        "charged": "0.00",
        "paid_in": "0.00",
        "credits_expired": "0.00",
        "tiers": {},
        "reminders": 0,
        "balance": {"before": "100.00", "after": "100.00"},
        "free": {"before": "90.00", "after": "100.00"},
        "status": {"before": "active", "after": "active"},
    }
    assert hold(cli, database, MAIL)["status"] == "expired"
    assert held("advance", "--to", "2026-02-08").words.endswith("Nothing has changed.")
    assert held("show", "--json").json["stands_at"] == "2026-02-08T00:00:00Z"
    assert cli("audit", "verify", "--database", database).exit_code == 0


def test_of_one_account_alone_and_the_others_are_caught_up_where_the_clock_stands(
    cli: Cli, database: str, held: Cli
) -> None:
    assert held("advance", "--to", "2026-02-10", "--account", MAIL).exit_code == 0
    assert [hold(cli, database, each)["status"] for each in (MAIL, LOGISTICS)] == ["expired", "open"]

    assert held("advance", "--to", "2026-02-10").exit_code == 0  # where it stands: what is late is done now

    assert hold(cli, database, LOGISTICS)["status"] == "expired"


@pytest.mark.usefixtures("held")
def test_a_worker_that_runs_follows_an_advance(cli: Cli, database: str) -> None:
    """What others have due is done by whoever works on the database, once it sees what time it is there."""
    often = os.environ | {"BILLING_MCP_WORKER_POLL_S": "0.05", "BILLING_MCP_WORKER_SCAN_S": "0.05"}
    command = warm_command("worker", "--database", database)
    with subprocess.Popen(command, env=often, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as worker:
        try:
            assert worker.stderr is not None
            assert "Working" in worker.stderr.readline()
            assert hold(cli, database, LOGISTICS)["status"] == "open"

            advanced = cli("clock", "advance", "--to", "2026-02-10", "--account", MAIL, "--database", database)

            assert advanced.exit_code == 0
            wait_for(lambda: hold(cli, database, LOGISTICS)["status"] == "expired")
        finally:
            worker.terminate()
            output, _ = worker.communicate(timeout=60)
    assert "done" in output


def wait_for(seen: Callable[[], bool]) -> None:
    deadline = monotonic() + 30
    while not seen():
        assert monotonic() < deadline


def test_only_a_database_without_other_accounts_becomes_one_for_tests(cli: Cli, database: str) -> None:
    options = ("--database", database)
    assert cli("clock", "show", "--json", *options).json["test_clock"] is False
    assert "not one for tests" in cli("clock", "show", *options).words
    refused = cli("clock", "advance", "--to", "2199-01-01", *options).refused("not_a_test_database", 3)
    assert "clock start" in refused.stderr
    cli("accounts", "create", "Real", *options)

    assert "new" in cli("clock", "start", *options).refused("not_a_test_database", 3).stderr
    assert "billing-mcp demo" in cli("clock", "advance", "--to", "2199-01-01", *options).stderr
    assert cli("clock", "show", "--json", *options).json["test_clock"] is False


def test_where_it_cannot_go_it_stays(clock: Cli) -> None:
    for asked, code, exit_code, said in (
        (("--to", "2026-01-30"), "invalid_argument", 2, "a clock goes on only"),
        (("--to", "tomorrow"), "invalid_argument", 2, "such as 2026-03-01"),
        (("--to", "0001-01-01"), "invalid_argument", 2, "--to must be"),
        (("--to", "2201-01-01"), "invalid_argument", 2, "--to must be"),
        (("--to", "2026-03-01", "--account", NOBODY), "not_found", 3, NOBODY),
    ):
        assert said in clock("advance", *asked).refused(code, exit_code).stderr
    stopped = clock("advance", "--to", "2026-03-01", BILLING_MCP_NOW=NOW).refused("invalid_argument", 2)
    assert "Unset it" in stopped.stderr
    assert clock("show", "--json").json["stands_at"] == START


def test_the_demo_can_be_advanced_and_its_months_go_on(cli: Cli, lived: str) -> None:
    options = ("--database", lived)
    assert cli("clock", "show", "--json", *options).json == {"now": NOW, "test_clock": True, "stands_at": NOW}

    table = cli("clock", "advance", "--to", "2026-04-15", *options)
    assert table.exit_code == 0, table
    assert table.words.startswith(f"It was {NOW}, and is 2026-04-15T00:00:00Z")
    for shown in ("account", "invoices", "charged", "balance", "status", "Northwind Mail 1 176.00"):
        assert shown in table.words

    done = cli("clock", "advance", "--to", "2026-06-16", "--json", *options)
    assert done.exit_code == 0, done
    changed = {each["account_id"]: each for each in done.json["accounts"]}
    assert [changed[each]["invoices"] for each in (MAIL, LOGISTICS, STUDIO)] == [2, 2, 2]
    assert changed[MAIL]["charged"] == "352.00"
    assert changed[MAIL]["paid_in"] != "0.00"  # its wallet was reloaded by itself
    assert changed[LOGISTICS]["status"] == {"before": "active", "after": "suspended"}  # nobody has paid for it
    assert changed[LOGISTICS]["reminders"] == 2
    assert done.json["jobs"]["dead"] == 0
    assert cli("audit", "verify", *options).exit_code == 0


def test_a_demo_from_before_there_were_clocks_gets_one(cli: Cli, lived: str) -> None:
    with closing(sqlite3.connect(lived)) as connection, connection:
        connection.execute("DELETE FROM test_clock")
    options = ("--database", lived)

    assert cli("clock", "start", "--at", NOW, *options, BILLING_MCP_NOW=NOW).exit_code == 0

    assert cli("clock", "show", "--json", *options).json["stands_at"] == NOW


def test_ctrl_c_leaves_what_was_done_and_says_where_the_clock_stands(cli: Cli, database: str, clock: Cli) -> None:
    command = warm_command("clock", "advance", "--to", "2200-01-01", "--database", database)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for(lambda: clock("show", "--json").json["stands_at"] != START)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()

    assert (process.returncode, output) == (130, "")
    stands_at = clock("show", "--json").json["stands_at"]
    assert START < stands_at < "2200"
    assert f"Interrupted: the clock stands at {stands_at}" in errors
    assert cli("audit", "verify", "--database", database).exit_code == 0


def test_every_command_asks_the_database_for_the_time() -> None:
    """Only what shows prices, and what puts a backup back, has no database to ask."""
    commands = Path(billing_mcp.cli.__file__).parent.glob("*.py")
    asking_the_system = {each.stem for each in commands if "clock_of(" in each.read_text("utf-8")}

    assert asking_the_system == {"catalog", "backup"}
