"""Owns what descriptions of REST share: components, refusals by their status, headers, and recorded examples."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

from billing_mcp.domain.errors import ERRORS
from billing_mcp.faces.problem import MEDIA_TYPE, STATUSES, status_of

JSON = "application/json"
SCHEMAS = "#/components/schemas/{model}"

ANYWHERE = (
    *("credential_in_query", "key_missing", "invalid_key", "key_expired", "key_revoked", "invalid_token"),
    *("token_expired", "permission_denied", "origin_not_allowed", "host_not_allowed", "rate_limited"),
    *("internal_error", "database_busy", "database_unavailable", "issuer_unavailable"),
)
"""What any request with a credential may be refused with."""
AGENTS = ("no_account_granted", "platform_credential")
PLATFORMS = ("agent_credential",)
"""What a credential of the other kind is told."""
WITH_BODY = (
    *("not_json", "body_timeout", "body_too_large", "unsupported_media_type"),
    *("invalid_argument", "missing_argument", "unknown_argument"),
)
QUEUED = ("queue_full", "unavailable")
"""What moving money may be refused with, when too much of it waits or the server ends."""
UNDER_KEY = ("idempotency_key_reused", "idempotency_key_in_use", "outcome_unknown")
"""What changing something may be refused with."""

_NEVER_MISSING = ("X-Request-Id", "Cache-Control")
_RETRIED = ("409", "429", "503")
_CHALLENGED = ("401", "403")
_ALWAYS = ("X-Request-Id", "Cache-Control", "RateLimit", "RateLimit-Policy")


def errors_named_in(doc: str) -> list[str]:
    """The codes that a docstring lists in its line `Errors: ...`."""
    (listed, *_) = [*(line for line in doc.splitlines() if line.startswith("Errors: ")), ""]
    return listed.removeprefix("Errors: ").rstrip(".").split(", ") if listed else []


def problems(codes: Iterable[str]) -> dict[str, Any]:
    """The refusals with these codes, by status."""
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(status_of(code), []).append(code)
    return {str(status): _problem(status, found) for status, found in sorted(by_status.items())}


def _problem(status: int, codes: list[str]) -> dict[str, Any]:
    more = [*(["Retry-After"] if str(status) in _RETRIED else [])]
    more += ["WWW-Authenticate"] if str(status) in _CHALLENGED else []
    return {
        "description": f"{STATUSES[status].says}: {', '.join(f'`{code}`' for code in codes)}.",
        "headers": headers(*_ALWAYS, *more),
        "content": {MEDIA_TYPE: {"schema": reference("Problem")}},
    }


def answered(description: str, model: str, *names: str) -> dict[str, Any]:
    """A success with a body, the headers that every one has, and those that are named."""
    content = {JSON: {"schema": reference(model)}}
    return {"description": description, "headers": headers(*_ALWAYS, *names), "content": content}


def nothing_new(*names: str) -> dict[str, Any]:
    """The answer to who has this version already, with the headers that it has otherwise."""
    return {"description": "You have this version already.", "headers": headers(*_ALWAYS, *names)}


def done_without_body(description: str) -> dict[str, Any]:
    """A success of which nothing is to be said."""
    return {"description": description, "headers": headers("X-Request-Id", "RateLimit", "RateLimit-Policy")}


def headers(*names: str) -> dict[str, Any]:
    """The headers of an answer."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def parameter(name: str) -> dict[str, str]:
    """A parameter that many operations have."""
    return {"$ref": f"#/components/parameters/{name}"}


def reference(model: str) -> dict[str, str]:
    """A schema by its name."""
    return {"$ref": SCHEMAS.format(model=model)}


def show_examples(operation: dict[str, Any], name: str) -> None:
    """Put what was recorded of an operation into its description."""
    kept = recorded()[name]
    if "request" in kept:
        operation["requestBody"]["content"][JSON]["examples"] = {"recorded": {"value": kept["request"]}}
    (success,) = [
        response for status, response in operation["responses"].items() if status in ("200", "201", "202", "204")
    ]
    if "response" in kept:
        success["content"][JSON]["example"] = kept["response"]


@cache
def recorded() -> dict[str, Any]:
    """Requests and what they were answered on the demo's data."""
    found: dict[str, Any] = json.loads(files(__package__).joinpath("examples.json").read_text("utf-8"))
    return found


SCRIPT = {
    "type": "object",
    "description": "A script to execute, and how: what the tool `execute` takes. Null is what is not given.",
    "properties": {
        "code": {"type": "string", "description": "A Python script; its last expression is the result."},
        "preview": {
            "type": ["boolean", "null"],
            "default": False,
            "description": "Run it, show its effects, roll it back.",
        },
        "idempotency_key": {
            "type": ["string", "null"],
            "maxLength": 255,
            "description": "The same as the header.",
        },
    },
    "required": ["code"],
    "additionalProperties": False,
}
_WAY_TO_COVER = {
    "type": "object",
    "description": "A way to cover what is missing. One over HTTP has a method and a path, any other a command.",
    "properties": {
        "way": {"type": "string", "examples": ["credit", "topup", "release"]},
        "by": {"type": "string", "description": "Who can go it.", "examples": ["platform", "operator"]},
        "method": {"type": "string"},
        "path": {"type": "string"},
        "command": {"type": "string"},
        "amount": {"type": "number", "description": "What it covers, exact."},
        "currency": {"type": "string"},
    },
    "required": ["way", "by", "amount"],
}
_PROBLEM = {
    "type": "object",
    "description": "Why a request was refused (RFC 9457). Later versions may say more.",
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "The page of this code."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong here."},
        "code": {"type": "string", "enum": sorted(ERRORS), "description": "Stable: decide by it."},
        "hint": {"type": "string", "description": "How to mend it."},
        "field": {"type": "string", "description": "The offending field."},
        "request_id": {"type": "string"},
        "execution_id": {"type": "string"},
        "shortfall": {"type": "number", "description": "402: what is missing, exact."},
        "free": {"type": "number", "description": "402: what can be spent, exact."},
        "reserved": {"type": "number", "description": "402: what open holds have set aside, exact."},
        "currency": {"type": "string"},
        "ways_to_cover": {"type": "array", "items": reference("WayToCover")},
        "idempotency_key": {"type": "string", "description": "402: send the same again with it once it is covered."},
        "checks": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "`/readyz`: each check, and whether it is ok, failed or unknown.",
        },
    },
    "required": ["type", "title", "status", "code"],
}
OWN_SCHEMAS = {"Script": SCRIPT, "WayToCover": _WAY_TO_COVER, "Problem": _PROBLEM}
"""Those that no model of the code has."""

PARAMETERS = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "With the same key and body it happens once; sending it again returns the first answer. Draw a "
        "UUID for each thing to be done, such as 7d0c2a52-6f0b-4b9e-9d0e-3f4e8a1b2c3d.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of the version you have.",
        "schema": {"type": "string"},
    },
}
HEADERS: dict[str, dict[str, Any]] = {
    name: {"description": description, "schema": {"type": "string"}, "required": name in _NEVER_MISSING}
    for name, description in {
        "Cache-Control": "Who may keep the answer: nobody else, and not what an answer has done.",
        "Content-Disposition": "What a file of it is called.",
        "ETag": "Tells this version from others.",
        "Execution-Id": "Its record: GET /v1/executions/{execution_id}.",
        "Idempotent-Replayed": "`true` where it had been done before.",
        "Link": "Other pages of the list (RFC 8288).",
        "Location": "Where the new thing is.",
        "RateLimit": "How many more requests now, and in how many seconds there are more.",
        "RateLimit-Policy": "How many requests in how many seconds.",
        "Retry-After": "Seconds to wait.",
        "WWW-Authenticate": "What the credential lacks (RFC 6750).",
        "X-Content-Type-Options": "`nosniff`: it is what `Content-Type` says.",
        "X-Request-Id": "The request's id in the server's log: yours, if you sent one.",
    }.items()
}
SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An agent's key `bmcp_…`, or an access token with the scopes.",
    },
    "platform": {"type": "http", "scheme": "bearer", "description": "A platform key `bmpk_…`."},
}
