"""Owns who may connect over HTTP: from which host and origin, and with which key or token."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import parse_qsl, urlsplit

from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from billing_mcp.app import App, not_the_platform
from billing_mcp.domain.errors import BillingError, InvalidArgument, PermissionDenied, Unauthenticated
from billing_mcp.faces.metadata import METADATA_PATHS, metadata_url
from billing_mcp.faces.problem import problem
from billing_mcp.faces.scope import CALLER
from billing_mcp.faces.tokens import TokenVerifier
from billing_mcp.kernel.keys import KEY_MARKS
from billing_mcp.kernel.principal import Permission, Platform, Principal
from billing_mcp.settings import DOCUMENTS_PATH, Settings, parse_list

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - what they mean must be known to be guarded

PROBES = frozenset({"/livez", "/readyz"})
"""Asked by whoever watches the process, at an address that is not a name of ours."""

_OPEN = PROBES | METADATA_PATHS | {"/docs", "/openapi.json", "/errors"}
_OPEN_BELOW = "/static-offline-docs/"
_SIGNED, _SIGNED_END = "/v1/providers/", "/webhooks"
_LINKS = f"{DOCUMENTS_PATH}/"
_PLATFORMS = ("/metrics", "/v1/platform", "/v1/messages", "/v1/campaigns", "/v1/accounts")
_CREDENTIALS = frozenset({"access_token", "token", "key", "api_key"})

_BEARER = "bearer "
_NAMING = frozenset({b"host", b"origin"})
_REMEMBERED = 256


def transport_security(settings: Settings) -> TransportSecuritySettings:
    """The Host and Origin headers that are let in, on every bind: a page elsewhere must not reach us.

    They are those of the address we listen on and of the public URL, and what the settings add. On
    all addresses we cannot know the names we go by: then it is loopback, and what the settings add.
    """
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    own = LOOPBACK if settings.host in ANYWHERE or host in LOOPBACK else (host,)
    public = [urlsplit(settings.public_url).netloc] if settings.public_url else []
    names = [*own, *public, *parse_list(settings.allowed_hosts)]
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
        self._good: set[tuple[tuple[bytes, bytes], ...]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let it pass."""
        if scope["type"] == "http" and scope["path"] not in PROBES:
            named = tuple([each for each in scope["headers"] if each[0] in _NAMING])
            if named not in self._good:
                refusal = await self._check.validate_request(Request(scope))
                if refusal is not None:
                    await problem(_foreign(refusal.status_code))(scope, receive, send)
                    return
                self._remember(named)
        await self._app(scope, receive, send)

    def _remember(self, named: tuple[tuple[bytes, bytes], ...]) -> None:
        """What was good once is good: the settings do not change. There are few names, but many ports."""
        if len(self._good) >= _REMEMBERED:
            self._good.clear()
        self._good.add(named)


class SignIn:
    """Lets nobody pass without a good credential, and notes whose it is.

    What is open to all is listed above. The platform's paths are for its keys alone; all others
    are for agents, by their keys or by tokens.
    """

    def __init__(self, app: ASGIApp, billing: App, verifier: TokenVerifier | None, settings: Settings) -> None:
        self._app = app
        self._billing = billing
        self._verifier = verifier
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let it pass."""
        if scope["type"] != "lifespan" and not _without_credential(scope["path"]):
            try:
                scope[CALLER] = await self._caller(scope)
            except BillingError as error:
                await self._refusal(error, scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Principal | Platform:
        _nothing_in_query(scope)
        text = _credential(Headers(scope=scope))
        verifier = None if text.startswith(KEY_MARKS) else self._verifier
        if not _is_platforms(scope["path"]):
            if verifier is None:
                return await self._billing.principal_of(text)
            return self._billing.within_settings(await verifier.principal_of(text))
        if verifier is None:
            return await self._billing.platform_of(text)
        with suppress(PermissionDenied):  # whatever else is wrong with it, it is not the platform's
            await verifier.principal_of(text)
        raise not_the_platform()

    def _refusal(self, error: BillingError, path: str) -> Response:
        return problem(error, headers=challenge(error, self._settings, path))


def challenge(
    error: BillingError, settings: Settings, path: str, wanted: Iterable[Permission] | None = None
) -> dict[str, str]:
    """The headers that tell a client how it would be let in (RFC 6750, RFC 9728), for a request that is refused.

    `wanted` is what the call needs; unless given, it is all that agents can have here. There are
    none for errors that no other credential mends.
    """
    fields = {"realm": "billing-mcp"}
    if isinstance(error, Unauthenticated):
        if error.code != "key_missing":
            fields |= {"error": "invalid_token", "error_description": error.message}
    elif error.code == "permission_denied":
        fields["error"] = "insufficient_scope"
    else:
        return {}
    fields["scope"] = " ".join(settings.scopes() if wanted is None else wanted)
    metadata = metadata_url(settings, path)
    if metadata is not None:
        fields["resource_metadata"] = metadata
    return {"www-authenticate": "Bearer " + ", ".join(f'{name}="{_quotable(text)}"' for name, text in fields.items())}


def principal_in(scope: Scope) -> Principal:
    """Whose key a request came with. It is there, or the request has not passed by us: a KeyError."""
    principal: Principal = scope[CALLER]
    return principal


def platform_in(scope: Scope) -> Platform:
    """The platform, whose credential a request came with. It is there, or the request has not passed by us."""
    platform: Platform = scope[CALLER]
    return platform


def is_open(path: str) -> bool:
    """Whether a path is for everybody, so that nobody signs in there."""
    return path in _OPEN or path.startswith(_OPEN_BELOW)


def is_signed(path: str) -> bool:
    """Whether a path is for who signs the body: nobody signs in there, and what is signed badly is refused."""
    return path.startswith(_SIGNED) and path.endswith(_SIGNED_END)


def is_link(path: str) -> bool:
    """Whether a path is a link that is signed itself: nobody signs in there, and others open nothing."""
    return path.startswith(_LINKS)


def _without_credential(path: str) -> bool:
    return is_open(path) or is_signed(path) or is_link(path)


def _is_platforms(path: str) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in _PLATFORMS)


def _nothing_in_query(scope: Scope) -> None:
    """What stands in a URL ends in logs, histories and referrers: it would have to be called known."""
    query = scope["query_string"].decode("latin-1")
    if any(name.lower() in _CREDENTIALS for name, _ in parse_qsl(query, keep_blank_values=True)):
        raise InvalidArgument(
            "a credential does not belong into a URL, where logs and histories keep it",
            code="credential_in_query",
            hint="Revoke it if it is one, and send its successor as the header `Authorization: Bearer ...`.",
        )


def _credential(headers: Headers) -> str:
    given = headers.getlist("authorization")
    if len(given) != 1 or not given[0].lower().startswith(_BEARER):
        raise Unauthenticated(
            "this request has no key", hint="Send it as the header `Authorization: Bearer bmcp_...`, once."
        )
    return given[0][len(_BEARER) :].strip()


def _quotable(text: str) -> str:
    """As much as a quoted string of this header may hold."""
    return "".join(c for c in text if " " <= c <= "~" and c not in '"\\')


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
