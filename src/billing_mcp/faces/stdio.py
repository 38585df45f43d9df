"""Owns standard output as the wire: whatever else is printed goes to standard error."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.stdio import stdio_server

_OUT, _ERROR = 1, 2
_AT_ONCE_BYTES = getattr(select, "PIPE_BUF", 0)


async def serve_stdio(server: MCPServer[Any]) -> None:
    """Serve one client until standard input ends."""
    lowlevel = server._lowlevel_server  # noqa: SLF001 - as its own run_stdio_async does
    with _wire() as wire:
        async with stdio_server(stdout=cast("anyio.AsyncFile[str]", wire)) as (messages, answers):
            await lowlevel.run(messages, answers, lowlevel.create_initialization_options())


@contextmanager
def _wire() -> Iterator[_Wire]:
    """The wire for the block; in it, prints by us or a library do not reach the client."""
    sys.stdout.flush()
    private = os.dup(_OUT)
    os.dup2(_ERROR, _OUT)
    try:
        yield _Wire(private)
    finally:
        sys.stdout.flush()
        os.dup2(private, _OUT)
        os.close(private)


class _Wire:
    """Writes short messages at once: to hand one to a thread, as the SDK does, takes longer than to write it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._text = ""
        self._free = select.poll() if hasattr(select, "poll") else None
        if self._free is not None:
            self._free.register(descriptor, select.POLLOUT)

    async def write(self, text: str) -> None:
        """Take a message."""
        self._text += text

    async def flush(self) -> None:
        """Write what was taken. What is no longer than a pipe takes whole cannot wait when the pipe is free."""
        data, self._text = self._text.encode("utf-8", "replace"), ""
        if len(data) <= _AT_ONCE_BYTES and self._free is not None and self._free.poll(0):
            self._write(data)
        else:
            await anyio.to_thread.run_sync(self._write, data)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]
