"""Owns the metadata of us as a protected resource (RFC 9728): where a client finds who gives it a token."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from billing_mcp.settings import RESOURCE_PATHS, Settings

_WELL_KNOWN = "/.well-known/oauth-protected-resource"
METADATA_PATHS = frozenset(_WELL_KNOWN + path for path in RESOURCE_PATHS)


def metadata_routes(settings: Settings) -> list[Route]:
    """The document of each resource; there are none where tokens are not taken."""
    if not settings.oauth_issuer:
        return []
    return [_route(settings, path) for path in RESOURCE_PATHS]


def metadata_url(settings: Settings, path: str) -> str | None:
    """Where the document is of the resource that serves a path; None where tokens are not taken."""
    if not settings.oauth_issuer:
        return None
    resource = next((each for each in RESOURCE_PATHS if each and f"{path}/".startswith(f"{each}/")), "")
    return f"{settings.public_url}{_WELL_KNOWN}{resource}"


def _route(settings: Settings, path: str) -> Route:
    document = _document(settings, path)

    async def metadata(_request: Request) -> JSONResponse:
        return JSONResponse(document)

    return Route(_WELL_KNOWN + path, metadata, methods=["GET"])


def _document(settings: Settings, path: str) -> dict[str, Any]:
    return {
        "resource": settings.public_url + path,
        "authorization_servers": [settings.oauth_issuer],
        "scopes_supported": [scope.value for scope in settings.scopes()],
        "bearer_methods_supported": ["header"],
        "resource_name": "billing-mcp",
        "resource_documentation": f"{settings.public_url}/docs",
    }
