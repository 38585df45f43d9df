"""`billing-mcp demo` as a newcomer starts it: a program of its own, with the real server behind it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

NOW = "2026-03-12T10:00:00Z"
MAIL = "0190c0de-0000-7000-8000-000000000001"
FEW = ("--messages", "50")

Program = Callable[..., "subprocess.CompletedProcess[str]"]


def _start(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `billing-mcp` with nothing from outside, in a folder and a home of its own."""
    for folder in ("here", "temporary"):
        (home / folder).mkdir(exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BILLING_MCP_")}
    own = {"HOME": home, "XDG_DATA_HOME": home, "TMPDIR": home / "temporary", "BILLING_MCP_NOW": NOW}
    return subprocess.run(
        [sys.executable, "-m", "billing_mcp", *arguments],
        cwd=home / "here",
        env=inherited | {name: str(value) for name, value in own.items()},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Run `billing-mcp`, each time in the same home."""
    return partial(_start, tmp_path)


def _json(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _acts(shown: str) -> list[str]:
    """What stands under each of the numbered headings."""
    return re.split(r"^\d\. (?:Read|Preview|Commit) ─+$", shown, flags=re.MULTILINE)[1:]


def _effects(act: str) -> list[tuple[str, str]]:
    """What changes, and how, from the table of effects."""
    rows = re.findall(rf"│ {MAIL} │ (.+?) +│ +(.+?) │", act)
    assert rows
    return rows


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """What `billing-mcp demo` shows, and the home in which it ran."""
    home = tmp_path_factory.mktemp("demo")
    return _start(home, "demo", *FEW), home


def test_the_demo_reads_previews_and_commits(shown: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, _ = shown

    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert "Seeded: Northwind Mail, Heron Logistics, Quill & Crane Studio" in done.stdout
    assert "Its only tool is execute." in done.stdout
    read, preview, commit = _acts(done.stdout)
    assert "✔ completed, nothing was changed" in read
    assert '"costs_a_month": "176.00"' in read
    assert "billing.wallet_balance.get(" in read
    assert "◌ previewed, nothing was changed" in preview
    assert "billing.plan.change(" in preview
    assert "✔ completed, changed" in commit
    assert "billing-mcp demo --seed-only" in commit
    assert "\x1b" not in done.stdout


def test_the_commit_has_the_effects_of_the_preview(shown: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, preview, commit = _acts(shown[0].stdout)

    assert "It would change" in preview
    assert "It changed" in commit
    assert _effects(preview) == _effects(commit)
    assert _effects(commit) == [("available EUR", "-62.451613"), ("plan", "smtp_per_mailbox → smtp_per_proxy")]


def test_the_demo_leaves_no_file_behind(shown: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, home = shown

    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert list((home / "temporary").iterdir()) == []


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_database_that_is_only_seeded_can_be_used_at_once(
    program: Program, kind: str, request: pytest.FixtureRequest
) -> None:
    database = request.getfixturevalue(kind)

    seeded = program("demo", "--seed-only", *FEW, "--database", database)

    assert (seeded.returncode, "Connected" in seeded.stdout) == (0, False)
    listed = _json(program("accounts", "list", "--json", "--database", database))
    names = ["Quill & Crane Studio", "Northwind Mail", "Heron Logistics", "Lantern Market"]
    assert [row["name"] for row in listed] == names
    statuses = {row["id"][-1]: row["status"] for row in listed}
    assert statuses == {"1": "active", "2": "active", "3": "suspended", "4": "active"}


def test_the_demo_on_a_database_of_ones_own_shows_the_same_and_can_be_watched_again(
    shown: tuple[subprocess.CompletedProcess[str], Path], program: Program, sqlite: str
) -> None:
    first, second = (program("demo", *FEW, "--database", sqlite) for _ in range(2))

    assert (first.returncode, second.returncode) == (0, 0)
    told, same = (re.sub(r"[0-9a-f-]{36}", "id", done.stdout) for done in (shown[0], first))
    assert same == told
    assert "Already there: " in second.stdout
    assert len(_acts(second.stdout)) == 3
    plan = _json(program("call", "billing.current_plan.get", f"account_id={MAIL}", "--json", "--database", sqlite))
    assert plan["result"]["plan_id"] == "smtp_per_mailbox"


def test_seeding_without_a_database_named_fills_ones_own(program: Program, tmp_path: Path) -> None:
    assert program("demo", "--seed-only", *FEW).returncode == 0

    assert len(_json(program("accounts", "list", "--json"))) == 4
    assert (tmp_path / "billing-mcp" / "billing.db").is_file()
    assert list((tmp_path / "here").iterdir()) == []
