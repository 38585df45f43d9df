"""Runs every example against the demo's accounts, and compares what it answers with its `.out` file.

`python examples/run_examples.py` says which differ, and exits with 1 if any does; with
`--update` it writes the files instead.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = sorted(path for path in HERE.glob("*.py") if path.name != Path(__file__).name)
PREVIEWED = {"plan_a_change.py"}


def main() -> int:
    """Run all examples. Returns the exit code."""
    update = "--update" in sys.argv[1:]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        settings = {"BILLING_MCP_DATABASE": f"{folder}/demo.db", "BILLING_MCP_NOW": "2026-03-12T10:00:00Z"}
        billing_mcp(settings, "demo", "--seed-only")
        for script in SCRIPTS:
            options = ["--preview"] if script.name in PREVIEWED else []
            answered = without_ids(billing_mcp(settings, "run", *options, str(script)))
            expected = script.with_suffix(".out")
            if update:
                expected.write_text(answered, "utf-8")
            elif answered != expected.read_text("utf-8"):
                wrong += 1
                print(f"{script.name} answers otherwise than {expected.name}:")
                old, new = expected.read_text("utf-8").splitlines(), answered.splitlines()
                print("\n".join(difflib.unified_diff(old, new, "expected", "answered", lineterm="")))
    print(f"{len(SCRIPTS) - wrong} passed, {wrong} failed")
    return 1 if wrong else 0


def billing_mcp(settings: dict[str, str], *arguments: str) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "billing_mcp", *arguments]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, env=os.environ | settings).stdout


def without_ids(text: str) -> str:
    """The text without what is new in every run: the execution's id, at the end of the first line."""
    first, _, rest = text.partition("\n")
    lines = [first.rpartition("  ")[0], *rest.splitlines()]
    return "\n".join(line.rstrip() for line in lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
