"""Owns what is told of each request over HTTP: its id, one line of the log, and its measures."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import structlog

from billing_mcp.domain.clock import system_clock
from billing_mcp.domain.ids import new_id
from billing_mcp.faces.scope import CALLER, EXECUTION_ID, PUBLIC_URL, REQUEST_ID
from billing_mcp.logs import about

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from billing_mcp.faces.metrics import Metrics

_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HEADER = b"x-request-id"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/livez", "/readyz", "/metrics"})
_NO_ROUTE = "none"
_WENT_AWAY = 499
"""What the log and the measures call a client that hung up before it had an answer."""


class Requests:
    """Gives each request an id, and says and measures how it ended. Nothing that a client sent gets into a line."""

    def __init__(self, app: ASGIApp, metrics: Metrics, public_url: str = "") -> None:
        self._app = app
        self._metrics = metrics
        self._public_url = public_url
        self._log = structlog.get_logger().bind()  # once: it takes a fifth of what a line does

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it pass, and listen."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[PUBLIC_URL] = self._public_url
        scope[REQUEST_ID] = request_id = _given_id(scope["headers"]) or new_id(system_clock())
        header = (_HEADER, request_id.encode())
        status = size = 0

        async def listen(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), header]
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        told = about.set(partial(_belonging, scope))
        started_s = time.perf_counter()
        try:
            await self._app(scope, receive, listen)
        except Exception:
            status = status or 500
            raise
        finally:
            self._tell(scope, status or _WENT_AWAY, size, time.perf_counter() - started_s)
            about.reset(told)

    def _tell(self, scope: Scope, status: int, size: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = _template(scope)
        self._metrics.request_ended(method, route, status, seconds)
        say = self._log.debug if route in _QUIET and status == 200 else self._log.info
        say("request", method=method, route=route, status=status, duration_ms=round(seconds * 1000, 3), bytes=size)


def _given_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    for name, value in headers:
        if name == _HEADER:
            return value.decode() if _WELL_FORMED.fullmatch(value) else None
    return None


def _template(scope: Scope) -> str:
    """The route that was found, as it was declared: there are few of them, and of paths there is no end.

    FastAPI says where it has put a route of a router only in its own context, and nothing of a plain one.
    """
    found = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    if found is not None:
        return getattr(found, "path", None) or _NO_ROUTE
    fixed = "endpoint" in scope and not scope.get("path_params") and "app_root_path" not in scope
    return str(scope["path"]) if fixed else _NO_ROUTE


def _belonging(scope: Scope) -> dict[str, str]:
    """What is known so far of a request."""
    known = {"request_id": scope[REQUEST_ID]}
    caller = scope.get(CALLER)
    if caller is not None:
        known["principal_id"] = caller.principal_id
    if EXECUTION_ID in scope:
        known["execution_id"] = scope[EXECUTION_ID]
    return known
