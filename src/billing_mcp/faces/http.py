"""Owns serving over HTTP: what is mounted where, and a server that ends what it has begun."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any, Literal

import uvicorn
from mcp.server.mcpserver import Context
from sse_starlette.sse import AppStatus
from starlette.routing import Route
from starlette.types import ASGIApp

from billing_mcp.app import App
from billing_mcp.domain.errors import Unavailable
from billing_mcp.faces.auth import HostAndOrigin, SignIn, principal_in, transport_security
from billing_mcp.faces.bodies import Bodies
from billing_mcp.faces.health import LIVE_PATH, READY_PATH, Health
from billing_mcp.faces.loading import AppSource
from billing_mcp.faces.mcp import build_server
from billing_mcp.faces.metadata import metadata_routes
from billing_mcp.faces.metrics import METRICS_PATH, Metrics
from billing_mcp.faces.platform.desk import MAX_BATCH_BYTES
from billing_mcp.faces.rates import AddressRate, CredentialRate, LinkRate, Rates
from billing_mcp.faces.requests import Requests
from billing_mcp.faces.rest.api import build_rest
from billing_mcp.faces.tokens import TokenVerifier
from billing_mcp.kernel.principal import Principal

MCP_PATH = "/mcp"
_HOLDS = "/v1/platform/accounts/{account_id}/holds"
_HOT = frozenset(
    {
        *(MCP_PATH, "/v1/billing/balance", _HOLDS, f"{_HOLDS}/{{hold_id}}/capture", "/v1/platform/holds/batch"),
        *("/v1/messages", "/v1/messages/batch", "/v1/messages/receipts", "/v1/messages/{message_id}/receipts"),
    }
)

_MAX_CONNECTIONS = 1024
_GRACE_S = 5
_LAST_WORDS_S = 1
_UNTAKEN_S = 30
"""How long a client may leave what it was sent where it is, before it counts as gone."""
_JSON_OVERHEAD = 6  # a character may be written as \uXXXX
_ENVELOPE_BYTES = 64 * 1024


def build_http_app(app: App, metrics: Metrics, health: Health, rates: Rates) -> ASGIApp:
    """Everything that is served over HTTP, for an app that is open."""
    settings = app.settings
    metrics.watch_waiting(lambda: app.store.waiting)
    security = transport_security(settings)

    @asynccontextmanager
    async def opened() -> AsyncIterator[AppSource]:
        async def source() -> App:
            return app

        yield source

    mcp_bytes = settings.code_kb * 1024 * _JSON_OVERHEAD + _ENVELOPE_BYTES
    mcp = build_server(settings, opened, _caller).streamable_http_app(
        streamable_http_path=MCP_PATH,
        json_response=settings.json_response,
        stateless_http=True,
        max_request_body_size=mcp_bytes,
        transport_security=security,
    )
    api = build_rest(app, mcp.router.lifespan_context)
    api.router.routes[:0] = [
        # Every request stands for itself, so there is nothing to GET or DELETE.
        Route(MCP_PATH, mcp, methods=["POST"]),
        Route(LIVE_PATH, health.live, methods=["GET"]),
        Route(READY_PATH, health.ready, methods=["GET"]),
        Route(METRICS_PATH, metrics.answer, methods=["GET"]),
        *metadata_routes(settings),
    ]
    # Routes are tried in their order: what is asked for most comes first.
    api.router.routes.sort(key=lambda route: getattr(route, "path", "") not in _HOT)
    verifier = TokenVerifier(settings, app.clock) if settings.oauth_issuer else None
    own = {MCP_PATH: mcp_bytes, "/v1/messages/batch": max(MAX_BATCH_BYTES, settings.body_kb * 1024)}
    within = Bodies(api, max_bytes=settings.body_kb * 1024, own=own, observer=metrics)
    signed_in = SignIn(CredentialRate(within, rates, metrics), app, verifier, settings)
    counted = LinkRate(signed_in, rates, metrics)
    known = HostAndOrigin(AddressRate(counted, rates, metrics), security)
    return Requests(known, metrics, settings.public_url)


async def serve_http(
    app: App, metrics: Metrics, rates: Rates, listener: socket.socket, *, on_ready: Callable[[], None]
) -> None:
    """Serve until SIGINT or SIGTERM; then take nothing new, end what runs, and return."""
    health = Health(app)
    server = _Server(
        app,
        health,
        uvicorn.Config(
            build_http_app(app, metrics, health, rates),
            access_log=False,
            http=_protocol(),
            limit_concurrency=_MAX_CONNECTIONS,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=int(app.settings.wall_s) + _GRACE_S,
            ws="none",
        ),
        on_ready,
    )
    await server.serve(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound. Raises Unavailable."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no address of this machine"
        raise Unavailable(
            f"cannot listen on {host} port {port}: {reason}",
            code="address_unavailable",
            hint="Choose another with --host and --port.",
        ) from error
    if sys.platform == "linux":  # what it accepts inherits it; a reader that stands still would never be let go
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNTAKEN_S * 1000)
    return listener


def _protocol() -> type[asyncio.Protocol] | Literal["auto"]:
    """Connections that are not waited for for ever; the parser that they need is not there on Windows."""
    if sys.platform == "win32":
        return "auto"
    from billing_mcp.faces.connections import Connection

    return Connection


class _Server(uvicorn.Server):
    """Ends as if nothing were wrong when it is told to; the library would raise the signal again."""

    def __init__(self, app: App, health: Health, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._app = app
        self._health = health
        self._on_ready = on_ready
        AppStatus.enable_automatic_graceful_drain = False  # it would cut off the answers that are under way

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what there is now stays: looking through it again and again took a quarter of the time
        self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Be told to end: whoever asks before the door is closed hears that we are not ready."""
        self._health.end()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the door, wait for what runs, then end the streams that wait for news."""
        ending = asyncio.create_task(super().shutdown(sockets))
        await self._app.executor.settled()
        await asyncio.wait([ending], timeout=_LAST_WORDS_S)
        AppStatus.should_exit = True
        await ending

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let a signal end the serving, not the process."""
        loop = asyncio.get_running_loop()
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.handle_exit, number, None)
        except NotImplementedError:  # Windows has no such handlers
            with super().capture_signals():
                yield
            return
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


async def _caller(_app: App, ctx: Context[Any]) -> Principal:
    request = ctx.request_context.request
    if request is None:
        raise RuntimeError("a request over HTTP must carry its principal")
    return principal_in(request.scope)
