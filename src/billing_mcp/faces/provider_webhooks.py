"""Owns where payment providers' webhooks arrive: signed by them, and without a key of ours."""

from __future__ import annotations

from typing import Any

import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from billing_mcp.app import App
from billing_mcp.domain.errors import BillingError, NotFound
from billing_mcp.faces.rest.openapi_parts import JSON, done_without_body, problems
from billing_mcp.payments.port import Heard
from billing_mcp.store.engine import TransactionAbortedError, busy, uninterrupted

PATH = "/v1/providers/{provider}/webhooks"

log = structlog.get_logger()

_ATTEMPTS = 3
_EXAMPLE = {"event_id": "evt_1", "type": "set_up.ended", "account_id": "", "setup_id": "seti_1"}


def add_provider_webhooks(api: FastAPI, app: App) -> None:
    """Add the route, for an app that is open. Nobody signs in there: the provider's signature is what counts."""

    async def receive(request: Request) -> Response:
        provider = app.provider
        if request.path_params["provider"] != provider.name:
            raise NotFound("this server has no such payment provider", field="provider")
        try:
            heard = provider.hear(await request.body(), request.headers)
            await uninterrupted(_record(app, heard))
        except BillingError as error:
            app.observer.webhook_ended(provider.name, error.code)
            app.observer.refused(error.code)
            raise
        app.observer.webhook_ended(provider.name, "recorded")
        log.info("webhook_recorded", provider=provider.name, type=heard.type, webhook_id=heard.event_id)
        return Response(status_code=204)

    api.add_api_route(
        PATH,
        receive,
        methods=["POST"],
        name="receive_provider_webhook",
        operation_id="receive_provider_webhook",
        response_class=Response,
        status_code=204,
        openapi_extra=_docs(),
    )


async def _record(app: App, heard: Heard) -> None:
    """Record it; where the database gave up on it, again. Raises Conflict: `database_busy`, as others do."""
    for _ in range(_ATTEMPTS):
        try:
            await app.charging.hear(heard)
        except TransactionAbortedError:
            continue
        return
    raise busy()


def _docs() -> dict[str, Any]:
    refusals = ("invalid_signature", "not_found", "invalid_argument", "body_timeout", "body_too_large", "rate_limited")
    not_now = ("database_busy", "database_unavailable", "outcome_unknown", "provider_unavailable", "unavailable")
    return {
        "tags": ["providers"],
        "summary": "Tell of a payment or a payment method, as its provider does.",
        "description": "For the payment provider alone: it signs the body, and needs no key. The answer comes once "
        "what it tells is recorded; anything but success makes it send the same again, which changes nothing more. "
        "Bad signatures from an address are counted with its failed sign-ins.",
        "security": [],
        "parameters": [
            {
                "name": "provider",
                "in": "path",
                "required": True,
                "description": "The provider that this server has: `test` is the one that comes with it.",
                "schema": {"type": "string"},
                "example": "test",
            }
        ],
        "requestBody": {
            "required": True,
            "description": "The event as the provider wrote it, byte for byte: its signature is of these bytes.",
            "content": {JSON: {"schema": {"type": "object"}, "examples": {"an event": {"value": _EXAMPLE}}}},
        },
        "responses": {
            "204": done_without_body("It is recorded, or was before."),
            **problems((*refusals, *not_now, "internal_error", "host_not_allowed", "origin_not_allowed")),
        },
    }
