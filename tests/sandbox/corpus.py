"""Scripts as agents write them, and what they get back: `agents/*.txt`, read, run and written again.

Add a script under a title of its own, and run `python -m tests.generated`: it fills in the answer,
which is then yours to read as an agent would. All run as previews on the demo's accounts, so that
none sees what another has done.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from billing_mcp.app import LOCAL_PRINCIPAL, App
from billing_mcp.demo.history import seed_demo
from billing_mcp.faces.mcp import failure_text
from billing_mcp.kernel.principal import Permission, Principal
from billing_mcp.settings import Settings

FILES = sorted((Path(__file__).parent / "agents").glob("*.txt"))
_NOW = datetime(2026, 3, 12, 10, 0, tzinfo=UTC)
_AGENT = Principal(LOCAL_PRINCIPAL, frozenset(Permission))
_CASE = re.compile(r"^=== (?P<title>.+)\n(?P<rest>(?:(?!=== ).*\n)*)", re.MULTILINE)
_ANSWER = "--- answer\n"


@dataclass(frozen=True, slots=True)
class Case:
    """A script, and what the agent that sends it reads."""

    title: str
    script: str
    answer: str


def read(file: Path) -> list[Case]:
    """The cases of a file."""
    parts = [(found["title"], *found["rest"].partition(_ANSWER)) for found in _CASE.finditer(file.read_text("utf-8"))]
    return [Case(title, script.rstrip("\n"), answer.strip("\n")) for title, script, _, answer in parts]


def text_of(cases: list[Case]) -> str:
    """The text of a file with these cases."""
    return "\n".join(f"=== {case.title}\n{case.script}\n{_ANSWER}{case.answer}\n" for case in cases)


@asynccontextmanager
async def demo_app() -> AsyncIterator[App]:
    """An app with the demo's accounts, on the demo's day."""
    with TemporaryDirectory() as folder:
        settings = Settings(
            database=f"{folder}/demo.db", execution_after_write_s=5, wall_after_write_s=10, wall_s=60, workers=2
        )
        async with App.open(settings, clock=lambda: _NOW) as app:
            await seed_demo(app.store, _NOW, messages=1000)
            yield app


async def answer(app: App, script: str) -> str:
    """What the agent reads, as the MCP face shows it; only the execution's id is left out."""
    answered = await app.run_script(_AGENT, script, preview=True)
    if answered.status == "failed":
        return failure_text(answered).rstrip("\n")
    return answered.model_copy(update={"execution_id": "…"}).to_json()


async def rewrite() -> None:
    """Write the files again, with the answers that the scripts get now."""
    async with demo_app() as app:
        for file in FILES:
            cases = [Case(case.title, case.script, await answer(app, case.script)) for case in read(file)]
            file.write_text(text_of(cases), "utf-8")
