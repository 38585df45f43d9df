"""A server with a worker that computes and one that waits: prints their process ids and goes on until it is killed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from billing_mcp.kernel.limits import SandboxLimits
from billing_mcp.sandbox.pool import Sandbox
from tests.sandbox.agent import FakeHost


async def main() -> None:
    """Start both, print, wait."""
    sandbox = Sandbox(SandboxLimits(execution_s=600, wall_s=600, workers=2))
    await sandbox.start()
    async with AsyncExitStack() as stack:
        sessions = [await sandbox.open_session(stack, FakeHost(), type_check=False) for _ in range(2)]
        for session in sessions:
            await session.feed_run("1")
        print(*(session.worker_pid for session in sessions), flush=True)
        await sessions[0].feed_run("while True: pass")


if __name__ == "__main__":
    asyncio.run(main())
