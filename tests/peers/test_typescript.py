"""The official TypeScript client against the server, by `client.ts`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mcp.client.stdio import StdioServerParameters

from tests.faces.server import BALANCE, CHANGE, HttpServer
from tests.peers.node import Node

pytestmark = pytest.mark.timeout(300)  # the first test waits for npm

MODES = pytest.mark.parametrize(
    ("mode", "version"), [("legacy", "2025-11-25"), ({"pin": "2026-07-28"}, "2026-07-28")], ids=["2025", "2026"]
)


@pytest.fixture
def over_http(http: HttpServer, key: str) -> dict[str, Any]:
    return {"url": http.url, "key": key}


@pytest.fixture
def over_stdio(stdio: StdioServerParameters) -> dict[str, Any]:
    return stdio.model_dump(include={"command", "args", "env"})


@pytest.fixture(params=["stdio", "http"])
def server(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How `client.ts` finds the server."""
    found: dict[str, Any] = request.getfixturevalue(f"over_{request.param}")
    return found


@MODES
def test_it_reads_previews_and_understands_a_failure(
    node: Node, server: dict[str, Any], mode: object, version: str
) -> None:
    calls = [
        {"code": BALANCE},
        {"code": CHANGE, "preview": True},
        {"code": BALANCE},
        {"code": "1 / 0"},
        {"code": "'é😀'"},
    ]
    done = node.run("client.ts", json.dumps({"server": server, "mode": mode, "calls": calls}))
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    before, preview, after, failure, text = seen["answers"]

    assert seen["version"] == version
    assert [tool["name"] for tool in seen["tools"]] == ["execute"]
    assert (preview["structured"]["status"], preview["structured"]["changed"]) == ("previewed", False)
    assert preview["structured"]["effects"]
    assert before["structured"]["result"] == after["structured"]["result"]
    assert failure["failed"] is True
    assert failure["structured"]["error"]["line"] == 1
    assert text["structured"]["result"] == "é😀"
    assert json.loads(text["content"][0]["text"]) == text["structured"]
