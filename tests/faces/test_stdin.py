"""Whatever lines come on standard input: good requests are answered, and the log keeps no secret of the others."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from mcp_types import jsonrpc_message_adapter

from tests.faces.server import environment
from tests.processes import warm_command

SECRET = "bmcp_thisisnokeybutlookslikeone"
LONG = 1_000_000
EVERY = 8
"""So many hostile lines come between two good requests."""

ENVELOPES: dict[str, dict[str, Any]] = {
    "2025-11-25": {},
    "2026-07-28": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    },
}
HANDSHAKE = (
    {
        "jsonrpc": "2.0",
        "id": "initialize",
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
)

NO_MESSAGES = [
    b"",
    b" \t ",
    b"\r",
    b"\0",
    SECRET.encode(),
    b"\xef\xbb\xbf" + SECRET.encode(),
    b'\xef\xbb\xbf{"jsonrpc": "2.0", "id": "bom", "method": "ping"}',
    b"\xff\xfe\x80" + SECRET.encode(),
    b'{"jsonrpc": "2.0", "id": "bytes\xff\xc3", "method": 1}',
    b'{"jsonrpc": "2.0", "id": "nul\0", "method": "ping"}',
    b'{"jsonrpc": "2.0", "id": "surrogate\\ud800", "method": "ping"}',
    b'{"jsonrpc": "2.0", "id": "quote, "method": "ping"}',
    b"{'jsonrpc': '2.0', 'id': 'python', 'method': 'ping'}",
    b'{"jsonrpc": "2.0", "id": ' + b"9" * 5000 + b', "method": "ping"}',
    b'{"jsonrpc": "2.0", "id": 1e999, "method": "ping"}',
    b'[{"jsonrpc": "2.0", "id": "batch", "method": "ping"}, {"jsonrpc": "2.0", "id": "batch", "method": "ping"}]',
    b"[" * LONG,
    b'{"a":' * 100_000,
    b"x" * LONG,
    b"9" * LONG,
    b'"' + SECRET.encode(),
    b"NaN",
    b"null",
    b"[]",
    b"{}",
    b"Content-Length: 2",
    b"GET /mcp HTTP/1.1",
]


def deep(levels: int) -> Any:
    return [deep(levels - 1)] if levels else SECRET


ODD: list[Any] = [
    None,
    True,
    0,
    -1.5,
    10**4000,
    "",
    "\0",
    "9" * 5000,
    "2.1",
    SECRET,
    SECRET * 1000,
    "\N{LINE SEPARATOR}\N{GRINNING FACE}\\",
    "\udc80",
    [],
    [SECRET],
    {},
    {SECRET: [SECRET]},
    {"name": {}, "uri": 1, "cursor": SECRET, "requestId": SECRET, "level": [], "progressToken": SECRET, "_meta": 1},
    deep(150),
    deep(400),
]
METHODS = [
    "completion/complete",
    "initialize",
    "logging/setLevel",
    "notifications/cancelled",
    "notifications/initialized",
    "notifications/progress",
    "notifications/roots/list_changed",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "server/discover",
    "tasks/get",
    "tools/call",
    "tools/list",
    SECRET,
]
PARAMS: list[dict[str, Any]] = [
    {},
    {"uri": f"billing://executions/{SECRET}"},
    {"protocolVersion": SECRET, "capabilities": {}, "clientInfo": {"name": SECRET, "version": SECRET}},
    {"uri": SECRET, "name": SECRET, "arguments": {SECRET: SECRET}, "cursor": SECRET, "level": SECRET},
    {"requestId": SECRET, "reason": SECRET, "progressToken": SECRET, "progress": 1, "ref": {"type": SECRET}},
]


def encoded(message: object) -> bytes:
    return json.dumps(message).encode()


def called(number: object, arguments: object, meta: dict[str, Any]) -> dict[str, Any]:
    params = {"name": "execute", "arguments": arguments, "_meta": meta}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def wrong_messages(meta: dict[str, Any]) -> Iterator[object]:
    """Messages in which one thing is not what it should be, and some that nobody has asked for."""
    good = called("hostile", {"code": "1", "preview": False, "idempotency_key": ""}, meta)
    for odd in ODD:
        yield odd
        yield from ({**good, field: odd} for field in good)
        yield from ({**good, "params": {**good["params"], field: odd}} for field in ("name", "arguments", "_meta"))
        for field in (*good["params"]["arguments"], SECRET):
            yield called("hostile", {**good["params"]["arguments"], field: odd}, meta)
        yield {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": odd, "reason": odd}}
        yield {"jsonrpc": "2.0", "id": odd, "result": {SECRET: odd}}
        yield {"jsonrpc": "2.0", "id": odd, "error": odd}
    for method in METHODS:
        for params in PARAMS:
            yield {"jsonrpc": "2.0", "id": "hostile", "method": method, "params": {**params, "_meta": meta}}
            yield {"jsonrpc": "2.0", "method": method, "params": params}
    yield from ({name: value for name, value in good.items() if name != field} for field in good)


def garbled(line: bytes, random: Random) -> bytes:
    """A line to which something has happened."""
    start, end = sorted(random.choices(range(len(line) + 1), k=2))
    changes: list[Callable[[], bytes]] = [
        lambda: line[:start] + line[end:],
        lambda: line[:end] + line[start:],
        lambda: line[:start] + random.randbytes(3) + line[start:],
        lambda: line[:start] + line[start:end][::-1] + line[end:],
    ]
    return random.choice(changes)()


def hostile_lines(meta: dict[str, Any], random: Random) -> list[bytes]:
    messages = [encoded(message) for message in wrong_messages(meta)]
    short = [encoded(called("hostile", {"code": f"'{SECRET}'"}, meta)), *NO_MESSAGES[4:13]]
    lines = [*NO_MESSAGES, *messages, *(garbled(random.choice(short), random) for _ in range(200))]
    random.shuffle(lines)
    return lines


def good_request(number: int, meta: dict[str, Any]) -> bytes:
    """A request, written as clients may write it, to be answered with its number."""
    line = encoded(called(f"good {number}", {"code": f"{number} # \N{EURO SIGN}"}, meta))
    return (line, line + b"\r", b" \t" + line + b" ", line.replace(b"\\u20ac", "\N{EURO SIGN}".encode()))[number % 4]


def refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def message(line: bytes) -> dict[str, Any]:
    """The message that a line is."""
    parsed: dict[str, Any] = json.loads(line.decode(), parse_constant=refused)
    jsonrpc_message_adapter.validate_python(parsed)
    assert len(parsed.keys() & {"result", "error", "method"}) == 1, line
    return parsed


async def talk(
    database: str, lines: Iterable[bytes], awaited: set[str], log: Path
) -> tuple[list[dict[str, Any]], int | None]:
    """Write all lines to a server, end its input once all that is awaited is answered, and see it end."""
    with log.open("wb") as errors:
        server = await asyncio.create_subprocess_exec(
            *warm_command("serve", "--database", database),
            stdin=PIPE,
            stdout=PIPE,
            stderr=errors,
            env=environment(BILLING_MCP_WALL_S="60"),
            limit=4 * LONG,
        )
    assert server.stdin is not None
    assert server.stdout is not None
    said = []
    missing = set(awaited)
    try:
        server.stdin.write(b"".join(line + b"\n" for line in lines))
        while missing:
            line = await server.stdout.readline()
            assert line, f"it ended, and did not answer {sorted(missing)}"
            said.append(message(line))
            missing.discard(said[-1].get("id"))
        server.stdin.write(b'{"jsonrpc": "2.0", "id": "cut off')
        server.stdin.close()
        said += [message(line) async for line in server.stdout]
        return said, await server.wait()
    finally:
        with suppress(ProcessLookupError):
            server.kill()
        await server.wait()


@pytest.mark.parametrize("era", ENVELOPES)
async def test_good_requests_are_answered_whatever_comes_between_them(demo: str, era: str, tmp_path: Path) -> None:
    meta = ENVELOPES[era]
    hostile = hostile_lines(meta, Random(era))  # noqa: S311
    # Without a handshake it is the first request that decides the era, so what comes before is none.
    lines = [*NO_MESSAGES] if meta else [*hostile[::EVERY], *map(encoded, HANDSHAKE)]
    good = {f"good {number}": number for number in range(len(hostile) // EVERY + 1)}
    for number in good.values():
        lines += [good_request(number, meta), *hostile[number * EVERY : (number + 1) * EVERY]]

    said, status = await talk(demo, lines, set(good), tmp_path / "log")

    answers = [(m["id"], m["result"]["structuredContent"]["result"]) for m in said if m.get("id") in good]
    assert sorted(answers) == sorted(good.items())
    assert status == 0
    log = (tmp_path / "log").read_text("utf-8")
    assert "Traceback" not in log
    assert SECRET[:5] not in log


async def test_input_that_ends_before_any_message_ends_the_server_well(demo: str, tmp_path: Path) -> None:
    assert await talk(demo, [], set(), tmp_path / "log") == ([], 0)
    assert (tmp_path / "log").read_text("utf-8") == ""
