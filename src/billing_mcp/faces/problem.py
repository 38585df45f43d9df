"""Owns errors over HTTP: `application/problem+json` (RFC 9457) with our stable code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from billing_mcp.domain.errors import (
    BillingError,
    Conflict,
    InsufficientFunds,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Refused,
    Unauthenticated,
    Unavailable,
)

_STATUSES: dict[type[BillingError], int] = {
    InvalidArgument: 422,
    Unauthenticated: 401,
    PermissionDenied: 403,
    NotFound: 404,
    InsufficientFunds: 402,
    Refused: 409,
    Conflict: 503,
    Unavailable: 503,
}


def problem(error: BillingError, *, status: int | None = None, more: Mapping[str, Any] | None = None) -> Response:
    """The answer to a request that is refused; `more` are members of its own."""
    if error.code == "idempotency_key_in_use":
        status = 409
    status = status or next((s for kind, s in _STATUSES.items() if isinstance(error, kind)), 500)
    body = {"status": status, "code": error.code, "title": error.message, "detail": error.hint, "field": error.field}
    body |= more or {}
    headers = {}
    if status == 401:
        reason = "" if error.code == "key_missing" else f', error="invalid_token", error_description="{error.code}"'
        headers["www-authenticate"] = f'Bearer realm="billing-mcp"{reason}'
    if isinstance(error, Conflict | Unavailable):
        headers["retry-after"] = "1"
    return Response(
        json.dumps({name: value for name, value in body.items() if value is not None}),
        status_code=status,
        headers=headers,
        media_type="application/problem+json",
    )
