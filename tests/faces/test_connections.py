"""Connections: who sends no request, or too much of one, is hung up on, and takes the place of nobody else."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import closing, suppress

import pytest

from billing_mcp.faces.connections import MAX_HEAD_BYTES
from billing_mcp.faces.http import listen
from tests.faces.server import HttpServer, make_key, serving
from tests.sockets import connection_to

PROBE = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
BOUND_S = 40
"""Far above the time that a head has: who waits longer waits for ever."""


async def until_hung_up(server: HttpServer, *parts: bytes) -> bytes:
    """What a server answers to these parts until it hangs up on who sends nothing more."""
    answer = b""
    async with connection_to(server.address) as (reader, writer):
        with suppress(ConnectionError):
            async with asyncio.timeout(BOUND_S):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                while piece := await reader.read(1 << 16):
                    answer += piece
    return answer


async def test_who_connects_and_sends_no_request_or_half_of_one_is_not_waited_for(demo: str) -> None:
    async with serving(demo) as server:
        silent, half, half_of_the_next = await asyncio.gather(
            until_hung_up(server), until_hung_up(server, PROBE), until_hung_up(server, PROBE + b"\r\n" + PROBE)
        )

    assert (silent, half) == (b"", b"")
    assert half_of_the_next.startswith(b"HTTP/1.1 200 OK")
    assert half_of_the_next.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "begin",
    [
        b"GET /livez?",
        PROBE + b"X-A: ",
        b"POST /mcp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: ",
    ],
)
async def test_a_head_that_does_not_end_fills_no_memory(demo: str, begin: bytes) -> None:
    async with serving(demo) as server, connection_to(server.address) as (_, writer):
        with pytest.raises(ConnectionError):
            await send_without_end(writer, begin)


async def send_without_end(writer: asyncio.StreamWriter, begin: bytes) -> None:
    """Send 100 MB."""
    writer.write(begin)
    for _ in range(1600):
        writer.write(b"a" * MAX_HEAD_BYTES)
        await writer.drain()


async def test_a_large_head_is_refused_and_one_with_room_beside_a_large_body_is_not(demo: str) -> None:
    key, _ = make_key(demo)
    head = f"POST /v1/executions HTTP/1.1\r\nHost: {{}}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
    body = b'{"code": "1", "wrong": "' + b"x" * 300_000 + b'"}'
    async with serving(demo) as server:
        to = head.format(server.address).encode()
        large = await until_hung_up(server, PROBE + b"X-A: " + b"a" * MAX_HEAD_BYTES, b"a" * MAX_HEAD_BYTES)
        padded = to + b"X-A: " + b"a" * (MAX_HEAD_BYTES // 2) + b"\r\nContent-Type: application/json\r\n"
        fits = await until_hung_up(server, padded + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    assert large == b"" or large.startswith(b"HTTP/1.1 400")
    assert fits.startswith(b"HTTP/1.1 422")
    assert b'"code":"unknown_argument"' in fits


async def test_what_follows_a_body_is_no_header(demo: str) -> None:
    key, _ = make_key(demo)
    async with serving(demo) as server:
        head = f"POST /v1/executions HTTP/1.1\r\nHost: {server.address}\r\nAuthorization: Bearer {key}\r\n"
        head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        trailers = b"0\r\nX-Request-Id: from-behind\r\nIdempotency-Key: one\r\nIdempotency-Key: two\r\n\r\n"
        answer = await until_hung_up(server, head.encode() + b'c\r\n{"code":"1"}\r\n' + trailers)

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"from-behind" not in answer


@pytest.mark.skipif(sys.platform != "linux", reason="the option is Linux's")
def test_a_reader_that_stands_still_is_let_go_by_the_system() -> None:
    with closing(listen("127.0.0.1", 0)) as listener, closing(socket.create_connection(listener.getsockname())):
        accepted, _ = listener.accept()
        with closing(accepted):
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
