"""A client in TypeScript that is generated from nothing but the description of REST, by `rest.ts`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from billing_mcp.app import App
from billing_mcp.settings import Settings
from tests.conftest import NOW
from tests.faces.conftest import demo
from tests.faces.server import ACCOUNT, billing_mcp, make_key, serving
from tests.peers.node import HERE, Node

__all__ = ["demo"]

pytestmark = pytest.mark.timeout(300)  # the first test waits for npm

_PROGRAM = ("rest.ts", "package.json", "tsconfig.json")
_COMPILER = "node_modules/typescript/lib/tsc.js"


def seen_by(node: Node, folder: Path, url: str, **plan: str) -> dict[str, Any]:
    """What `rest.ts` saw, with a client that was generated in the folder and agrees with its types."""
    for name in _PROGRAM:
        shutil.copy(HERE / name, folder)
    for script, *arguments in (
        ("generate.ts", f"{url}/openapi.json", str(folder / "client")),
        (_COMPILER, "--project", str(folder)),
        (str(folder / "rest.ts"), json.dumps({"url": url, **plan})),
    ):
        done = node.run(script, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


async def ledger_of(database: str) -> list[str]:
    """The demo account's transactions, newest first."""
    async with App.open(Settings(database=database, workers=1)) as app, app.store.read(NOW) as tx:
        return [each.transaction_id async for each in tx.ledger.history(ACCOUNT)][::-1]


async def test_a_generated_client_does_what_agents_and_the_platform_do(node: Node, demo: str, tmp_path: Path) -> None:
    agent_key, _ = make_key(demo, "--permissions", "view,manage")
    made = billing_mcp("keys", "create", "server", "--platform", "--json", "--database", demo)
    before = await ledger_of(demo)
    async with serving(demo, BILLING_MCP_PLATFORM_RATE_LIMIT="") as server:
        plan = {"agentKey": agent_key, "platformKey": json.loads(made.stdout)["key"], "account": ACCOUNT}
        seen = seen_by(node, tmp_path, f"http://{server.address}", **plan)

    agent, platform = seen["agent"], seen["platform"]
    assert agent["balance"] == "351.85"
    assert agent["ledger"] == before
    assert agent["pages"] == -(-len(before) // 5)
    assert (agent["change"]["status"], agent["change"]["target_plan_id"]) == ("completed", "smtp_per_proxy")
    assert agent["again"] == agent["change"]
    assert agent["replayed"] == [None, "true"]
    assert agent["unchanged"] == [409, "plan_unchanged"]
    assert agent["nobody"] == [403, "platform_credential"]
    assert platform["location"] == f"/v1/platform/accounts/{platform['account']}"
    assert platform["captured"] == ["captured", "0.005", "0.0015"]
    assert platform["free"] == 9.995
    assert platform["poor"] == [402, "insufficient_funds", 89.005]
    assert platform["ways"] == ["credit", "topup"]
