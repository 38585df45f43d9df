"""A server on a kernel, or in a container, that offers less: `python -m tests.sandbox.lesser_kernel MODE CALL=ERROR …`.

Lets each of those system calls fail from here on, starts a sandbox, and prints as JSON what its jail and a script say.
"""

from __future__ import annotations

import asyncio
import errno
import json
import sys
from contextlib import AsyncExitStack

from seccompy import Action, Filter

from billing_mcp.domain.errors import Unavailable
from billing_mcp.kernel.limits import JailMode, SandboxLimits
from billing_mcp.sandbox.pool import Sandbox
from tests.sandbox.agent import FakeHost

_PR_SET_SECCOMP = 22


def lessen(refusals: list[str]) -> None:
    """Refuse the calls, to this process and all that it starts."""
    kernel = Filter(Action.ALLOW)
    for refusal in refusals:
        name, _, error = refusal.partition("=")
        only = {0: _PR_SET_SECCOMP} if name == "prctl" else None
        kernel.errno(name, getattr(errno, error), args=only)
    kernel.load()


async def main(mode: str, refusals: list[str]) -> None:
    """Lessen, start, print."""
    lessen(refusals)
    sandbox = Sandbox(SandboxLimits(workers=1), JailMode(mode))
    try:
        await sandbox.start()
    except Unavailable as error:
        print(json.dumps({"error": str(error), "code": error.code}))
        return
    async with AsyncExitStack() as stack:
        session = await sandbox.open_session(stack, FakeHost(), type_check=True)
        value = await session.feed_run("x: int = 40 + 2\nx")
    print(json.dumps({"value": value, "refused": sandbox.jail.refused, "allowed": dict(sandbox.jail.allowed)}))
    await sandbox.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
