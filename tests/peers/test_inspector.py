"""The MCP Inspector's command line against the server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mcp.client.stdio import StdioServerParameters

from tests.faces.server import HttpServer
from tests.peers.node import Node

INSPECTOR = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
TOOL_FAILED, NEEDS_KEY = 5, 3
PATIENT = ["--connect-timeout", "60000"]  # a machine may be busy

pytestmark = pytest.mark.timeout(300)  # the first test waits for npm
ERAS = pytest.mark.parametrize("era", ["legacy", "modern"])


@pytest.fixture
def over_http(http: HttpServer, key: str) -> list[str]:
    """The arguments that lead to the server over HTTP."""
    return [*without_key(http), "--header", f"Authorization: Bearer {key}"]


@pytest.fixture
def over_stdio(stdio: StdioServerParameters) -> list[str]:
    """The arguments that start a server."""
    settings = [part for name, value in (stdio.env or {}).items() for part in ("-e", f"{name}={value}")]
    return [*settings, "--", stdio.command, *stdio.args]


@pytest.fixture(params=["stdio", "http"])
def target(request: pytest.FixtureRequest) -> list[str]:
    """The arguments that lead to the server on either way."""
    arguments: list[str] = request.getfixturevalue(f"over_{request.param}")
    return arguments


def without_key(http: HttpServer) -> list[str]:
    return ["--transport", "http", "--server-url", http.url]


def call(code: str, **options: object) -> list[str]:
    arguments = json.dumps({"code": code, **options})
    return ["--method", "tools/call", "--tool-name", "execute", "--tool-args-json", arguments]


def inspect(node: Node, target: list[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """What the inspector prints, which ends with this exit code."""
    done = node.run(INSPECTOR, "--cli", "--quiet", "--format", "json", *PATIENT, *arguments, *target)
    assert done.returncode == code, done.stdout + done.stderr
    printed: dict[str, Any] = json.loads(done.stdout or done.stderr)
    return printed


@ERAS
def test_it_finds_one_tool_whose_schemas_every_client_can_use(node: Node, target: list[str], era: str) -> None:
    listed = inspect(node, target, "--protocol-era", era, "--method", "tools/list", "--strict")

    assert [tool["name"] for tool in listed["result"]["tools"]] == ["execute"]


@ERAS
def test_it_gets_an_answer_that_says_what_happened(node: Node, target: list[str], era: str) -> None:
    result = inspect(node, target, "--protocol-era", era, *call("6 * 7", preview=True))["result"]

    assert result["isError"] is False
    assert result["structuredContent"]["result"] == 42
    assert json.loads(result["content"][0]["text"]) == result["structuredContent"]


def test_it_sees_that_a_script_failed(node: Node, over_http: list[str]) -> None:
    result = inspect(node, over_http, *call("1 / 0"), code=TOOL_FAILED)["result"]

    assert result["isError"] is True
    assert result["structuredContent"]["error"]["code"] == "script_error"


def test_it_is_told_that_it_needs_a_key(node: Node, http: HttpServer) -> None:
    refused = inspect(node, [*without_key(http), "--stored-auth-only"], "--method", "tools/list", code=NEEDS_KEY)

    assert refused["error"]["code"] == "auth_required"
