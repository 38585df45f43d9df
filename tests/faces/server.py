"""The real server as a process of its own, and what tests ask of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_types import CallToolResult

from billing_mcp.demo.history import STORIES
from tests.processes import warm_command

ACCOUNT = STORIES[0].account_id
CHANGE = f"billing.plan.change(account_id={ACCOUNT!r}, plan_id='smtp_per_proxy')"
BALANCE = f"billing.wallet_balance.get(account_id={ACCOUNT!r})['balance']"
NOW = "2026-03-12T10:00:00Z"


def billing_mcp(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        warm_command(*arguments), input=stdin, check=True, capture_output=True, text=True, timeout=60, env=environment()
    )


def environment(**more: str) -> dict[str, str]:
    generous = {"BILLING_MCP_EXECUTION_AFTER_WRITE_S": "5", "BILLING_MCP_WALL_AFTER_WRITE_S": "10"}
    generous["BILLING_MCP_RATE_LIMIT"] = generous["BILLING_MCP_ANONYMOUS_RATE_LIMIT"] = "1000000/second"
    return dict(os.environ) | {"BILLING_MCP_NOW": NOW} | generous | more


def plain_http() -> httpx2.AsyncClient:
    """A client without TLS, which takes longer to set up than a request here."""
    return httpx2.AsyncClient(timeout=60, verify=False)


async def execute(client: Client, code: str, **options: Any) -> CallToolResult:
    result = await client.call_tool("execute", {"code": code, **options})
    assert isinstance(result, CallToolResult)
    return result


def answer(result: CallToolResult) -> dict[str, Any]:
    structured: dict[str, Any] | None = result.structured_content
    assert structured is not None
    return structured


def make_key(database: str, *options: str, account: str = ACCOUNT) -> tuple[str, str]:
    """A new key for the account: its text, and the prefix to revoke it by."""
    made = billing_mcp("keys", "create", "bot", "--account", account, "--json", "--database", database, *options)
    key = json.loads(made.stdout)
    return key["key"], key["prefix"]


@dataclass
class HttpServer:
    """A server process over HTTP."""

    url: str
    process: asyncio.subprocess.Process
    log: list[str]
    logging: asyncio.Task[None]
    """Reads the log, or the server would wait for us once the pipe is full."""

    @property
    def address(self) -> str:
        """Host and port."""
        return self.url.removeprefix("http://").removesuffix("/mcp")

    async def stop(self) -> int:
        """Tell it to end, and wait until it has."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        await self.logging
        return await self.process.wait()


@asynccontextmanager
async def serving(database: str, *options: str, host: str = "127.0.0.1", **more: str) -> AsyncIterator[HttpServer]:
    """A server on a free port, for the block."""
    arguments = ["serve", "--transport", "http", "--host", host, "--port", "0", "--database", database, *options]
    process = await asyncio.create_subprocess_exec(
        *warm_command(*arguments), stderr=asyncio.subprocess.PIPE, env=environment(**more)
    )
    lines = process.stderr
    assert lines is not None
    log: list[str] = []
    while "Serving agents on" not in (log[-1] if log else ""):
        line = (await lines.readline()).decode()
        assert line, f"it ended: {log}"
        log.append(line.rstrip())
    url = log[-1].split()[3]

    async def read_on() -> None:
        log.extend([line.decode().rstrip("\n") async for line in lines])

    server = HttpServer(url, process, log, asyncio.create_task(read_on()))
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def connected(server: HttpServer, key: str, era: str = "auto") -> AsyncIterator[Client]:
    """The SDK's client, with a key."""
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        create_mcp_http_client(headers) as http,
        Client(streamable_http_client(server.url, http_client=http), mode=era, read_timeout_seconds=60) as client,
    ):
        yield client
