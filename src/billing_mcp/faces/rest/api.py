"""Owns the FastAPI application: its routers, its document, and errors as problems."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from billing_mcp import __version__
from billing_mcp.app import App
from billing_mcp.faces.errors_page import errors_page
from billing_mcp.faces.platform import add_platform
from billing_mcp.faces.problem import ERRORS_PATH
from billing_mcp.faces.provider_webhooks import add_provider_webhooks
from billing_mcp.faces.rest.direct import DirectRoute
from billing_mcp.faces.rest.documents import add_documents
from billing_mcp.faces.rest.executions import add_executions
from billing_mcp.faces.rest.functions import add_functions
from billing_mcp.faces.rest.openapi import describe
from billing_mcp.faces.rest.refusing import handlers
from billing_mcp.operations import REGISTRY

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
        exception_handlers=handlers(app),
    )
    api.router.route_class = DirectRoute
    add_platform(api, app)
    add_functions(api, app, REGISTRY.without_writes() if app.settings.read_only else REGISTRY)
    add_executions(api, app)
    add_documents(api, app)
    add_provider_webhooks(api, app)
    api.add_route(ERRORS_PATH, errors_page, include_in_schema=False)
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(describe(api))
        return document

    api.openapi = openapi  # type: ignore[method-assign]
    return api
