"""Owns how large a request's body may be, and how long it may take to arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.faces.problem import problem
from billing_mcp.store.observer import NOBODY, Observer

ARRIVAL_S = 10.0
_LINGER_S = 1.0

_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})


class Bodies:
    """Lets a request pass once its whole body is here. Who sends too much, or too slowly, is told so and hung up on."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_bytes: int,
        own: Mapping[str, int] | None = None,
        arrival_s: float = ARRIVAL_S,
        observer: Observer = NOBODY,
    ) -> None:
        """`own` are the paths that have a limit of their own."""
        self._app = app
        self._max_bytes = max_bytes
        self._own = dict(own or {})
        self._arrival_s = arrival_s
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let it pass."""
        if scope["type"] != "http" or scope["method"] in _WITHOUT_BODY:
            await self._app(scope, receive, send)
            return
        try:
            max_bytes = self._own.get(scope["path"], self._max_bytes)
            body = await self._body(Headers(scope=scope), receive, max_bytes)
        except InvalidArgument as error:
            self._observer.refused(error.code)
            answer = problem(error, headers={"connection": "close"})
            await answer(scope, receive, _lingering(receive, send))
            return
        if body is None:
            return  # the client has hung up
        whole: Message | None = {"type": "http.request", "body": body, "more_body": False}

        async def replay() -> Message:
            nonlocal whole
            message, whole = whole, None
            return await receive() if message is None else message

        await self._app(scope, replay, send)

    async def _body(self, headers: Headers, receive: Receive, max_bytes: int) -> bytes | None:
        announced = headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > max_bytes:
            raise _too_large(max_bytes)
        parts: list[bytes] = []
        left = max_bytes
        try:
            async with asyncio.timeout(self._arrival_s):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    part = message.get("body", b"")
                    left -= len(part)
                    if left < 0:
                        raise _too_large(max_bytes)
                    parts.append(part)
                    if not message.get("more_body", False):
                        return parts[0] if len(parts) == 1 else b"".join(parts)
        except TimeoutError:
            raise InvalidArgument(
                f"the body of this request did not arrive within {self._arrival_s:g} s",
                code="body_timeout",
                hint="Send it again, in one go.",
            ) from None


def _too_large(max_bytes: int) -> InvalidArgument:
    return InvalidArgument(
        f"the body of a request has at most {max_bytes} bytes here", code="body_too_large", hint="Send less at once."
    )


def _lingering(receive: Receive, send: Send) -> Send:
    """Sends an answer and hangs up a little later: who still sends would lose it with the connection."""

    async def linger(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
            return
        await send({**message, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while (await receive())["type"] == "http.request":
                    pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return linger
