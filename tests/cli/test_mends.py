"""What once went wrong in a terminal, and no more."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import MAIL, NOBODY, Cli
from tests.world import World

FEW = ("--messages", "50")

# Whoever runs these tests may have SIGINT ignored, and a child process inherits that.
INTERRUPTIBLE = [
    sys.executable,
    "-c",
    (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from billing_mcp.cli import main; main()"
    ),
]


def interrupted(*arguments: str, stdin: str, when: Callable[[subprocess.Popen[str]], bool]) -> tuple[int, str]:
    """The exit code and the errors of a command that is interrupted as soon as `when` says so."""
    pipe = subprocess.PIPE
    command = [*INTERRUPTIBLE, *arguments]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, pipesize=4096, encoding="utf-8") as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(stdin)
        process.stdin.flush()
        assert when(process)
        process.send_signal(signal.SIGINT)
        try:
            return process.wait(10), process.stderr.read()
        finally:
            process.kill()


def test_the_demo_without_a_database_named_leaves_the_one_of_the_environment_alone(program: Cli, sqlite: str) -> None:
    program("accounts", "create", "Real Customer", "--database", sqlite)
    program("demo", *FEW, BILLING_MCP_DATABASE=sqlite)
    names = [row["name"] for row in program("accounts", "list", "--json", "--database", sqlite).json]
    assert names == ["Real Customer"]


def test_a_server_ends_at_the_first_interrupt(sqlite: str) -> None:
    who = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    hello = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": who}) + "\n"

    def served(server: subprocess.Popen[str]) -> bool:
        assert server.stdout is not None
        return '"id":1' in server.stdout.readline()

    assert interrupted("serve", "--database", sqlite, stdin=hello, when=served) in ((130, ""), (-signal.SIGINT, ""))


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_terminal_of_another_encoding_gets_the_answer_of_what_was_committed(
    program: Cli, lived: str, options: tuple[str, ...]
) -> None:
    script = f"print('é ☃')\nbilling.plan.cancel(account_id={MAIL!r})"
    done = program("run", "-", *options, "--database", lived, stdin=script, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize("permissions", ["nonsense", "view,nonsense", ","])
@pytest.mark.parametrize("command", ["run -", f"call billing.plans.list account_id={MAIL}", "serve"])
def test_permissions_of_the_environment_that_do_not_exist_are_named_with_their_mend(
    cli: Cli, lived: str, command: str, permissions: str
) -> None:
    refused = cli(*command.split(), "--database", lived, stdin="1", BILLING_MCP_PERMISSIONS=permissions)
    refused.refused("invalid_argument", 2)
    assert "BILLING_MCP_PERMISSIONS" in refused.stderr
    assert "view, manage or view,manage" in refused.stderr


def test_a_count_of_an_account_that_does_not_exist_is_refused(cli: Cli, database: str) -> None:
    cli("accounts", "count", NOBODY, "mailbox", "5", "--database", database).refused("not_found", 3)


def test_an_account_cannot_be_opened_twice(cli: Cli, database: str, account: str) -> None:
    again = cli("accounts", "create", "Other", "--id", account, "--database", database)
    assert (again.exit_code, again.stdout, len(again.stderr.splitlines())) == (3, "", 1)
    assert "internal_error" not in again.stderr


@pytest.mark.parametrize("name", ["a [/b] c", "[red]Ltd[/red]", "Acme :smile: Ltd"])
def test_people_read_the_name_of_the_account_they_opened_as_it_is(cli: Cli, sqlite: str, name: str) -> None:
    opened = cli("accounts", "create", name, "--id", MAIL, "--database", sqlite)
    assert (opened.exit_code, opened.words) == (0, f"Opened {name}: {MAIL}")


def test_a_wallet_that_would_overflow_refuses_the_topup(cli: Cli, database: str, account: str) -> None:
    for _ in range(9):
        assert cli("accounts", "topup", account, "999999999999", "--database", database).exit_code == 0
    one_more = cli("accounts", "topup", account, "999999999999", "--database", database)
    assert (one_more.exit_code, one_more.stdout, len(one_more.stderr.splitlines())) in ((2, "", 1), (3, "", 1))


def test_a_script_that_is_not_utf_8_is_refused(cli: Cli, lived: str, tmp_path: Path) -> None:
    script = tmp_path / "latin.py"
    script.write_bytes(b"'\xff\xfe'")
    cli("run", str(script), "--database", lived).refused("syntax_error", 2)


@pytest.mark.parametrize("page", ["--5", "-", "9" * 5000])
def test_a_number_that_is_none_is_refused_by_its_name(cli: Cli, lived: str, page: str) -> None:
    answered = cli(
        "call", "billing.transactions.list", f"account_id={MAIL}", f"page={page}", "--json", "--database", lived
    )
    assert (answered.exit_code, answered.json["error"]["code"]) == (2, "invalid_argument")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me@127.0.0.1:port/x",
        "postgresql://me@127.0.0.1:1/x?sslmode=disable",
        "postgresql://me@127.0.0.1:1/x?nonsense=1",
    ],
)
def test_a_postgresql_url_is_refused_or_unreachable_in_one_line(cli: Cli, url: str) -> None:
    refused = cli("accounts", "list", "--database", url)
    assert (refused.exit_code in (2, 4), refused.stdout, len(refused.stderr.splitlines())) == (True, "", 1)


def test_a_postgresql_url_may_say_its_sslmode(cli: Cli, postgresql: str) -> None:
    assert cli("accounts", "list", "--json", "--database", f"{postgresql}&sslmode=disable").json == []


@pytest.mark.parametrize("command", ["accounts list", "db upgrade", "audit verify"])
def test_a_database_of_a_newer_version_is_refused(cli: Cli, lived: str, command: str) -> None:
    with closing(sqlite3.connect(lived)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    cli(*command.split(), "--database", lived).refused("schema_outdated", 4)


def test_a_sqlite_file_of_another_program_is_refused_and_left_as_it_is(cli: Cli, sqlite: str) -> None:
    with closing(sqlite3.connect(sqlite)) as connection:
        connection.execute("CREATE TABLE accounts (x)")
    refused = cli("accounts", "list", "--database", sqlite)
    assert (refused.exit_code, refused.stdout, len(refused.stderr.splitlines())) in ((2, "", 1), (4, "", 1))


def test_reading_does_not_wait_for_a_writer(cli: Cli, lived: str) -> None:
    with closing(sqlite3.connect(lived, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        listed = cli("accounts", "list", "--json", "--database", lived)
    assert (listed.exit_code, len(listed.json or [])) == (0, 4)


def test_an_interrupt_while_the_script_is_read_ends_at_once(lived: str) -> None:
    # The pipe holds 4 KB: when all is written, the command has read most of it and waits for more.
    assert interrupted("run", "-", "--database", lived, stdin="#" * 50_000, when=lambda _: True) == (130, "")


def test_a_command_that_succeeds_says_nothing_on_standard_error(cli: Cli, sqlite: str) -> None:
    assert cli("demo", "--seed-only", *FEW, "--database", sqlite).stderr == ""
    assert cli("audit", "verify", "--json", "--database", sqlite).stderr == ""


def test_after_seeding_people_are_told_how_to_serve_that_database(cli: Cli, sqlite: str) -> None:
    seeded = cli("demo", "--seed-only", *FEW, "--database", sqlite)
    assert f"billing-mcp serve --database {sqlite}" in seeded.stdout.replace("\n", "")


@pytest.mark.parametrize(
    "env", [{"BILLING_MCP_READ_ONLY": "1"}, {"BILLING_MCP_KEY": "nonsense"}, {"BILLING_MCP_PERMISSIONS": "view"}]
)
def test_the_demo_shows_the_same_whatever_the_environment_grants(
    program: Cli, sqlite: str, env: dict[str, str]
) -> None:
    shown = program("demo", *FEW, "--database", sqlite, **env)
    assert (shown.exit_code, shown.stdout.count("✔ completed"), "✘" in shown.stdout) == (0, 2, False)


def test_the_demo_watched_again_commits_what_it_previewed(program: Cli, sqlite: str) -> None:
    program("demo", *FEW, "--database", sqlite)
    again = program("demo", *FEW, "--database", sqlite).stdout
    preview, commit = again.split("2. Preview")[1].split("3. Commit")
    rows = [[line.strip() for line in act.splitlines() if "│ 0190c0de" in line] for act in (preview, commit)]
    assert rows[0] == rows[1]


def test_arguments_that_are_not_utf_8_are_refused_in_one_line(cli: Cli, lived: str) -> None:
    for arguments in (("accounts", "create", "caf\udce9"), ("keys", "create", "caf\udce9", "--account", MAIL)):
        refused = cli(*arguments, "--database", lived)
        assert (refused.exit_code, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1)


def test_a_function_or_argument_that_is_not_utf_8_does_not_exist(cli: Cli, lived: str) -> None:
    for arguments in (("billing.\udcffx",), ("billing.plans.list", f"account_id={MAIL}", "\udcff=3")):
        answered = cli("call", *arguments, "--json", "--database", lived)
        assert (answered.exit_code, answered.json["status"]) == (2, "failed")


def test_a_key_that_is_not_utf_8_is_no_key(cli: Cli, lived: str) -> None:
    cli("run", "-", "--database", lived, stdin="1", BILLING_MCP_KEY="\udcff").refused("invalid_key", 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BILLING_MCP_WALL_S", "inf"),
        ("BILLING_MCP_EXECUTION_S", "inf"),
        ("BILLING_MCP_MEMORY_MB", "9" * 20),
        ("BILLING_MCP_NOW", "0001-01-01T00:00:00+05:00"),
        ("BILLING_MCP_NOW", "1960-01-01"),
    ],
)
def test_an_extreme_setting_is_refused_by_its_name(cli: Cli, lived: str, name: str, value: str) -> None:
    refused = cli("run", "-", "--database", lived, stdin="1", **{name: value}).refused("invalid_argument", 2)
    assert name in refused.stderr


def test_a_home_that_cannot_hold_a_database_is_unavailable(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    cli("accounts", "list", XDG_DATA_HOME=str(tmp_path / "file")).refused("database_unavailable", 4)


def test_an_error_is_one_line_whatever_it_quotes(cli: Cli, lived: str) -> None:
    cli("keys", "revoke", "a\nb", "--database", lived).refused("not_found", 3)


def test_a_name_or_an_output_cannot_steer_the_terminal(cli: Cli, sqlite: str) -> None:
    cli("accounts", "create", "\x1b[31mEvil", "--json", "--database", sqlite)
    assert "\x1b" not in cli("accounts", "list", "--database", sqlite).stdout
    assert "\x1b" not in cli("run", "-", "--database", sqlite, stdin="print('\\x1b[2J')\n'\\x1b[2J'").stdout


def test_help_of_functions_can_be_called(cli: Cli, lived: str) -> None:
    answered = cli("call", "billing.help", "--json", "--database", lived)
    assert "billing.plan.cancel?" not in str(answered.json.get("error"))


async def test_a_clock_that_goes_back_does_not_charge_a_day_twice(world: World) -> None:
    account_id = await world.account(funds="1000.00", plan="smtp_per_mailbox", mailbox=100)
    start = world.clock.now
    world.clock.now = start.replace(day=22)
    await world.must(f"billing.plan.change(account_id={account_id!r}, plan_id='smtp_per_proxy')")
    world.clock.now = start.replace(day=20)  # another host, or the same one after its clock was set
    await world.run(f"billing.plan.change(account_id={account_id!r}, plan_id='smtp_per_proxy')")
    world.clock.now = start.replace(day=22)
    await world.run(f"billing.plan.cancel(account_id={account_id!r}, cancel_immediately=True)")
    # ten days of 64.00 a month of 31 days
    assert await world.balance(account_id) == "979.354838"


def test_a_directory_or_missing_folder_as_database_is_unavailable_in_one_line(program: Cli, tmp_path: Path) -> None:
    for _ in range(10):
        program("accounts", "list", "--database", str(tmp_path)).refused("database_unavailable", 4)


def test_a_key_has_a_name(cli: Cli, lived: str) -> None:
    cli("keys", "create", " ", "--account", MAIL, "--database", lived).refused("invalid_argument", 2)


def test_a_closed_standard_output_is_no_reason_for_a_traceback(lived: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m billing_mcp accounts list --database {lived} >/dev/full"],
        capture_output=True,
        encoding="utf-8",
    )
    assert "Traceback" not in done.stderr


def test_the_problem_of_a_transaction_without_entries_is_said(cli: Cli, lived: str) -> None:
    with closing(sqlite3.connect(lived, isolation_level=None)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("DELETE FROM ledger_entries WHERE account_id = ? AND seq = 5", (MAIL,))
    (finding,) = cli("audit", "verify", "--json", "--database", lived).json["findings"]
    assert finding["problem"] == "it has no entries"


def test_people_see_which_key_is_read_only(cli: Cli, lived: str) -> None:
    cli("keys", "create", "agent", "--account", MAIL, "--read-only", "--database", lived)
    assert "read-only" in cli("keys", "list", "--database", lived).words
