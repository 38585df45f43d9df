"""Owns the platform's own routes: what its servers ask, and no agent can."""

from __future__ import annotations

from fastapi import FastAPI

from billing_mcp.app import App
from billing_mcp.faces.platform import (
    accounts,
    campaigns,
    holds,
    invoices,
    keys,
    messages,
    outbox,
    payments,
    receipts,
    tiers,
    webhooks,
)
from billing_mcp.faces.platform.desk import Desk


def add_platform(api: FastAPI, app: App) -> None:
    """Add the routes, for an app that is open. Whoever serves them lets only the platform's credentials pass."""
    api.state.desk = Desk(app)
    for part in (
        holds,
        messages,
        receipts,
        outbox,
        campaigns,
        accounts,
        invoices,
        tiers,
        payments,
        keys,
        webhooks,
    ):  # as they are: a router within a router is looked through twice
        api.router.routes.extend(part.router.routes)
