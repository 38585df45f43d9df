"""What all commands share: help, one-line errors, exit codes, and standard output for results only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.main import get_command

from billing_mcp import __version__
from billing_mcp.cli.common import errors_as_exit_codes, exit_code
from billing_mcp.cli.main import app
from billing_mcp.domain.errors import ERRORS
from tests.cli.conftest import MAIL, NOBODY, Cli


def _commands() -> Iterator[tuple[tuple[str, ...], str]]:
    """Each command's path, and the first sentence of what it says of itself."""

    def walk(group: TyperGroup, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
        context = typer.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            if isinstance(command, TyperGroup):
                yield from walk(command, (*path, name))
            else:
                yield (*path, name), (command.help or "").partition(".")[0]

    root = get_command(app)
    assert isinstance(root, TyperGroup)
    return walk(root, ())


COMMANDS = dict(_commands())


def test_the_commands_are_those_that_are_promised() -> None:
    promised = (
        "serve demo run call db/upgrade audit/verify accounts/create accounts/list keys/create keys/list keys/revoke"
    )

    assert {"/".join(path) for path in COMMANDS} >= set(promised.split())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_help_of_a_command_says_what_it_does_and_which_database_it_takes(cli: Cli, path: tuple[str, ...]) -> None:
    shown = cli(*path, "--help", COLUMNS="200")

    assert (shown.exit_code, shown.stderr) == (0, "")
    assert len(COMMANDS[path]) >= len("Create a key")
    assert " ".join(COMMANDS[path].split()) in shown.words
    if path[0] != "catalog" and path != ("payments", "tokens"):  # they read a file alone, or what is built in
        assert "--database" in shown.words
        assert "BILLING_MCP_DATABASE" in shown.words


def test_the_help_of_the_program_names_each_command_and_where_to_start(cli: Cli) -> None:
    shown = cli("--help", COLUMNS="200")

    assert shown.exit_code == 0
    assert all(path[0] in shown.words for path in COMMANDS)
    assert "Start here: billing-mcp demo" in shown.words


def test_the_version_is_said_whatever_else_is_asked(cli: Cli) -> None:
    for arguments in (("--version",), ("--version", "accounts", "list"), ("--version", "nonsense")):
        said = cli(*arguments)
        assert (said.exit_code, said.stdout, said.stderr) == (0, f"billing-mcp {__version__}\n", "")


@pytest.mark.parametrize("group", sorted({path[0] for path in COMMANDS if len(path) > 1}))
def test_a_group_without_a_command_shows_its_commands(cli: Cli, group: str) -> None:
    shown = cli(group, COLUMNS="200")

    assert shown.exit_code == 2
    assert all(path[1] in shown.words for path in COMMANDS if path[0] == group)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("accounts", "nonsense"),
        ("accounts", "list", "--nonsense"),
        ("accounts", "list", "extra"),
        ("run",),
        ("call",),
        ("serve", "extra"),
    ],
)
def test_what_is_no_command_is_a_usage_error(cli: Cli, arguments: tuple[str, ...]) -> None:
    outcome = cli(*arguments)

    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "--help" in outcome.stderr


@pytest.mark.parametrize(
    "database", [":memory:", "mysql://me:geheim@host/name", "http://x", "sqlite://", "oracle:x://", "://"]
)
@pytest.mark.parametrize("command", ["accounts list", "run -", "db upgrade", "demo"])
def test_a_database_that_cannot_be_one_is_a_usage_error(cli: Cli, command: str, database: str) -> None:
    refused = cli(*command.split(), "--database", database, stdin="1").refused("invalid_database", 2)

    assert "sqlite:///" in refused.stderr
    assert "postgresql://" in refused.stderr
    assert "geheim" not in refused.stderr


@pytest.mark.parametrize("command", ["accounts list", "audit verify", "run -", "db upgrade", "demo --seed-only"])
def test_a_file_that_is_no_database_is_unavailable_and_left_as_it_is(cli: Cli, tmp_path: Path, command: str) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear customer, " * 500, "utf-8")

    refused = cli(*command.split(), "--database", str(letter), stdin="1").refused("database_unavailable", 4)

    assert "not a SQLite database" in refused.stderr
    assert letter.read_text("utf-8") == "Dear customer, " * 500


@pytest.mark.parametrize("command", ["accounts list", "run -", "db upgrade"])
def test_a_postgresql_that_cannot_be_reached_is_unavailable(cli: Cli, postgresql_server: str, command: str) -> None:
    nobody = postgresql_server.replace("postgres:@", "nobody:geheim@")
    nothing = postgresql_server.replace("/postgres?", "/nothing?")

    for url in ("postgresql://me:geheim@127.0.0.1:1/billing", nobody, nothing):
        refused = cli(*command.split(), "--database", url, stdin="1").refused("database_unavailable", 4)
        assert "--database" in refused.stderr
        assert "geheim" not in refused.stderr


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("BILLING_MCP_WALL_S", "abc", "number"),
        ("BILLING_MCP_WALL_S", "0", "greater than 0"),
        ("BILLING_MCP_WALL_S", "nan", "finite"),
        ("BILLING_MCP_EXECUTION_S", "-1", "greater than 0"),
        ("BILLING_MCP_MEMORY_MB", "1", "8"),
        ("BILLING_MCP_CALLS", "1.5", "integer"),
        ("BILLING_MCP_WORKERS", "0", "1"),
        ("BILLING_MCP_RESULT_CHARS", "199", "200"),
        ("BILLING_MCP_READ_ONLY", "maybe", "boolean"),
        ("BILLING_MCP_NOW", "yesterday", "date"),
    ],
)
@pytest.mark.parametrize("command", ["accounts list", "run -", "serve"])
def test_a_setting_of_the_environment_that_is_wrong_is_named_with_its_mend(
    cli: Cli, sqlite: str, command: str, name: str, value: str, mend: str
) -> None:
    refused = cli(*command.split(), "--database", sqlite, stdin="1", **{name: value}).refused("invalid_argument", 2)

    assert f"{name}: " in refused.stderr
    assert mend in refused.stderr
    assert repr(value) in refused.stderr


@pytest.mark.parametrize("permissions", ["nonsense", "view,nonsense", ",", ""])
def test_permissions_to_serve_that_do_not_exist_are_a_usage_error(cli: Cli, sqlite: str, permissions: str) -> None:
    refused = cli("serve", "--permissions", permissions, "--database", sqlite).refused("invalid_argument", 2)

    assert "view, manage or view,manage" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (("accounts", "topup", NOBODY, "5.00"), "not_found", 3),
        (("call", "billing.plans.list", "nonsense"), "invalid_argument", 2),
        (("accounts", "list", "--database", "mysql://x/y"), "invalid_database", 2),
    ],
)
def test_a_program_of_its_own_says_its_errors_in_one_line(
    program: Cli, lived: str, arguments: tuple[str, ...], code: str, expected: int
) -> None:
    program(*arguments, BILLING_MCP_DATABASE=lived).refused(code, expected)


def test_the_database_may_come_from_the_environment_and_the_option_outranks_it(
    cli: Cli, lived: str, sqlite: str
) -> None:
    assert len(cli("accounts", "list", "--json", BILLING_MCP_DATABASE=lived).json) == 4
    assert cli("accounts", "list", "--json", "--database", sqlite, BILLING_MCP_DATABASE=lived).json == []


def test_without_any_database_named_it_is_a_file_of_ones_own(cli: Cli, tmp_path: Path) -> None:
    cli("accounts", "create", "Northwind Mail")

    assert [row["name"] for row in cli("accounts", "list", "--json").json] == ["Northwind Mail"]
    assert (tmp_path / "home" / "data" / "billing-mcp" / "billing.db").is_file()


@pytest.mark.parametrize("code", ERRORS)
def test_every_error_code_has_a_documented_exit_code(code: str) -> None:
    documented = {
        "InvalidArgument": 2, "Unauthenticated": 3, "PermissionDenied": 3,
        "NotFound": 3, "Refused": 3, "InsufficientFunds": 3,
        "LimitExceeded": 3, "Conflict": 4, "RateLimited": 4, "Unavailable": 4, "ScriptFailed": 1, "Internal": 1,
    }  # fmt: skip

    assert exit_code(ERRORS[code]) == documented[ERRORS[code].__name__]


def test_an_interrupt_ends_in_exit_code_130() -> None:
    with pytest.raises(typer.Exit) as left, errors_as_exit_codes():
        raise KeyboardInterrupt

    assert left.value.exit_code == 130


def test_an_interrupted_script_ends_at_once_without_a_traceback_and_leaves_nothing(cli: Cli, lived: str) -> None:
    before = cli("accounts", "list", "--json", "--database", lived).json
    # The padding is more than the pipe holds: when it is written, the program is at work on it.
    script = f"billing.plan.cancel(account_id={MAIL!r})\nwhile True:\n    pass\n" + "#" * 50_000
    process = subprocess.Popen(
        [sys.executable, "-m", "billing_mcp", "run", "-", "--database", lived],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | {"BILLING_MCP_WALL_S": "60", "BILLING_MCP_EXECUTION_S": "60"}
        | {"BILLING_MCP_WALL_AFTER_WRITE_S": "60", "BILLING_MCP_EXECUTION_AFTER_WRITE_S": "60"},
        pipesize=4096,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(script)
    process.stdin.close()
    process.stdin = None
    process.send_signal(signal.SIGINT)

    stdout, stderr = process.communicate(timeout=30)

    assert (process.returncode, stdout, stderr) == (130, "", "")
    assert cli("accounts", "list", "--json", "--database", lived).json == before
    assert cli("audit", "verify", "--database", lived).exit_code == 0
    plan = cli("call", "billing.current_plan.get", f"account_id={MAIL}", "--json", "--database", lived).json
    assert plan["result"]["status"] == "active"


@pytest.mark.parametrize("arguments", ["accounts list", "accounts list --json"])
def test_a_reader_that_is_gone_is_no_reason_for_a_traceback(lived: str, arguments: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "billing_mcp", *arguments.split(), "--database", lived],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None

    _, stderr = process.communicate(timeout=30)

    assert "Traceback" not in stderr
    assert "BrokenPipe" not in stderr


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("accounts", "create", "Card 4242 4242 4242 4242"), "argument 3"),
        (("holds", "place", MAIL, "1.00", "--reference", "4242424242424242"), "--reference"),
        (("holds", "place", MAIL, "1.00", "--reference=4242424242424242"), "--reference"),
        (("call", "billing.plan.change", "plan_id=4242-4242-4242-4242"), "plan_id"),
        (("call", "4242424242424242"), "argument 2"),
        (("4242424242424242",), "argument 1"),
    ],
)
def test_a_card_number_among_the_arguments_is_refused_and_not_shown(
    cli: Cli, lived: str, arguments: tuple[str, ...], field: str
) -> None:
    refused = cli(*arguments, *(("--database", lived) if len(arguments) > 1 else ()))

    refused.refused("card_number", 2)
    assert f" {field} holds a card number" in refused.stderr
    assert "4242" not in refused.stderr
