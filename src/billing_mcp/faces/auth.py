"""Owns who may connect over HTTP: from which host and origin, and with which key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from billing_mcp.domain.errors import BillingError, PermissionDenied, Unauthenticated
from billing_mcp.faces.problem import problem
from billing_mcp.kernel.principal import Platform, Principal
from billing_mcp.settings import Settings, parse_list

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - what they mean must be known to be guarded

CALLER = "billing_mcp.caller"
"""Where a request's scope has whose credential it came with: a Principal, or the Platform."""
_BEARER = "bearer "

HolderOf = Callable[[str], Awaitable[Principal | Platform]]
"""Whose a key is. Raises BillingError."""


def transport_security(settings: Settings) -> TransportSecuritySettings:
    """The Host and Origin headers that are let in, on every bind: a page elsewhere must not reach us.

    They are those of the address we listen on, and what the settings add. On all addresses we
    cannot know the names we go by: then it is loopback, and what the settings add.
    """
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    own = LOOPBACK if settings.host in ANYWHERE or host in LOOPBACK else (host,)
    names = [*own, *parse_list(settings.allowed_hosts)]
    hosts = [each for name in names for each in (name, f"{name}:*")]
    origins = [f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")]
    return TransportSecuritySettings(
        allowed_hosts=hosts, allowed_origins=[*origins, *parse_list(settings.allowed_origins)]
    )


class HostAndOrigin:
    """Refuses a request whose Host or Origin is not ours, before anything else looks at it."""

    def __init__(self, app: ASGIApp, security: TransportSecuritySettings) -> None:
        self._app = app
        self._check = TransportSecurityMiddleware(security)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let it pass."""
        if scope["type"] == "http":
            refusal = await self._check.validate_request(Request(scope))
            if refusal is not None:
                await problem(_foreign(refusal.status_code), status=refusal.status_code)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class BearerKey:
    """Lets nobody pass without a good key, and notes whose it is."""

    def __init__(self, app: ASGIApp, holder_of: HolderOf) -> None:
        self._app = app
        self._holder_of = holder_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let it pass."""
        try:
            scope[CALLER] = await self._holder_of(_key(Headers(scope=scope)))
        except BillingError as error:
            await problem(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def principal_in(scope: Scope) -> Principal:
    """Whose key a request came with. It is there, or the request has not passed by us: a KeyError."""
    principal: Principal = scope[CALLER]
    return principal


def platform_in(scope: Scope) -> Platform:
    """The platform, whose credential a request came with. It is there, or the request has not passed by us."""
    platform: Platform = scope[CALLER]
    return platform


def _key(headers: Headers) -> str:
    given = headers.getlist("authorization")
    if len(given) != 1 or not given[0].lower().startswith(_BEARER):
        raise Unauthenticated(
            "this request has no key", hint="Send it as the header `Authorization: Bearer bmcp_...`, once."
        )
    return given[0][len(_BEARER) :].strip()


def _foreign(status: int) -> BillingError:
    if status == 403:
        return PermissionDenied(
            "pages of this origin may not call this server",
            code="origin_not_allowed",
            hint="If it is yours, name it in --allowed-origins.",
        )
    return PermissionDenied(
        "this server does not go by the name in the Host header",
        code="host_not_allowed",
        hint="If it is yours, name it in --allowed-hosts.",
    )
