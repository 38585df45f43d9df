"""The command line as a person uses it: arguments in; an exit code, output and errors back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from billing_mcp.cli.main import app
from tests.logs import logs_restored
from tests.processes import warm_command

NOW = "2026-03-12T10:00:00Z"
MAIL = "0190c0de-0000-7000-8000-000000000001"
LOGISTICS = "0190c0de-0000-7000-8000-000000000002"
STUDIO = "0190c0de-0000-7000-8000-000000000003"
NOBODY = "0190c0de-0000-7000-8000-0000000000ff"
_names = count(1)


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it said."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def words(self) -> str:
        """What people read, without the lines around it and where it was wrapped."""
        return " ".join("".join(" " if "\u2500" <= c <= "\u257f" else c for c in self.stdout).split())

    def refused(self, code: str, exit_code: int) -> Outcome:
        """It said so in one line on standard error, and nothing else."""
        assert (self.exit_code, self.stdout) == (exit_code, ""), self
        (line,) = self.stderr.splitlines()
        assert line.startswith(f"error {code}: "), line
        return self


Cli = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing from outside but the clock, which stands still; and logging as it was, afterwards."""
    for name in [name for name in os.environ if name.startswith("BILLING_MCP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BILLING_MCP_NOW", NOW)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home" / "data"))
    with logs_restored():
        yield


@pytest.fixture
def cli() -> Cli:
    """Run a command in this process."""
    runner = CliRunner()

    def run(*arguments: str, stdin: str | None = None, **env: str) -> Outcome:
        result = runner.invoke(app, arguments, input=stdin, env=env)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def program() -> Cli:
    """Run a command as a program of its own."""

    def run(*arguments: str, stdin: str | None = None, **env: str) -> Outcome:
        done = subprocess.run(
            warm_command(*arguments),
            input=stdin,
            env=os.environ | env,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def _lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the demo's past."""
    path = tmp_path_factory.mktemp("lived") / "demo.db"
    result = CliRunner().invoke(
        app, ["demo", "--seed-only", "--messages", "1000", "--database", str(path)], env={"BILLING_MCP_NOW": NOW}
    )
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture
def lived(_lived: Path, tmp_path: Path) -> str:
    """A SQLite database of one's own with the demo's four accounts and their past."""
    return str(shutil.copy(_lived, tmp_path / "lived.db"))


@pytest.fixture
async def empty_postgresql(postgresql_server: str) -> str:
    """The URL of a PostgreSQL database without any table."""
    name = f"empty_{os.getpid()}_{next(_names)}"
    connection = await asyncpg.connect(postgresql_server)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return postgresql_server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def account(cli: Cli, database: str) -> str:
    """An account with 100.00 on each kind of database in turn."""
    assert cli("accounts", "create", "Northwind Mail", "--id", MAIL, "--database", database).exit_code == 0
    assert cli("accounts", "topup", MAIL, "100.00", "--database", database).exit_code == 0
    return MAIL
