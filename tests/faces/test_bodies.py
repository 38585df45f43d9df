"""Bodies: as large as is allowed, all here before anything happens, and not for ever on their way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from billing_mcp.faces.bodies import Bodies
from billing_mcp.faces.metrics import Metrics
from tests.faces.asgi import Sent, scope_of
from tests.faces.server import HttpServer, make_key, serving
from tests.sockets import connection_to

KB = 1024


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what it got, and when it has been hung up on."""
    body = await Request(scope, receive).body()
    assert (await receive())["type"] == "http.disconnect"
    await PlainTextResponse(body)(scope, receive, send)


def receiving(*messages: Message) -> Receive:
    """A client that sends these and then nothing any more."""
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return receive


def part(body: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


GONE: Message = {"type": "http.disconnect"}


async def asked(*messages: Message, headers: Any = (), method: str = "POST", arrival_s: float = 60) -> Sent:
    """What a server with room for ten bytes answers."""
    sent = Sent()
    bodies = Bodies(echo, max_bytes=10, arrival_s=arrival_s)
    await bodies(scope_of(method, headers=headers), receiving(*messages), sent)
    return sent


async def test_a_body_that_has_room_arrives_whole_and_so_does_the_hanging_up() -> None:
    whole = await asked(part(b"0123456789"), GONE)
    pieces = await asked(part(b"01234", more=True), part(b"", more=True), part(b"56789"), GONE)

    assert [sent.messages[1]["body"] for sent in (whole, pieces)] == [b"0123456789"] * 2


@pytest.mark.parametrize(
    ("messages", "headers"),
    [
        ((), [(b"content-length", b"11")]),
        ((), [(b"content-length", b"9" * 40)]),
        ((part(b"0123456789a"),), ()),
        ((part(b"0123456789", more=True), part(b"a", more=True)), ()),
        ((part(b"0123456789a"),), [(b"content-length", b"5")]),
        ((part(b"0123456789a"),), [(b"content-length", b"five")]),
    ],
)
async def test_a_body_that_is_too_large_is_refused_whatever_was_announced(messages: Any, headers: Any) -> None:
    sent = await asked(*messages, headers=headers)

    assert (sent.status, sent.headers[b"connection"]) == (413, b"close")
    assert b'"code":"body_too_large"' in sent.messages[1]["body"]


async def test_a_body_that_does_not_arrive_is_not_waited_for() -> None:
    sent = await asked(part(b"0123", more=True), arrival_s=0.01)

    assert (sent.status, sent.headers[b"connection"]) == (408, b"close")
    assert b'"code":"body_timeout"' in sent.messages[1]["body"]


async def test_who_hangs_up_on_the_way_gets_nothing_done() -> None:
    assert (await asked(part(b"0123", more=True), GONE)).messages == []


async def test_what_has_no_body_is_not_looked_at() -> None:
    sent = await asked(part(b"0123456789a"), GONE, method="GET")

    assert (sent.status, sent.messages[1]["body"]) == (200, b"0123456789a")


async def test_refusals_are_counted() -> None:
    metrics = Metrics(())
    await Bodies(echo, max_bytes=1, observer=metrics)(scope_of(), receiving(part(b"ab")), Sent())

    assert metrics.registry.get_sample_value("billing_refusals_total", {"code": "body_too_large"}) == 1


async def test_a_path_may_have_a_limit_of_its_own() -> None:
    bodies = Bodies(echo, max_bytes=1, own={"/large": 3})
    seen = []
    for path in ("/large", "/large/not"):
        sent = Sent()
        await bodies(scope_of(path=path), receiving(part(b"abc"), GONE), sent)
        seen.append(sent.status)

    assert seen == [200, 413]


async def raw(server: HttpServer, key: str, *parts: bytes, **headers: str) -> bytes:
    """All that a server answers to parts of a request until it hangs up, while nothing more is sent."""
    lines = {"host": server.address, "authorization": f"Bearer {key}", "content-type": "application/json", **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    async with connection_to(server.address) as (reader, writer):
        writer.write(f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + b"".join(parts))
        await writer.drain()
        return await reader.read()


async def test_a_server_hangs_up_on_who_sends_too_much_or_never_ends(demo: str) -> None:
    key, _ = make_key(demo)
    chunk = b"%x\r\n%s\r\n" % (64 * KB, b"1" * 64 * KB)
    async with serving(demo) as server:
        announced, unannounced, endless = await asyncio.gather(
            raw(server, key, content_length=str(10 * KB * KB)),
            raw(server, key, *[chunk] * 8, transfer_encoding="chunked"),
            raw(server, key, b'{"jsonrpc"', content_length="100"),
        )

    assert announced.startswith(b"HTTP/1.1 413")
    assert unannounced.startswith(b"HTTP/1.1 413")
    assert endless.startswith(b"HTTP/1.1 408")
