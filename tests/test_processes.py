"""A command that is forked off a warm process does what one does that a user starts."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import cold_command, warm_command

Command = Callable[..., list[str]]
EACH_WAY = pytest.mark.parametrize("command", [warm_command, cold_command])


def run(command: list[str], folder: Path, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    settings = {name: value for name, value in os.environ.items() if not name.startswith("BILLING_MCP_")} | more
    return subprocess.run(
        command, input=stdin, env=settings, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@EACH_WAY
def test_it_has_its_own_arguments_streams_environment_folder_and_end(command: Command, tmp_path: Path) -> None:
    refused = run(command("run", "-", "--database", "here.db"), tmp_path, "1/0", BILLING_MCP_NOW="2026-03-12T10:00Z")
    wrong = run(command("accounts", "list"), tmp_path, BILLING_MCP_NOW="yesterday")

    assert (refused.returncode, "ZeroDivisionError" in refused.stdout + refused.stderr) == (1, True), refused
    assert (tmp_path / "here.db").exists()
    assert (wrong.returncode, wrong.stdout) == (2, ""), wrong
    assert "BILLING_MCP_NOW" in wrong.stderr


@EACH_WAY
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_by_a_signal(command: Command, number: signal.Signals, sqlite: str) -> None:
    words = command("serve", "--transport", "http", "--port", "0", "--database", sqlite)
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        while "Serving agents on" not in server.stderr.readline():
            assert server.poll() is None
        server.send_signal(number)
        rest = server.stderr.read()  # to its end, which is that of the process itself

    assert (server.returncode, "Ended" in rest) == ((0, True) if number == signal.SIGTERM else (-9, False))
