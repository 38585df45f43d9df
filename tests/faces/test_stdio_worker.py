"""A server over stdio goes on with what its scripts have begun, for as long as its client is there."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import repeat
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters

from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.store.store import Store
from tests.faces.server import ACCOUNT, NOW, answer, billing_mcp, environment, execute
from tests.faces.test_stdin import HANDSHAKE
from tests.processes import warm_command

RELOAD = f"""
billing.auto_reload.set(account_id={ACCOUNT!r}, enabled=True, threshold='50.00', amount='60.00')['state']
"""
STATE = f"""
reload = billing.auto_reload.get(account_id={ACCOUNT!r})
[reload['state'], reload['reloaded_this_month'], billing.balance.get(account_id={ACCOUNT!r})['free']]
"""


@asynccontextmanager
async def served(database: str, *options: str, **more: str) -> AsyncIterator[Client]:
    program, *arguments = warm_command("serve", "--database", database, *options)
    parameters = StdioServerParameters(command=program, args=arguments, env=environment(**more))
    async with Client(parameters, read_timeout_seconds=60) as client:
        yield client


def furnish(database: str) -> None:
    """An account with 100.00."""
    billing_mcp("accounts", "create", "Northwind Mail", "--id", ACCOUNT, "--database", database)
    billing_mcp("accounts", "topup", ACCOUNT, "100.00", "--database", database)


async def spend(database: str, amount_micros: int) -> None:
    """The platform's own process sets money aside."""
    store = await Store.open(database)
    try:
        await PlatformHolds(store, lambda: datetime.fromisoformat(NOW)).place(ACCOUNT, amount_micros)
    finally:
        await store.close()


async def state(client: Client) -> Any:
    return answer(await execute(client, STATE))["result"]


async def test_a_balance_that_falls_meanwhile_is_reloaded_without_anybody_asking(database: str) -> None:
    furnish(database)
    async with served(database) as client, asyncio.timeout(60):
        added = answer(await execute(client, f"billing.payment_methods.add(account_id={ACCOUNT!r}, token='tok_visa')"))
        assert added["followups"][0]["payment_method"]["status"] == "active"
        assert answer(await execute(client, RELOAD))["result"] == "armed"

        await spend(database, 60_000_000)

        for pause_s in repeat(0.05):
            found = await state(client)
            if found == ["armed", "60.00", "100.00"]:
                break
            assert found[0] in ("armed", "reloading")
            await asyncio.sleep(pause_s)
    billing_mcp("audit", "verify", "--database", database)


async def test_without_a_worker_it_waits_for_one(database: str) -> None:
    furnish(database)
    async with served(database, "--no-worker", BILLING_MCP_WORKER_POLL_S="0.01") as client:
        await execute(client, f"billing.payment_methods.add(account_id={ACCOUNT!r}, token='tok_visa')")
        await execute(client, RELOAD)
        await spend(database, 60_000_000)
        assert await state(client) == ["armed", "0.00", "40.00"]
        worked = json.loads(billing_mcp("worker", "--once", "--json", "--database", database).stdout)
        assert await state(client) == ["armed", "60.00", "100.00"]
    assert worked["done"] == 7  # looking at the balance, the charge, and five events: nobody else has done them


async def test_it_ends_with_its_client_and_has_said_nothing_but_messages(sqlite: str) -> None:
    furnish(sqlite)
    process = await asyncio.create_subprocess_exec(
        *warm_command("serve", "--database", sqlite), stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment()
    )
    call = {"name": "execute", "arguments": {"code": STATE}}
    lines = [*HANDSHAKE, {"jsonrpc": "2.0", "id": "call", "method": "tools/call", "params": call}]
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("".join(json.dumps(line) + "\n" for line in lines).encode())
    said = [json.loads(await process.stdout.readline()) for _ in range(2)]
    process.stdin.close()
    rest, errors = await process.communicate()

    assert [line["id"] for line in said] == ["initialize", "call"]
    assert (rest, process.returncode) == (b"", 0)
    assert b"Traceback" not in errors
