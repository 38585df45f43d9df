"""Owns the FastAPI application: its routers, its document, and errors as problems."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from billing_mcp import __version__
from billing_mcp.app import App
from billing_mcp.domain.errors import BillingError, Internal, InvalidArgument, NotFound
from billing_mcp.faces.errors_page import errors_page
from billing_mcp.faces.problem import ERRORS_PATH, problem
from billing_mcp.faces.rest.executions import add_executions
from billing_mcp.faces.rest.functions import add_functions
from billing_mcp.faces.rest.openapi import describe
from billing_mcp.operations import REGISTRY

log = structlog.get_logger()

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


def build_rest(app: App, lifespan: Lifespan) -> FastAPI:
    """The application, with what is open to who has a credential and the pages that describe it."""
    api = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        title="billing-mcp",
        version=__version__,
        lifespan=lifespan,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        exception_handlers={
            BillingError: _refused,
            HTTPException: _of_the_framework,
            Exception: _crashed,
        },
    )
    add_functions(api, app, REGISTRY.without_writes() if app.settings.read_only else REGISTRY)
    add_executions(api, app)
    api.add_route(ERRORS_PATH, errors_page, include_in_schema=False)
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(describe(api))
        return document

    api.openapi = openapi  # type: ignore[method-assign]
    return api


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, BillingError):
        raise error
    more = {"execution_id": execution_id} if (execution_id := request.scope.get("billing_mcp.execution_id")) else {}
    return problem(error, more=more)


async def _of_the_framework(request: Request, error: Exception) -> Response:
    """A route that is not there, or has not this method."""
    if not isinstance(error, HTTPException):
        raise error
    path = ascii(request.url.path[:80])[1:-1]
    if error.status_code == 405:
        refused: BillingError = InvalidArgument(
            f"{path} has no method {request.method[:20]}", code="method_not_allowed", hint="See /docs for the methods."
        )
    elif error.status_code == 404:
        refused = NotFound(f"there is no {path}", code="route_not_found", hint="See /docs for what there is.")
    else:
        refused = InvalidArgument(error.detail, field="body")
    return problem(refused, status=error.status_code, headers=error.headers)


async def _crashed(_request: Request, error: Exception) -> Response:
    log.error("request_crashed", exc_info=error)
    return problem(Internal("the server failed on this; its log says why"))
