"""Node with the peers, and servers that they reach: over HTTP, and over standard input and output."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from mcp.client.stdio import StdioServerParameters

from tests.faces.conftest import seeded
from tests.faces.server import HttpServer, environment, make_key, serving
from tests.peers.node import Node, NpmFailed, installed
from tests.processes import warm_command

__all__ = ["seeded"]


@pytest.fixture(scope="session")
def node() -> Node:
    """Node, with the peers installed. Without a registry there are no peers to test with."""
    try:
        return installed()
    except NpmFailed as error:
        if "CI" in os.environ:
            raise
        pytest.skip(f"npm cannot install the peers: {error}")


@pytest.fixture(scope="session")
def key(seeded: Path) -> str:
    """A key that may do anything to one account."""
    return make_key(str(seeded), "--permissions", "view,manage")[0]


@pytest.fixture(scope="session")
def stdio(seeded: Path) -> StdioServerParameters:
    """How to start a server; a peer does not pass on all of its own environment."""
    program, *arguments = warm_command("serve", "--database", str(seeded))
    settings = {name: value for name, value in environment().items() if name.startswith("BILLING_MCP_")}
    return StdioServerParameters(command=program, args=arguments, env=settings)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def http(seeded: Path) -> AsyncIterator[HttpServer]:
    """A server over HTTP, for the session."""
    async with serving(str(seeded)) as server:
        yield server
