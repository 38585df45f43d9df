"""Owns errors over HTTP: `application/problem+json` (RFC 9457) with our stable code, and each code's status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from billing_mcp.domain.error_meanings import MEANINGS
from billing_mcp.domain.errors import (
    ERRORS,
    BillingError,
    Conflict,
    Internal,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    RateLimited,
    Refused,
    ScriptFailed,
    Unauthenticated,
    Unavailable,
)
from billing_mcp.faces.scope import PUBLIC_URL, REQUEST_ID
from billing_mcp.faces.ways_to_cover import ways_to_cover
from billing_mcp.kernel.answer import AnswerError

ERRORS_PATH = "/errors"
MEDIA_TYPE = "application/problem+json"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Status:
    """What a status says of a request, and the errors that have it: classes of them, and single codes."""

    says: str
    errors: tuple[type[BillingError] | str, ...]


STATUSES: dict[int, Status] = {
    400: Status("The request cannot be read", ("account_not_named", "credential_in_query", "not_json", "syntax_error")),
    401: Status("Nobody knows who is calling", (Unauthenticated,)),
    402: Status("The wallet does not cover it", ("insufficient_funds",)),
    403: Status("The caller may not do this", (PermissionDenied,)),
    404: Status("There is no such thing", (NotFound, "unknown_function")),
    405: Status("Not with this method", ("method_not_allowed",)),
    408: Status("The request did not arrive in time", ("body_timeout",)),
    409: Status("The state of things forbids it", (Refused, Conflict)),
    413: Status("There is too much of it", ("body_too_large", "script_too_long")),
    415: Status("Not in this format", ("unsupported_media_type",)),
    421: Status("This is not the server that was asked for", ("host_not_allowed",)),
    422: Status("The request can be read and is wrong", (InvalidArgument, LimitExceeded, ScriptFailed)),
    429: Status("Too many requests", (RateLimited,)),
    500: Status("The server failed", (Internal,)),
    503: Status("Not now", (Unavailable, "database_busy", "server_busy")),
}
"""Every status that an error can have. A code that is named here has its own, any other that of its class."""

_STATUS_OF = {each: number for number, status in STATUSES.items() for each in status.errors}
_RETRY_AFTER_S = {
    "database_unavailable": 5,
    "issuer_unavailable": 5,
    "outcome_unknown": 5,
    "provider_unavailable": 5,
    "unavailable": 5,
}
_RETRY_STATUSES = frozenset({409, 429, 503})
_encode = msgspec.json.Encoder(decimal_format="number").encode


def status_of(code: str) -> int:
    """The HTTP status of an error code."""
    return _STATUS_OF[code] if code in _STATUS_OF else _STATUS_OF[ERRORS[code]]


def problem(
    error: BillingError | AnswerError,
    *,
    status: int | None = None,
    more: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    idempotency_key: str = "",
    account_id: str = "",
) -> Response:
    """The answer to a request that is refused, or whose execution has failed.

    `status` is for a code that has another one here than elsewhere, `more` are members of its own, and
    `headers` outrank those that the error brings. `idempotency_key` is the one that was sent, `account_id`
    the account it was about: where money is missing they say how to pay and try again.
    """
    status = status or status_of(error.code)
    if isinstance(error, Internal) and error.__traceback__:  # it was raised, and nobody has logged what it says
        log.error("internal_error", exc_info=error)
    members = {
        **_members(error, status),
        **_amounts(error, idempotency_key=idempotency_key, account_id=account_id),
        **(more or {}),
    }
    sent = _headers(error.code, status) | {name.lower(): value for name, value in (headers or {}).items()}
    return _Problem(members, status, {name: _header(value) for name, value in sent.items()})


class _Problem(Response):
    """Learns only from the scope that it is sent in who asked, and by which address."""

    media_type = MEDIA_TYPE

    def __init__(self, members: dict[str, Any], status: int, headers: dict[str, str]) -> None:
        self._members = members
        super().__init__(members, status, headers)

    def render(self, content: Any) -> bytes:
        """The body. What is None is left out."""
        return _encode(_sendable({name: value for name, value in content.items() if value is not None}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        type_ = scope.get(PUBLIC_URL, "") + self._members["type"]
        self.body = self.render(self._members | {"type": type_, "request_id": scope.get(REQUEST_ID)})
        self.headers["content-length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


def _members(error: BillingError | AnswerError, status: int) -> dict[str, Any]:
    meaning = MEANINGS[error.code]
    hidden = status == 500  # its text is about our insides
    return {
        "type": f"{ERRORS_PATH}#{error.code}",
        "title": meaning.title,
        "status": status,
        "detail": meaning.meaning if hidden else error.message,
        "code": error.code,
        "hint": meaning.mend if hidden else error.hint,
        "field": error.field,
        "request_id": None,
        "line": getattr(error, "line", None),
        "source": getattr(error, "source", None),
    }


def _amounts(error: BillingError | AnswerError, *, idempotency_key: str, account_id: str) -> dict[str, Any]:
    """What an error lets its reader compute with, as exact numbers, and how to cover what is missing."""
    amounts = {name: Decimal(text) for name, text in error.amounts.items()}
    members: dict[str, Any] = {**amounts, "currency": error.currency}
    if "shortfall" in amounts:
        members["ways_to_cover"] = ways_to_cover(
            account_id=account_id,
            shortfall=amounts["shortfall"],
            reserved=amounts.get("reserved", Decimal(0)),
            currency=error.currency,
        )
    if error.code == "insufficient_funds":
        members["idempotency_key"] = idempotency_key or None
    return members


def _headers(code: str, status: int) -> dict[str, str]:
    headers = {"cache-control": "no-store"}
    if status in _RETRY_STATUSES and MEANINGS[code].retry == "unchanged":
        headers["retry-after"] = str(_RETRY_AFTER_S.get(code, 1))
    return headers


def _header(value: str) -> str:
    """The value in one line of ASCII: a header ends where a line does."""
    return "".join(c if " " <= c <= "~" else "?" for c in value)


def _sendable(value: Any) -> Any:
    """The value without lone surrogates, which UTF-8 cannot carry."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_sendable(name): _sendable(each) for name, each in value.items()}
    return [_sendable(each) for each in value] if isinstance(value, list | tuple) else value
