"""Owns opening the app behind the first answers: who lists the tools does not wait for a database.

With it a worker starts, unless the settings say otherwise: a top-up goes on after its script, and nobody else may run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

import structlog

from billing_mcp.domain.errors import BillingError
from billing_mcp.settings import Settings

if TYPE_CHECKING:
    from billing_mcp.app import App

log = structlog.get_logger()

_HEAD_START_S = 0.25


class AppSource(Protocol):
    """Gives the app once it is open."""

    async def __call__(self) -> App:
        """Raises BillingError where it cannot be opened."""


@asynccontextmanager
async def loading(settings: Settings) -> AsyncIterator[AppSource]:
    """Start to open the app, and go on at once. What fails is tried again by the next who asks."""
    async with AsyncExitStack() as stack:
        opening = _Opening(settings, stack)
        try:
            yield opening.app
        finally:
            await opening.settle()


class _Opening:
    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._wanted = asyncio.Event()
        self._begun = False
        self._task = asyncio.create_task(self._open())

    async def app(self) -> App:
        self._wanted.set()
        if self._task.done() and self._task.exception() is not None:
            self._task = asyncio.create_task(self._open())
        return await asyncio.shield(self._task)

    async def settle(self) -> None:
        if not self._begun:
            self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()  # it has been logged

    async def _open(self) -> App:
        with suppress(TimeoutError):  # a moment for the handshake: a thread that imports slows it down
            await asyncio.wait_for(self._wanted.wait(), _HEAD_START_S)
        self._begun = True
        # This import is put off on purpose: it takes as long as all that is before it.
        module = await asyncio.to_thread(import_module, "billing_mcp.app")
        try:
            app: App = await self._stack.enter_async_context(module.App.open(self._settings))
            if self._settings.worker:
                await self._stack.enter_async_context(app.worker().running())
        except BillingError as error:
            log.error("not_ready", code=error.code, message=error.message, hint=error.hint)
            raise
        return app
