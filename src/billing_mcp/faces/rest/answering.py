"""Owns what an answer is made of: exact JSON, the tag of its version, and links to more of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

_ENCODER = msgspec.json.Encoder(decimal_format="number")
REPLAYED = "Idempotent-Replayed"


def encoded(value: Any) -> bytes:
    """Compact JSON. A Decimal is a number with all its digits: no float comes between."""
    return _ENCODER.encode(value)


def found(request: Request, body: bytes, *, links: Mapping[str, str] | None = None) -> Response:
    """The answer to a GET; 304 without a body where the caller has this version already."""
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if links:
        headers["Link"] = ", ".join(f'<{target}>; rel="{relation}"' for relation, target in links.items())
    known = request.headers.get("if-none-match")
    if known is not None and _matches(known, tag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def done(body: bytes, *, execution_id: str = "", replayed: bool = False) -> Response:
    """The answer to what was done, or had been done under the same key."""
    headers = {"Cache-Control": "no-store"}
    if execution_id:
        headers["Execution-Id"] = execution_id
    if replayed:
        headers[REPLAYED] = "true"
    return Response(body, headers=headers, media_type="application/json")


def links_of(request: Request, result: Any) -> dict[str, str]:
    """Where the other pages of a list are (RFC 8288); empty for what is no list of pages."""
    if not isinstance(result, dict):
        return {}
    if isinstance(cursor := result.get("next_cursor"), str):
        return {"next": _with(request, cursor=cursor)}
    if not {"page", "page_size", "total"} <= result.keys():
        return {}
    page, last = result["page"], max(1, -(-result["total"] // result["page_size"]))
    pages = {"first": 1, "prev": min(page - 1, last), "next": page + 1, "last": last}
    wanted = {name: n for name, n in pages.items() if 1 <= n <= last}
    return {name: _with(request, page=number) for name, number in wanted.items()}


def _with(request: Request, **changed: str | int) -> str:
    """The address of this request, relative to the server, with other values in its query."""
    query = {**request.query_params, **changed}
    return f"{request.url.path}?{urlencode(query)}"


def _matches(known: str, tag: str) -> bool:
    return known.strip() == "*" or tag in (each.strip().removeprefix("W/") for each in known.split(","))
