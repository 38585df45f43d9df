"""Owns standard input and output as the wire: whatever else is printed goes to standard error.

The SDK hands each line that it reads or writes to a thread, which takes longer than the line.
"""

from __future__ import annotations

import asyncio
import os
import select
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.stdio import stdio_server

_IN, _OUT, _ERROR = 0, 1, 2
_AT_ONCE_BYTES = getattr(select, "PIPE_BUF", 0)
_CHUNK_BYTES = 65_536

TextFile = anyio.AsyncFile[str]


async def serve_stdio(server: MCPServer[Any]) -> None:
    """Serve one client until standard input ends."""
    lowlevel = server._lowlevel_server  # noqa: SLF001 - as its own run_stdio_async does
    async with _lines() as lines:
        with _wire() as wire:
            async with stdio_server(cast("TextFile | None", lines), cast("TextFile", wire)) as (messages, answers):
                await lowlevel.run(messages, answers, lowlevel.create_initialization_options())


@asynccontextmanager
async def _lines() -> AsyncIterator[AsyncIterator[str] | None]:
    """The lines that come in, if they come through a pipe; None leaves them to the SDK.

    In the block nobody else reads from the pipe: a process that we start finds its input empty.
    """
    mode = os.fstat(_IN).st_mode
    if sys.platform == "win32" or not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        yield None
        return
    private = os.dup(_IN)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, _IN)
    os.close(empty)
    reader = asyncio.StreamReader()
    pipe = os.fdopen(private, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        yield _split(reader)
    finally:
        transport.close()


async def _split(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    """Lines of any length; what comes after the last line's end is one, too."""
    pieces: list[bytes] = []
    while chunk := await reader.read(_CHUNK_BYTES):
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            yield b"".join((*pieces, line)).decode("utf-8", "replace")
            pieces.clear()
        pieces.append(rest)
    if any(pieces):
        yield b"".join(pieces).decode("utf-8", "replace")


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
    """Writes a short message at once when the pipe is free."""

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
