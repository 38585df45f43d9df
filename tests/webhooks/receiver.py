"""Receivers of webhooks on this machine: real sockets, which answer as a test says and count who connects."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from billing_mcp.domain.events import Event
from billing_mcp.domain.webhooks import Delivery, Endpoint
from billing_mcp.kernel.limits import WorkerLimits
from billing_mcp.operations.platform_webhooks import add_endpoint
from billing_mcp.store.store import Store
from billing_mcp.worker.receivers import Receivers
from billing_mcp.worker.webhooks import webhook_duties
from billing_mcp.worker.worker import Worker
from tests.conftest import Clock
from tests.sockets import listening
from tests.store.books import ACCOUNT

LIMITS = WorkerLimits(poll_s=0.01, scan_s=0.01, at_a_time=4, job_s=30, attempts=5, grace_s=0.2)
EVENT = "billing.invoice.issued"


@dataclass
class Heard:
    """A request that came in."""

    headers: dict[str, str]
    body: str

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]


Answering = Callable[[Heard, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Receiver:
    """A server; `connections` counts whoever has opened one, whatever came of it."""

    answer: Answering | int = 204
    heard: list[Heard] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    most_at_once: int = 0
    port: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_now += 1
        self.most_at_once = max(self.most_at_once, self.open_now)
        try:
            self.heard.append(await _request(reader))
            self.news.set()
            if isinstance(self.answer, int):
                await reply(writer, self.answer)
            else:
                await self.answer(self.heard[-1], writer)
        finally:
            self.open_now -= 1

    async def until(self, count: int) -> None:
        """Wait until so many requests have come in."""
        async with asyncio.timeout(30):
            while len(self.heard) < count:
                self.news.clear()
                await self.news.wait()


async def _request(reader: asyncio.StreamReader) -> Heard:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers["content-length"]))
    return Heard(headers | {":path": head[0]}, body.decode())


async def reply(writer: asyncio.StreamWriter, status: int, *lines: str, body: str = "") -> None:
    """Answer with a status and more headers."""
    head = [f"HTTP/1.1 {status} Answer", f"Content-Length: {len(body)}", *lines]
    writer.write("\r\n".join([*head, "", body]).encode())
    await writer.drain()


@asynccontextmanager
async def receiving(answer: Answering | int = 204, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a free port, for the block."""
    receiver = Receiver(answer)
    async with listening(receiver.serve, tls=tls) as receiver.port:
        yield receiver


class Post:
    """One store, its worker that tells endpoints, and what a test asks of them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock

    def worker(self, receivers: Receivers | None = None, jitter: float = 0.5) -> Worker:
        telling = receivers or Receivers(self.clock, to_loopback=True)
        duties = webhook_duties(telling, LIMITS, self.clock, jitter=lambda: jitter)
        return Worker(self.store, self.clock, LIMITS, jobs={}, duties=duties)

    async def endpoint(self, url: str, *events: str, account_id: str = ACCOUNT) -> Endpoint:
        async with self.store.write(self.clock()) as tx:
            return await add_endpoint(tx, account_id, url, events=events, to_loopback=True)

    async def event(self, event: str = EVENT, account_id: str = ACCOUNT, **payload: Any) -> None:
        async with self.store.write(self.clock()) as tx:
            await tx.outbox.add(Event(account_id, event, payload))

    async def deliveries(self, account_id: str = ACCOUNT) -> list[Delivery]:
        """Those of an account, oldest first."""
        async with self.store.read(self.clock()) as tx:
            return await tx.webhooks.deliveries(account_id, newest_first=False, limit=1000)

    async def of(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint as it is now."""
        async with self.store.read(self.clock()) as tx:
            return await tx.webhooks.endpoint(endpoint.account_id, endpoint.endpoint_id)

    async def outbox(self) -> int:
        async with self.store.read(self.clock()) as tx:
            return len(await tx.outbox.listed(None, limit=1000))

    def later(self, **by: float) -> None:
        self.clock.now += timedelta(**by)
