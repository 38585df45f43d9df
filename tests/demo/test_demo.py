"""`billing-mcp demo` as a newcomer starts it: a program of its own, with the real server behind it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NOW = "2026-03-12T10:00:00Z"
MAIL = "0190c0de-0000-7000-8000-000000000001"

Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Run `billing-mcp`, in a folder and a home of its own."""
    (tmp_path / "here").mkdir()
    (tmp_path / "temporary").mkdir()
    own = {
        "HOME": str(tmp_path / "home"),
        "XDG_DATA_HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "temporary"),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BILLING_MCP_")}

    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "billing_mcp", *arguments],
            cwd=tmp_path / "here",
            env=inherited | own | {"BILLING_MCP_NOW": NOW} | env,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    return run


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


def test_the_demo_reads_previews_and_commits_and_leaves_no_file_behind(program: Program, tmp_path: Path) -> None:
    shown = program("demo")

    assert (shown.returncode, shown.stderr.strip()) == (0, "")
    assert "Seeded: Northwind Mail, Heron Logistics, Quill & Crane Studio" in shown.stdout
    assert "Its only tool is execute." in shown.stdout
    read, preview, commit = _acts(shown.stdout)
    assert "✔ completed, nothing was changed" in read
    assert '"costs_a_month": "176.00"' in read
    assert "billing.wallet_balance.get(" in read
    assert "◌ previewed, nothing was changed" in preview
    assert "billing.plan.change(" in preview
    assert "✔ completed, changed" in commit
    assert (
        _effects(preview)
        == _effects(commit)
        == [
            ("available EUR", "-62.451613"),
            ("plan", "smtp_per_mailbox → smtp_per_proxy"),
        ]
    )
    assert "billing-mcp demo --seed-only" in commit
    assert "\x1b" not in shown.stdout
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert left == []
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_demo_shows_the_same_at_the_same_moment(program: Program) -> None:
    one, two = (re.sub(r"[0-9a-f-]{36}", "id", program("demo").stdout) for _ in range(2))

    assert one == two


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_database_that_is_only_seeded_can_be_used_at_once(
    program: Program, kind: str, request: pytest.FixtureRequest
) -> None:
    database = request.getfixturevalue(kind)

    seeded = program("demo", "--seed-only", "--database", database)

    assert (seeded.returncode, "Connected" in seeded.stdout) == (0, False)
    listed = _json(program("accounts", "list", "--json", "--database", database))
    assert [row["name"] for row in listed] == ["Quill & Crane Studio", "Northwind Mail", "Heron Logistics"]
    assert {row["id"][-1]: row["status"] for row in listed} == {"1": "active", "2": "active", "3": "past_due"}
    assert _json(program("audit", "verify", "--json", "--database", database))["sound"]


def test_the_demo_on_a_database_of_ones_own_seeds_it_once_and_can_be_watched_again(
    program: Program, sqlite: str
) -> None:
    first, second = (program("demo", "--database", sqlite) for _ in range(2))

    assert (first.returncode, second.returncode) == (0, 0)
    assert "Seeded: " in first.stdout
    assert "Already there: " in second.stdout
    assert len(_acts(second.stdout)) == 3
    assert len(_json(program("accounts", "list", "--json", "--database", sqlite))) == 3
    plan = _json(program("call", "billing.current_plan.get", f"account_id={MAIL}", "--json", "--database", sqlite))
    assert plan["result"]["plan_id"] == "smtp_per_proxy"


def test_seeding_without_a_database_named_fills_ones_own(program: Program, tmp_path: Path) -> None:
    assert program("demo", "--seed-only").returncode == 0

    assert len(_json(program("accounts", "list", "--json"))) == 3
    assert (tmp_path / "home" / "billing-mcp" / "billing.db").is_file()
    assert list((tmp_path / "here").iterdir()) == []
