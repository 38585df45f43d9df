"""Applications and clients in the process of the test, for what no client over a socket can see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import httpx2
from starlette.types import ASGIApp, Message, Scope


@asynccontextmanager
async def client_of(app: ASGIApp, address: str = "10.0.0.1") -> AsyncIterator[httpx2.AsyncClient]:
    """A client that calls it from an address."""
    transport = httpx2.ASGITransport(app=app, client=(address, 1234), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://billing") as client:
        yield client


def scope_of(method: str = "POST", path: str = "/", headers: Iterable[tuple[bytes, bytes]] = ()) -> Scope:
    """The scope of a request as a server passes it on."""
    return {"type": "http", "method": method, "path": path, "headers": list(headers), "client": ("10.0.0.1", 1234)}


class Sent:
    """What an application has sent."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int | None:
        """The status of the answer, if there was one."""
        return self.messages[0]["status"] if self.messages else None

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The headers of the answer."""
        return dict(self.messages[0]["headers"])
