"""A pool of real workers for each module of tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from billing_mcp.kernel.limits import SandboxLimits
from billing_mcp.sandbox.pool import Sandbox
from tests.sandbox.agent import Agent


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent() -> AsyncIterator[Agent]:
    """An agent with a pool of its own, at the default limits."""
    sandbox = Sandbox(SandboxLimits(workers=2))
    await sandbox.start()
    yield Agent(sandbox)
    await sandbox.close()
