"""`billing-mcp worker` and `billing-mcp outbox`: what falls due is done, and what is dead can be mended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.cli.conftest import MAIL, NOBODY, Cli
from tests.store.books import raw_connection

LATER = "2026-03-20T10:00:00Z"
ONE_TRY = {"BILLING_MCP_NOW": LATER, "BILLING_MCP_WORKER_ATTEMPTS": "1"}


@pytest.fixture
def hold(cli: Cli, database: str, account: str) -> str:
    """A hold of 40.00 that is due LATER."""
    placed = cli("holds", "place", account, "40.00", "--json", "--database", database)
    assert placed.exit_code == 0, placed
    return str(placed.json["hold_id"])


@pytest.fixture
async def spoiled(database: str, hold: str) -> str:
    """The database, with a wallet that does not have what its hold reserves."""
    assert hold
    await _set_reserved(database, 0)
    return database


async def _set_reserved(database: str, amount_micros: int) -> None:
    async with raw_connection(database) as run:
        await run("UPDATE wallets SET reserved_micros = $1", amount_micros)


def _reserved(cli: Cli, database: str) -> str:
    (row,) = cli("accounts", "list", "--json", "--database", database).json
    return str(row["reserved"])


@pytest.mark.usefixtures("hold")
def test_what_is_due_is_done_once_and_counted(cli: Cli, database: str) -> None:
    options = ("--once", "--database", database)
    early = cli("worker", *options)
    assert (early.exit_code, early.words, _reserved(cli, database)) == (0, "0 jobs.", "40.00")

    done = cli("worker", *options, BILLING_MCP_NOW=LATER)

    assert (done.exit_code, done.words, done.stderr) == (0, "1 job: 1 done.", "")
    assert _reserved(cli, database) == "0.00"
    again = cli("worker", *options, "--json", BILLING_MCP_NOW=LATER)
    assert again.json == {"done": 0, "again": 0, "dead": 0, "left": 0}
    assert cli("audit", "verify", "--database", database).exit_code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_runs_until_it_is_told_to_end_and_says_what_it_did(
    cli: Cli, database: str, hold: str, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "billing_mcp", "-v", "worker", "--database", database]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, env=os.environ | {"BILLING_MCP_NOW": LATER}, encoding="utf-8"
    ) as process:
        assert process.stderr is not None
        try:
            said = ""
            while "holds_expired" not in said:
                said = process.stderr.readline()
                assert said, "it ended"
            process.send_signal(number)
            output, errors = process.communicate(timeout=30)
        finally:
            process.kill()

    assert (process.returncode, output.splitlines()[-1]) == (0, "1 job: 1 done.")
    assert "Ended" in errors
    (expired,) = cli("holds", "list", MAIL, "--status", "expired", "--json", "--database", database).json
    assert expired["hold_id"] == hold


async def test_what_is_dead_is_shown_with_its_cause_and_is_done_once_it_is_mended(program: Cli, spoiled: str) -> None:
    options = ("--database", spoiled)
    died = program("worker", "--once", *options, **ONE_TRY)
    assert died.exit_code == 1
    assert died.words == ("1 job: 1 dead. What is dead is tried again only when you say so: billing-mcp outbox list")

    (row,) = program("outbox", "list", "--json", *options).json
    assert (row["topic"], row["account_id"], row["status"]) == ("billing.holds.expire", MAIL, "dead")
    assert (row["attempts"], row["last_error"], row["ended_at"]) == (1, "internal_error", LATER)
    table = program("outbox", "list", *options).words
    for shown in (row["event_id"], "billing.holds.expire", MAIL, "dead after 1", "internal_error"):
        assert shown in table
    assert program("worker", "--once", *options, BILLING_MCP_NOW=LATER).words == "0 jobs."

    await _set_reserved(spoiled, 40_000_000)
    retried = program("outbox", "retry", row["event_id"], *options, BILLING_MCP_NOW=LATER)
    assert retried.words == "1 due now. A server over HTTP takes it up by itself; else: billing-mcp worker"
    (waiting,) = program("outbox", "list", "--status", "waiting", "--json", *options).json
    assert (waiting["event_id"], waiting["attempts"], waiting["leased"]) == (row["event_id"], 0, False)
    assert program("worker", "--once", *options, BILLING_MCP_NOW=LATER).words == "1 job: 1 done."
    assert program("outbox", "list", "--status", "all", *options).words == "No work."
    assert program("audit", "verify", *options).exit_code == 0


async def test_all_that_is_dead_is_revived_together(program: Cli, spoiled: str) -> None:
    options = ("--database", spoiled)
    assert program("outbox", "retry", "--all-dead", *options).words == "Nothing is dead."
    program("worker", "--once", *options, **ONE_TRY)

    assert program("outbox", "retry", "--all-dead", "--json", *options).json == {"revived": 1}

    assert program("worker", "--once", "--json", *options, **ONE_TRY).json["dead"] == 1


def test_a_retry_names_one_or_all(cli: Cli, lived: str) -> None:
    options = ("--database", lived)
    for asked in ((), (NOBODY, "--all-dead")):
        cli("outbox", "retry", *asked, *options).refused("invalid_argument", 2)
    for unknown in (NOBODY, "x\x1b[2J", ""):
        assert "outbox list" in cli("outbox", "retry", unknown, *options).refused("not_found", 3).stderr


@pytest.fixture
async def mixed(lived: str) -> str:
    """The demo's database, with public events in the outbox and with messages for the platform to send."""
    async with raw_connection(lived) as run:
        await run("UPDATE outbox SET event = 'billing.message.accepted' WHERE event = 'billing.plan.changed'")
    return lived


def test_events_leave_the_outbox_and_what_others_take_waits_and_is_shown(cli: Cli, mixed: str) -> None:
    options = ("--database", mixed)
    assert cli("outbox", "list", *options).words == "No dead work."
    before = cli("outbox", "list", "--status", "waiting", "--json", *options).json
    others = [row for row in before if row["topic"] == "billing.message.accepted"]
    assert 0 < len(others) < len(before)

    assert cli("worker", "--once", *options).exit_code == 0

    assert cli("outbox", "list", "--status", "all", "--json", *options).json == others
    assert len(cli("outbox", "list", "--status", "all", "--limit", "1", "--json", *options).json) == 1
