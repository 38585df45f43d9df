"""A reverse proxy that adds a key to each request and passes on all else as it came, Host and Origin included.

For clients that cannot send a header of one's own, such as the conformance suite. One request a connection, so
that nothing but the head of a request has to be understood.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from urllib.parse import urlsplit

_CHUNK = 65_536


@asynccontextmanager
async def key_added(url: str, key: str) -> AsyncIterator[str]:
    """The same URL at a proxy, for the block."""
    target = urlsplit(url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            answers, requests = await asyncio.open_connection(target.hostname, target.port)
            with closing(requests):
                requests.write(_with_key(head, key))
                onward = asyncio.create_task(_pass(reader, requests))
                await _pass(answers, writer)
                onward.cancel()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield target._replace(netloc=f"127.0.0.1:{port}").geturl()


def _with_key(head: bytes, key: str) -> bytes:
    lines = [line for line in head.split(b"\r\n") if line and not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Authorization: Bearer " + key.encode(), b"Connection: close", b"", b""])


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until either side ends."""
    with suppress(ConnectionError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()
