"""`billing-mcp cycle run`: every period that has ended is closed, once, however it is cut short."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from billing_mcp.store.store import Store
from tests.cli.conftest import NOBODY, Cli
from tests.processes import warm_command
from tests.stage import Stage, moment
from tests.year.books import books_of

ACCOUNTS = 24
BOUND_S = 60


def _account(number: int) -> str:
    return f"0190c1c2-0000-7000-8000-{number:012d}"


async def _opened(database: str, accounts: int) -> str:
    """Accounts with a mailbox plan since 10 January; at the clock of these tests, two of their months have ended."""
    store = await Store.open(database)
    try:
        stage = await Stage.open(store, moment("2026-01-10"))
        for number in range(accounts):
            await stage.account(_account(number), f"Cycle {number}")
            await stage.receive(_account(number), "100.00")
            await stage.must("plan.change", _account(number), plan_id="smtp_per_mailbox")
    finally:
        await store.close()
    return database


@pytest.fixture
async def three(database: str) -> str:
    """A database of each kind with three accounts."""
    return await _opened(database, 3)


def test_what_has_ended_is_closed_once_and_shown(cli: Cli, three: str) -> None:
    done = cli("cycle", "run", "--json", "--database", three)

    assert done.exit_code == 0, done
    assert (done.json["accounts"], done.json["periods"], done.json["credits_expired"]) == (3, 6, "0.00")
    shown = [(each["number"], each["account_id"], each["period_end"], each["status"]) for each in done.json["invoices"]]
    assert shown == [
        (f"INV-2026-{2 * number + month - 1:06d}", _account(number), f"2026-{month:02d}-10", "paid")
        for number in range(3)
        for month in (2, 3)
    ]
    amounts = {(each["amount"], each["tax"], each["paid"]) for each in done.json["invoices"]}
    assert amounts == {("29.00", "5.51", "29.00")}
    again = cli("cycle", "run", "--database", three)
    assert (again.exit_code, again.words) == (0, "0 periods closed, 0 invoices.")


def test_a_day_and_an_account_limit_what_is_closed(cli: Cli, three: str) -> None:
    first = cli("cycle", "run", "--until", "2026-02-10", "--account", _account(1), "--json", "--database", three)
    day_before = cli("cycle", "run", "--until", "2026-02-09", "--database", three)
    others = cli("cycle", "run", "--until", "2026-02-10", "--json", "--database", three)

    (invoice,) = first.json["invoices"]
    assert (invoice["account_id"], invoice["period_end"]) == (_account(1), "2026-02-10")
    assert day_before.words == "0 periods closed, 0 invoices."
    assert [each["account_id"] for each in others.json["invoices"]] == [_account(0), _account(2)]
    assert [each["number"] for each in others.json["invoices"]] == ["INV-2026-000002", "INV-2026-000003"]


def test_a_dry_run_shows_what_would_be_closed_and_leaves_no_trace(cli: Cli, three: str) -> None:
    before = asyncio.run(books_of(three))

    would = cli("cycle", "run", "--dry-run", "--json", "--database", three)

    assert asyncio.run(books_of(three)) == before
    assert (would.json["dry_run"], would.json["periods"], len(would.json["invoices"])) == (True, 6, 6)
    assert {each["amount"] for each in would.json["invoices"]} == {"29.00"}
    text = cli("cycle", "run", "--dry-run", "--database", three)
    assert "Invoices that would be issued" in text.words
    assert text.words.endswith("6 periods would be closed, 6 invoices of 174.00 EUR net.")


@pytest.mark.parametrize("until", ["2026-02-30", "tomorrow", "", "10.02.2026", "2026-02-10T00:00", "\x1b[2J"])
def test_until_is_a_date(cli: Cli, fresh_sqlite: str, until: str) -> None:
    refused = cli("cycle", "run", "--until", until, "--database", fresh_sqlite).refused("invalid_argument", 2)

    assert "--until must be an ISO date" in refused.stderr
    assert "\x1b" not in refused.stderr


@pytest.mark.parametrize("until", ["2026-03-13", "9999-12-31"])
def test_until_is_no_day_that_has_not_begun(cli: Cli, fresh_sqlite: str, until: str) -> None:
    refused = cli("cycle", "run", "--until", until, "--database", fresh_sqlite).refused("invalid_argument", 2)

    assert f"--until {until} has not begun" in refused.stderr


def test_an_account_that_is_not_there_is_refused(cli: Cli, database: str) -> None:
    for more in ([], ["--dry-run"]):
        refused = cli("cycle", "run", "--account", NOBODY, *more, "--database", database)
        assert NOBODY in refused.refused("not_found", 3).stderr


def test_a_terminal_shows_how_far_it_is_and_an_interrupt_keeps_what_is_closed(
    cli: Cli, fresh_sqlite: str, tmp_path: Path
) -> None:
    asyncio.run(_opened(fresh_sqlite, ACCOUNTS))
    ours, theirs = pty.openpty()
    command = warm_command("cycle", "run", "--database", fresh_sqlite)
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path) as process:
        os.close(theirs)
        said = _read(ours, process, until=re.compile(rf"Closing periods.* ([1-9]\d*)/{ACCOUNTS}"))
        process.send_signal(signal.SIGINT)
        said += _read(ours, process)
    os.close(ours)

    assert process.returncode == 130, said
    told = re.search(r"(\d+) periods closed, (\d+) invoices of ([\d.]+) EUR net", said)
    assert told is not None, said
    with closing(sqlite3.connect(fresh_sqlite)) as connection:
        ((closed,),) = connection.execute("SELECT COUNT(*) FROM invoices")
    assert 0 < closed < 2 * ACCOUNTS
    assert (int(told[1]), int(told[2]), told[3]) == (closed, closed, f"{29 * closed}.00")
    rest = cli("cycle", "run", "--json", "--database", fresh_sqlite)
    numbers = sorted(each["number"] for each in rest.json["invoices"])
    assert numbers == [f"INV-2026-{number:06d}" for number in range(closed + 1, 2 * ACCOUNTS + 1)]
    assert cli("audit", "verify", "--database", fresh_sqlite).exit_code == 0


def _read(terminal: int, process: subprocess.Popen[bytes], *, until: re.Pattern[str] | None = None) -> str:
    """What is said on a terminal, up to a text, or to the end."""
    said, deadline = b"", time.monotonic() + BOUND_S
    while time.monotonic() < deadline:
        more = b""
        if select.select([terminal], [], [], 0.05)[0]:
            with suppress(OSError):  # nobody has it open any more
                more = os.read(terminal, 4096)
        said += more
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode(errors="ignore"))
        if until is not None and until.search(text):
            return text
        if not more and process.poll() is not None:
            assert until is None, text
            return text
    raise AssertionError(f"it took too long; it said {said!r}")
