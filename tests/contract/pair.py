"""Two server processes on one PostgreSQL database, and clients that turn to one or the other."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from threading import Thread
from typing import Any

from httpx2 import AsyncClient, Limits, Response
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from billing_mcp.domain.ledger import LedgerTransaction
from billing_mcp.operations.platform import make_platform_key
from billing_mcp.store.store import Store
from tests.store.books import NOW, audit, history

_FREE = {
    "BILLING_MCP_RATE_LIMIT": "",
    "BILLING_MCP_PLATFORM_RATE_LIMIT": "",
    "BILLING_MCP_ANONYMOUS_RATE_LIMIT": "",
    # What a change does on a busy machine is not what the tests are about.
    "BILLING_MCP_EXECUTION_AFTER_WRITE_S": "5",
    "BILLING_MCP_WALL_AFTER_WRITE_S": "10",
    "BILLING_MCP_WORKERS": "2",
}
_numbers = count(1)


@dataclass(frozen=True)
class Running:
    """The processes, where each listens, and a key of the platform."""

    database: str
    platform: str
    processes: tuple[subprocess.Popen[str], ...]
    urls: tuple[str, ...]


@dataclass
class Pair:
    """The two as a client meets them: each request goes to the one or to the other in turn, unless it says to which."""

    running: Running
    clients: tuple[AsyncClient, ...]
    _turns: Iterator[int] = field(default_factory=lambda: cycle((0, 1)))

    async def send(
        self, method: str, path: str, body: Any = None, *, by: str | None = None, key: str = "", to: int | None = None
    ) -> Response:
        """Send a request with the credential `by`, or else the platform's, under an idempotency key."""
        headers = {"Authorization": f"Bearer {by or self.running.platform}"}
        if key:
            headers["Idempotency-Key"] = key
        client = self.clients[next(self._turns) if to is None else to]
        return await client.request(method, path, json=body, headers=headers)

    async def platform(self, method: str, path: str, body: Any = None, *, key: str = "", to: int | None = None) -> Any:
        """What the platform is answered, to a request that works."""
        response = await self.send(method, f"/v1/platform{path}", body, key=key, to=to)
        assert response.status_code < 300, response.text
        return response.json() if response.content else None

    async def twins(self, method: str, path: str, body: Any, *, by: str | None = None, key: str) -> list[Response]:
        """The answers to the same request under the same key, which both are sent three times at once."""
        sent = [self.send(method, path, body, by=by, key=key, to=number % 2) for number in range(6)]
        return await asyncio.gather(*sent)

    async def account(self, funds: str = "100.00") -> str:
        """A new account with money."""
        account_id: str = (await self.platform("POST", "/accounts", {"name": f"Account {next(_numbers)}"}))[
            "account_id"
        ]
        await self.platform("POST", f"/accounts/{account_id}/credits", {"amount": funds, "reason": "To begin with"})
        return account_id

    async def agent(self, account_id: str, to: int | None = None) -> str:
        """A new key of an agent for the account."""
        granted = {"name": "bot", "account_ids": [account_id], "permissions": ["billing.view", "billing.manage"]}
        made = await self.platform("POST", "/keys", granted, to=to)
        key: str = made["key"]
        return key

    async def balances(self, account_id: str) -> tuple[float, float]:
        """What is free and what is reserved, about which both are of one mind."""
        shown = [await self.platform("GET", f"/accounts/{account_id}", to=number) for number in (0, 1)]
        assert shown[0] == shown[1]
        return shown[0]["free"], shown[0]["reserved"]

    async def until_free(self, account_id: str, free: float) -> None:
        """Wait until so much can be spent."""
        for _ in range(600):
            shown = await self.platform("GET", f"/accounts/{account_id}")
            if shown["free"] == free:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(shown)

    async def script(self, key: str, code: str, *, to: int, idempotency_key: str = "") -> dict[str, Any]:
        """What a script is answered over MCP."""
        async with self.agent_client(key, to) as client:
            result = await client.call_tool("execute", {"code": code, "idempotency_key": idempotency_key})
            answer: dict[str, Any] = getattr(result, "structured_content", None) or {}
            return answer

    @asynccontextmanager
    async def agent_client(self, key: str, to: int) -> AsyncIterator[Client]:
        """An agent over MCP."""
        url = f"{self.running.urls[to]}/mcp"
        async with (
            create_mcp_http_client({"Authorization": f"Bearer {key}"}) as http,
            Client(streamable_http_client(url, http_client=http), mode="auto", read_timeout_seconds=60) as client,
        ):
            yield client


@contextmanager
def running_pair(database: str, **more: str) -> Iterator[Running]:
    """Two servers for the block."""
    platform = asyncio.run(_platform_key(database))
    command = [sys.executable, "-m", "billing_mcp", "serve", "--transport", "http", "--port", "0"]
    env = dict(os.environ) | {"BILLING_MCP_NOW": NOW.isoformat(), "BILLING_MCP_DATABASE": database} | _FREE | more
    with ExitStack() as stack:
        processes = tuple(stack.enter_context(_process(command, env)) for _ in range(2))
        yield Running(database, platform, processes, tuple(_address(process) for process in processes))


@contextmanager
def _process(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


@asynccontextmanager
async def pair_of(running: Running, *, keep_alive: bool = True) -> AsyncIterator[Pair]:
    """Clients of both. Without `keep_alive` each request has a connection of its own."""
    limits = Limits(max_connections=256, max_keepalive_connections=256 if keep_alive else 0)
    async with (
        AsyncClient(base_url=running.urls[0], timeout=60, limits=limits) as one,
        AsyncClient(base_url=running.urls[1], timeout=60, limits=limits) as other,
    ):
        yield Pair(running, (one, other))


async def ledger(running: Running, account_id: str) -> list[LedgerTransaction]:
    """All that was ever posted on an account."""
    store = await Store.open(running.database)
    try:
        return await history(store, account_id)
    finally:
        await store.close()


async def kinds(running: Running, account_id: str) -> Counter[str]:
    """How many transactions of each type an account has."""
    return Counter(transaction.type for transaction in await ledger(running, account_id))


async def assert_clean_books(running: Running) -> None:
    """The audit of all books finds nothing."""
    store = await Store.open(running.database)
    try:
        assert (await audit(store)).findings == ()
    finally:
        await store.close()


async def _platform_key(database: str) -> str:
    store = await Store.open(database)
    try:
        async with store.write(NOW) as tx:
            text, _ = await make_platform_key(tx, "platform")
            return text
    finally:
        await store.close()


def _address(process: subprocess.Popen[str]) -> str:
    """Where it listens. From then on its log is read to its end: who cannot write his log stands still."""
    assert process.stderr is not None
    line = ""
    while "Serving agents on" not in line:
        line = process.stderr.readline()
        assert line, "the server has ended"
    Thread(target=process.stderr.read, daemon=True).start()
    return line.split()[3].removesuffix("/mcp")
