"""A server over HTTP does what falls due by itself, unless it is told not to."""

from __future__ import annotations

import asyncio
from itertools import repeat

import pytest

from tests.faces.server import ACCOUNT, BALANCE, answer, billing_mcp, connected, execute, make_key, serving
from tests.store.books import raw_connection

LATER = "2026-03-20T10:00:00Z"


@pytest.fixture
def due(database: str) -> str:
    """A database with a hold that is due LATER."""
    billing_mcp("accounts", "create", "Northwind Mail", "--id", ACCOUNT, "--database", database)
    billing_mcp("accounts", "topup", ACCOUNT, "100.00", "--database", database)
    billing_mcp("holds", "place", ACCOUNT, "40.00", "--database", database)
    return database


async def _status(database: str) -> str:
    async with raw_connection(database) as run:
        ((status,),) = await run("SELECT status FROM holds")
    return str(status)


async def test_a_hold_that_is_due_expires_without_anybody_asking(due: str) -> None:
    async with serving(due, BILLING_MCP_NOW=LATER) as server, asyncio.timeout(60):
        for pause_s in repeat(0.01):
            await asyncio.sleep(pause_s)
            if await _status(due) != "open":
                break
        assert await server.stop() == 0

    assert await _status(due) == "expired"
    assert "Ended" in server.log[-1]
    billing_mcp("audit", "verify", "--database", due)


@pytest.mark.parametrize(("options", "settings"), [(("--no-worker",), {}), ((), {"BILLING_MCP_WORKER": "false"})])
async def test_without_a_worker_it_waits_for_one(due: str, options: tuple[str, ...], settings: dict[str, str]) -> None:
    key, _ = make_key(due)
    async with serving(due, *options, BILLING_MCP_NOW=LATER, **settings) as server:
        async with connected(server, key) as client:
            assert answer(await execute(client, BALANCE))["result"] == "100.00"
        assert await server.stop() == 0

    assert await _status(due) == "open"
    billing_mcp("worker", "--once", "--database", due)
