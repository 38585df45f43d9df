"""Owns refusals over REST: errors of ours, of the framework, and defects, each as a problem."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from billing_mcp.app import App
from billing_mcp.domain.errors import BillingError, Internal, InvalidArgument, NotFound
from billing_mcp.faces.auth import challenge
from billing_mcp.faces.problem import problem
from billing_mcp.faces.requests_read import invalid_request
from billing_mcp.faces.rest.reading import IDEMPOTENCY_KEY
from billing_mcp.faces.scope import ACCOUNT_ID, EXECUTION_ID
from billing_mcp.kernel.principal import Permission
from billing_mcp.settings import Settings

log = structlog.get_logger()

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_SEE = "See /docs for what there is."


def refusal(
    request: Request,
    error: BillingError,
    settings: Settings,
    *,
    wanted: Iterable[Permission] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Response:
    """The answer to a request that is refused. `wanted` are the permissions that the call needs."""
    execution_id = request.scope.get(EXECUTION_ID)
    named = {"account_id": request.scope.get(ACCOUNT_ID, ""), **request.path_params, **(arguments or {})}
    return problem(
        error,
        more={"execution_id": execution_id} if execution_id else None,
        headers=challenge(error, settings, request.url.path, wanted),
        idempotency_key=request.headers.get(IDEMPOTENCY_KEY, ""),
        account_id=str(named["account_id"]),
    )


def handlers(app: App) -> dict[Any, Any]:
    """What answers for the exceptions that a route raises."""

    async def refused(request: Request, error: BillingError) -> Response:
        return refusal(request, error, app.settings)

    async def malformed(request: Request, error: RequestValidationError) -> Response:
        return refusal(request, invalid_request(error), app.settings)

    return {
        BillingError: refused,
        RequestValidationError: malformed,
        HTTPException: _of_the_framework,
        Exception: _crashed,
    }


async def _of_the_framework(request: Request, error: HTTPException) -> Response:
    """A route that is not there, or has not this method."""
    path, headers = ascii(request.url.path[:80])[1:-1], error.headers
    if error.status_code == 405:
        method = request.method[:20]
        refused: BillingError = InvalidArgument(f"{path} has no method {method}", code="method_not_allowed", hint=_SEE)
        headers = {"allow": ", ".join(_methods(request))}
    elif error.status_code == 404:
        refused = NotFound(f"there is no {path}", code="route_not_found", hint=_SEE)
    else:
        refused = InvalidArgument(str(error.detail), field="body")
    return problem(refused, status=error.status_code, headers=headers)


def _methods(request: Request) -> list[str]:
    """The methods that the path has; the framework knows those of the first route with this path."""
    asked = {method: {**request.scope, "method": method} for method in _METHODS}
    routes = request.app.router.routes
    return [method for method, scope in asked.items() if any(each.matches(scope)[0] is Match.FULL for each in routes)]


async def _crashed(_request: Request, error: Exception) -> Response:
    log.error("request_crashed", exc_info=error)
    return problem(Internal("the server failed on this; its log says why"))
