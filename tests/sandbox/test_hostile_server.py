"""Hostile scripts against the real server process: it answers them, and whoever asks at the same time."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types import CallToolResult, TextContent

from billing_mcp.app import App
from tests.sandbox import hostile_computing as computing
from tests.sandbox import hostile_reaching as reaching
from tests.sandbox import hostile_texts as texts
from tests.sandbox.hostile import ANYTHING, NOW, TIGHT, Case, Ground, Stopped, generous
from tests.world import World

A_FEW = 3
KINDS: dict[str, list[list[Case]]] = {
    "computing": [computing.LOOPS, computing.MEMORY, computing.RECURSION, computing.NUMBERS, computing.REGEX],
    "holding": [computing.OUTPUT, computing.ASYNC, computing.LOCKS, computing.FLOODS],
    "reaching": [reaching.IMPORTS, reaching.DUNDERS, reaching.FORMATS, reaching.NAMES, reaching.HIDDEN],
    "deceiving": [reaching.EXCEPTIONS, reaching.FALSE_CODES, texts.RESULTS, texts.DEEP_RESULTS],
    "telling": [texts.SOURCES, texts.CHECKER, texts.ARGUMENTS],
}


@asynccontextmanager
async def served(database: Path, log: Path) -> AsyncIterator[Client]:
    """A client of a real server at tight limits, which logs to a file."""
    settings = {f"BILLING_MCP_{name.upper()}": str(value) for name, value in TIGHT.items()}
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "billing_mcp", "serve", "--no-worker", "--database", str(database)],
        env=dict(os.environ) | settings | {"BILLING_MCP_NOW": NOW.isoformat()},
    )
    with log.open("w", encoding="utf-8") as errors:
        async with Client(stdio_client(parameters, errlog=errors), read_timeout_seconds=60) as client:
            yield client


def few(cases: list[Case]) -> list[Case]:
    """Some of a kind, from its whole length."""
    return cases[:: max(1, len(cases) // A_FEW)][:A_FEW]


async def answered(client: Client, code: str) -> tuple[str, dict[str, Any]]:
    """The text that a model reads, and the same as a structure."""
    result = await client.call_tool("execute", {"code": code})
    assert isinstance(result, CallToolResult)
    (content,) = result.content
    assert isinstance(content, TextContent)
    assert result.structured_content is not None
    assert result.is_error == (result.structured_content["status"] == "failed")
    return content.text, result.structured_content


@pytest.mark.parametrize("kind", KINDS)
async def test_the_server_outlives_hostile_scripts_and_nothing_is_changed(kind: str, tmp_path: Path) -> None:
    ground = await Ground.seeded(tmp_path)
    before = ground.stored()
    log = tmp_path / "log"
    balance = ground.written(f"{computing.GET}['balance']")
    async with served(ground.path, log) as client:
        for case in [case for cases in KINDS[kind] for case in few(cases)]:
            (text, answer), tools, (_, beside) = await asyncio.gather(
                answered(client, ground.written(case.source)), client.list_tools(), answered(client, balance)
            )
            assert len(tools.tools) == 1
            assert beside["result"] == "100.00"
            assert answer["changed"] is False
            if case.codes:
                assert answer["error"]["code"] in case.codes, case.name
                assert text.startswith(f"{answer['error']['code']}: "), case.name
                assert "\nNothing was changed." in text, case.name
            else:
                assert case.value is ANYTHING or answer.get("result") == case.value, case.name

    assert ground.stored() == before
    lines = log.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("monty worker: ")] == []
    async with App.open(generous(ground.path), clock=Stopped()) as app:
        assert (await World(app, Stopped()).audit()).findings == ()
