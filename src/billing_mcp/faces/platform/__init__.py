"""Owns the platform's own routes, under /v1/platform: what its servers ask, and no agent can."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request

from billing_mcp.app import App
from billing_mcp.faces.platform import accounts, holds, keys
from billing_mcp.faces.platform.desk import DESK, PREFIX, Desk

_MAX_BODY_BYTES = 64 * 1024


def platform_router(app: App) -> APIRouter:
    """The routes, for an app that is open. Whoever mounts them lets only the platform's credentials pass."""
    desk = Desk(app)

    async def at_desk(request: Request) -> None:
        request.scope[DESK] = desk

    router = APIRouter(
        prefix=PREFIX,
        tags=["platform"],
        dependencies=[Depends(at_desk)],
        responses={"4XX": {"description": "Refused: the `code` says why."}},
        max_body_size=_MAX_BODY_BYTES,
    )
    for part in (accounts, holds, keys):
        router.include_router(part.router)
    return router
