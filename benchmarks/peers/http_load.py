"""Owns asking a server the same thing again and again, over connections that stay open.

A library's client takes longer for a request than the servers that are measured, so this one knows no more of
HTTP than they need: a whole request is written, and an answer ends where its Content-Length says.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it: answers a second, and how long each took."""

    per_second: float
    latencies_s: Sequence[float]

    def percentile_ms(self, percent: int) -> float:
        """So many percent of the answers took no longer than that."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1000


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """A whole request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Caller(asyncio.Protocol):
    """One connection: the next request goes out when the answer before is whole."""

    def __init__(self, next_request: Callable[[], bytes | None], expected: bytes, latencies_s: list[float]) -> None:
        self._next = next_request
        self._expected = expected
        self._latencies_s = latencies_s
        self._received = b""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        _, _, rest = head.lower().partition(b"content-length:")
        if len(body) < int(rest.split(b"\r\n", 1)[0]):
            return
        self._latencies_s.append(time.perf_counter() - self._sent_s)
        if not head.startswith(self._expected):
            self.ended.set_exception(RuntimeError(f"unexpected answer: {self._received[:600]!r}"))
            return
        self._received = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exc or RuntimeError("the server has closed the connection"))

    def _send(self) -> None:
        wanted = self._next()
        if wanted is None:
            self.ended.set_result(None)
            self._transport.close()
            return
        self._sent_s = time.perf_counter()
        self._transport.write(wanted)


async def load(port: int, make: Callable[[int], bytes], *, connections: int, requests: int, status: int = 200) -> Load:
    """Ask `requests` times in all, over so many connections; `make` has the request of each number."""
    numbers = iter(range(requests))
    latencies_s: list[float] = []

    def following() -> bytes | None:
        number = next(numbers, None)
        return None if number is None else make(number)

    loop = asyncio.get_running_loop()
    started_s = time.perf_counter()
    callers = []
    expected = f"HTTP/1.1 {status}".encode()
    for _ in range(connections):
        _, caller = await loop.create_connection(partial(_Caller, following, expected, latencies_s), "127.0.0.1", port)
        callers.append(caller)
    await asyncio.gather(*(caller.ended for caller in callers))
    return Load(requests / (time.perf_counter() - started_s), latencies_s)
