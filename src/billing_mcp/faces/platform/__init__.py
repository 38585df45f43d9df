"""Owns the platform's own routes, under /v1/platform: what its servers ask, and no agent can."""

from __future__ import annotations

from fastapi import FastAPI

from billing_mcp.app import App
from billing_mcp.faces.platform import accounts, holds, keys
from billing_mcp.faces.platform.desk import Desk


def add_platform(api: FastAPI, app: App) -> None:
    """Add the routes, for an app that is open. Whoever serves them lets only the platform's credentials pass."""
    api.state.desk = Desk(app)
    for part in (holds, accounts, keys):  # as they are: a router within a router is looked through twice
        api.router.routes.extend(part.router.routes)
