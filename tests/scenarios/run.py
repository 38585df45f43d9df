"""`python -m tests.scenarios.run [--update] [NAME...]`: play scenarios, and compare what comes out with their texts.

With `--update` the lower halves are written anew. What then differs from before has to be checked by somebody who knows
what it should be; comments stay above the lines that they were above.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import logging
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import structlog

from billing_mcp.store.store import Store
from tests.scenarios.arithmetic import check
from tests.scenarios.language import MARK
from tests.scenarios.play import play

FOLDER = Path(__file__).parent


def scenarios() -> list[Path]:
    """All of them."""
    return sorted(FOLDER.glob("*.txt"))


def expected_of(text: str) -> str:
    """What must come out, without comments and empty lines at its ends."""
    return _without_comments(text.partition(MARK)[2])


def difference(text: str, outcome: str, name: str) -> str:
    """How an outcome differs from what a text says must come out; nothing where it does not."""
    must_be, is_now = expected_of(text).splitlines(), outcome.strip().splitlines()
    return "\n".join(difflib.unified_diff(must_be, is_now, f"{name}: must be", f"{name}: is", lineterm="", n=2))


def updated(text: str, outcome: str) -> tuple[str, list[str]]:
    """The text with another lower half, and the comments whose lines are gone."""
    upper, _, lower = text.partition(MARK)
    comments: dict[tuple[str, int], list[str]] = {}
    seen: dict[str, int] = defaultdict(int)
    block: list[str] = []
    for line in lower.splitlines():
        if line.lstrip().startswith("#"):
            block.append(line)
        elif block or line.strip():
            comments[line, seen[line]] = block
            seen[line] += 1
            block = []
    seen.clear()
    written = []
    for line in outcome.splitlines():
        written += [*comments.pop((line, seen[line]), []), line]
        seen[line] += 1
    lost = [comment for block in comments.values() for comment in block]
    return f"{upper.rstrip()}\n\n{MARK}\n\n" + "\n".join(written).strip() + "\n", lost + block


async def played(text: str) -> str:
    """What comes out, on a SQLite database that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        store = await Store.open(str(Path(folder) / "billing.db"))
        try:
            return await play(text, store)
        finally:
            await store.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="of scenarios, such as leap_day; by default all")
    parser.add_argument("--update", action="store_true", help="write what comes out")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    wrong = 0
    for path in scenarios():
        if asked.names and path.stem not in asked.names:
            continue
        text = path.read_text(encoding="utf-8")
        outcome = asyncio.run(played(text))
        if asked.update:
            text, lost = updated(text, outcome)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write("".join(f"{path.stem}: beside its line no more: {each.strip()}\n" for each in lost))
        for problem in (difference(text, outcome, path.stem), *check(text)):
            if problem:
                sys.stdout.write(f"{path.stem}: {problem}\n")
                wrong = 1
    return wrong


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")).strip()


if __name__ == "__main__":
    sys.exit(main())
