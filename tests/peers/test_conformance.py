"""The official conformance suite against the server over HTTP, in both versions of the protocol."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faces.server import serving
from tests.peers.key_proxy import key_added
from tests.peers.node import HERE, Node

SUITE = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
EXCEPTIONS = HERE / "conformance.yml"

pytestmark = pytest.mark.timeout(300)  # the first test waits for npm


@pytest.mark.parametrize("answers", [(), ("--json-response",)], ids=["events", "json"])
@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
async def test_the_suite_misses_only_what_its_own_example_server_has(
    node: Node, seeded: Path, key: str, version: str, answers: tuple[str, ...], tmp_path: Path
) -> None:
    options = ["--suite", "all", "--spec-version", version, "--timeout", "60000"]
    paths = ["--expected-failures", str(EXCEPTIONS), "--output-dir", str(tmp_path)]

    async with serving(str(seeded), *answers) as server, key_added(server.url, key) as url:
        suite = await asyncio.to_thread(node.run, SUITE, "server", "--url", url, *options, *paths)

    assert suite.returncode == 0, suite.stdout.partition("=== SUMMARY ===")[2] + suite.stderr
