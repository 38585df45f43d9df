"""Owns the demo: the real server as a subprocess, an agent's scripts through a real MCP client."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.resources import files
from typing import Any
from uuid import uuid4

from mcp import Client
from mcp.client.stdio import StdioServerParameters
from rich.console import Console

from billing_mcp import terminal
from billing_mcp.kernel.answer import Answer

_PASSED_ON = ("BILLING_MCP_NOW", "BILLING_MCP_EXECUTION_AFTER_WRITE_S", "BILLING_MCP_WALL_AFTER_WRITE_S")


async def show_demo(database: str, out: Console) -> bool:
    """Run the demo's three scripts on a seeded database, and print what happens.

    Returns whether every script did what it was written for.
    """
    settings = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    well = True
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "billing_mcp", "serve", "--database", database], env=settings
    )
    async with Client(server) as client:
        tools = (await client.list_tools()).tools
        out.print(f"Connected to [bold]billing-mcp[/] over MCP. Its only tool is [bold]{tools[0].name}[/].\n")
        for title, what, name, options in _steps():
            source = files("billing_mcp.demo").joinpath("scripts", name).read_text("utf-8")
            out.rule(f"[bold]{title}[/]", align="left", style="dim")
            out.print(what, style="dim")
            out.print(terminal.script(source))
            result = await client.call_tool("execute", {"code": source, **options})
            answer = Answer.model_validate(result.structured_content)
            well = well and answer.error is None
            out.print(*terminal.answer(answer), sep="\n")
            out.print()
    return well


def _steps() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """The title of each step, what is said of it, its script, and how that is sent."""
    yield "1. Read", "The agent looks at the wallet and compares the plans. Reading changes nothing.", "read.py", {}
    what = "It writes the change, and runs it with preview=true: it really runs, and is rolled back."
    yield "2. Preview", what, "change.py", {"preview": True}
    what = "The same script, for good. The idempotency key makes it safe to send again: it happens once."
    yield "3. Commit", what, "change.py", {"idempotency_key": f"demo-{uuid4()}"}
