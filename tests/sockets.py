"""Servers and clients in a test's own event loop that leave nothing behind, however late somebody connects.

`asyncio.start_server` cannot promise that: what it has accepted but not yet begun to serve, nobody else knows of,
and a socket that outlives its loop fails whichever test runs when it is collected.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server on loopback, for the block.

    A connection ends when `serve` returns, or with the block; its own errors are nobody's, others are the test's.
    """
    loop = asyncio.get_running_loop()
    serving: list[asyncio.Task[None]] = []
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))
        listener.setblocking(False)

        async with asyncio.TaskGroup() as group:

            def accept() -> None:
                with suppress(BlockingIOError, ConnectionAbortedError):
                    connection = sockets.enter_context(listener.accept()[0])
                    serving.append(group.create_task(_carry(serve, connection, tls)))

            loop.add_reader(listener, accept)
            try:
                yield int(listener.getsockname()[1])
            finally:
                loop.remove_reader(listener)
                for task in serving:
                    task.cancel()


async def _carry(serve: Serve, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    connection.setblocking(False)
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    with suppress(OSError, asyncio.IncompleteReadError):
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=tls)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            await serve(reader, writer)
            writer.close()
            await writer.wait_closed()
        finally:
            transport.abort()


@asynccontextmanager
async def connection_to(address: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to `host:port`, which the block's end hangs up."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
