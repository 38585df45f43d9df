"""A reverse proxy that adds a key to each request and passes on all else as it came, Host and Origin included.

For clients that cannot send a header of one's own, such as the conformance suite. One request a connection, so
that nothing but the head of a request has to be understood.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

_HEAD_BYTES = 65_536
_ENDS = b"\r\n\r\n"


@asynccontextmanager
async def key_added(url: str, key: str) -> AsyncIterator[str]:
    """The same URL at a proxy, for the block."""
    target = urlsplit(url)

    async def serve(client: SocketStream) -> None:
        async with client:
            asked = BufferedByteReceiveStream(client)
            with suppress(anyio.IncompleteRead, anyio.BrokenResourceError):
                head = await asked.receive_until(_ENDS, _HEAD_BYTES)
                async with await anyio.connect_tcp(target.hostname or "", target.port or 80) as server:
                    await server.send(_with_key(head, key))
                    await _pass_both_ways(asked, client, server)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as work:
        work.start_soon(listener.serve, serve)
        port = listener.extra_attributes[SocketAttribute.local_port]()
        yield target._replace(netloc=f"127.0.0.1:{port}").geturl()
        work.cancel_scope.cancel()


def _with_key(head: bytes, key: str) -> bytes:
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Authorization: Bearer " + key.encode(), b"Connection: close"]) + _ENDS


async def _pass_both_ways(asked: ByteReceiveStream, client: ByteSendStream, server: SocketStream) -> None:
    """Pass bytes on until either side ends."""
    async with anyio.create_task_group() as passing:

        async def carry(source: ByteReceiveStream, target: ByteSendStream) -> None:
            with suppress(anyio.BrokenResourceError):
                async for chunk in source:
                    await target.send(chunk)
            passing.cancel_scope.cancel()

        passing.start_soon(carry, asked, server)
        passing.start_soon(carry, server, client)
