"""Owns the worker processes: one warm pool, a fresh session for each run of a script."""

from __future__ import annotations

import asyncio
import atexit
import time
from contextlib import AsyncExitStack, suppress
from functools import cache
from typing import Any

from pydantic_monty import AsyncMonty, AsyncMontySession, ExternalModule

from billing_mcp.domain.errors import Conflict, Unavailable
from billing_mcp.kernel.limits import JailMode, SandboxLimits
from billing_mcp.kernel.programs import Host
from billing_mcp.kernel.registry import NAMESPACE, Registry
from billing_mcp.sandbox.jail import Jail, JailReport, build
from billing_mcp.sandbox.stubs import namespace_stub, root_stub

_GRACE_S = 2.0
_SPARE_SUSPENSIONS = 1000


class Sandbox:
    """The pool. Start it before use, and close it: the workers are processes."""

    def __init__(self, limits: SandboxLimits, jail: JailMode = JailMode.AUTO) -> None:
        self.limits = limits
        self._modules: dict[tuple[str, ...], ExternalModule] = {}
        self._mode = jail
        self._jail: Jail
        self._pool: AsyncMonty

    @property
    def jail(self) -> JailReport:
        """What the kernel refuses the workers, once started."""
        return self._jail.report

    async def start(self) -> None:
        """Start the first worker. Raises Unavailable when the jail must be whole and cannot be."""
        _outlive_threads()
        self._jail = await asyncio.to_thread(build, self._mode, memory_bytes=self.limits.memory_bytes)
        if self._mode is JailMode.REQUIRE and self.jail.allowed:
            self._jail.close()
            part, why = next(iter(self.jail.allowed.items()))
            raise Unavailable(f"workers cannot be jailed ({part}: {why})", code="jail_unavailable")
        self._pool = AsyncMonty(
            binary_path=self._jail.binary_path,
            min_processes=1,
            max_processes=self.limits.workers,
            checkout_timeout=self.limits.wall_s / 3,
            request_timeout=self.limits.wall_s + _GRACE_S,
            max_checkouts_per_worker=self.limits.scripts_per_worker,
        )
        try:
            await self._pool.__aenter__()
        except BaseException:
            self._jail.close()
            raise

    async def close(self) -> None:
        """Stop the workers."""
        await self._pool.__aexit__(None, None, None)
        self._jail.close()

    async def try_worker(self) -> None:
        """Have a worker, and give it back. That all are at work is as good; what else the pool raises is a defect."""
        with suppress(TimeoutError):
            async with self._pool.checkout():
                pass

    async def open_session(self, stack: AsyncExitStack, host: Host, *, type_check: bool) -> AsyncMontySession:
        """A session in which `billing` can be imported, closed together with the stack.

        Its clock stands still and its randomness is seeded: the same script does the same.
        Raises Conflict when no worker becomes free.
        """
        checkout = self._pool.checkout(
            limits={
                "max_feed_duration_secs": self.limits.execution_s,
                "max_memory": self.limits.memory_bytes,
                "max_suspensions": self.limits.calls + _SPARE_SUSPENSIONS,
            },
            os_policy={"sleep": "zero", "datetime": host.now, "random_start": {"seed": host.execution_id}},
            external_modules={NAMESPACE: self._module(host.registry)},
            type_check=type_check,
            type_check_format="json",
        )
        try:
            return await stack.enter_async_context(checkout)
        except TimeoutError as error:
            raise Conflict("all workers are busy", code="server_busy", hint="Try the same again shortly.") from error

    def _module(self, registry: Registry) -> ExternalModule:
        names = tuple(registry)
        if names not in self._modules:
            attributes: dict[str, Any] = {"help": _suspends}
            for resource in registry.resources:
                functions: dict[str, Any] = {o.name.rpartition(".")[2]: _suspends for o in resource.operations}
                attributes[resource.name] = ExternalModule(functions, stubs=namespace_stub(resource))
            self._modules[names] = ExternalModule(attributes, stubs=root_stub(registry))
        return self._modules[names]


@cache
def _outlive_threads() -> None:
    """A pool's threads end a little after it; an interpreter that exits before them aborts."""
    atexit.register(time.sleep, 0.2)


def _suspends() -> None:
    """Marks a name as a host function: calling it suspends the script, and we answer."""
