"""Owns what is read of a request: a JSON body, a query, and the key that makes it happen once."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.instructions import MAX_KEY_CHARS
from billing_mcp.domain.no_card_numbers import refuse_card_numbers

IDEMPOTENCY_KEY = "idempotency-key"


async def json_object(request: Request) -> dict[str, Any]:
    """The body, a JSON object; nothing at all is an empty one. Raises InvalidArgument."""
    body = await request.body()
    found = json_value(request, body) if body else {}
    if not isinstance(found, dict):
        raise InvalidArgument("the body must be a JSON object, such as {}", code="not_json", field="body")
    return found


def json_value(request: Request, body: bytes) -> Any:
    """What a body holds. Raises InvalidArgument for what is no JSON, or is not said to be."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise InvalidArgument(
            f"a body must be application/json; got {ascii(kind)[:60]}",
            code="unsupported_media_type",
            field="content-type",
            hint="Send the header `Content-Type: application/json`.",
        )
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidArgument(f"the body is not JSON: {why}", code="not_json", field="body") from None


def query(request: Request) -> dict[str, str]:
    """The query, each name once. Raises InvalidArgument."""
    if not request.scope["query_string"]:
        return {}
    pairs = request.query_params.multi_items()
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidArgument(f"{twice[:60]} is given twice", field=twice[:60], hint="Give it once.")
    return found


def idempotency_key(request: Request) -> str:
    """The key of the request; empty where there is none. Raises InvalidArgument."""
    given = request.headers.getlist(IDEMPOTENCY_KEY)
    key = given[0] if given else ""
    good = key.isascii() and key.isprintable() and key.strip() and len(key) <= MAX_KEY_CHARS
    if len(given) > 1 or (given and not good):
        raise InvalidArgument(
            f"Idempotency-Key must be given once, and be 1 to {MAX_KEY_CHARS} printable characters of ASCII",
            field="Idempotency-Key",
            hint="Use a UUID, and the same one when you send the same again.",
        )
    refuse_card_numbers(key, field="Idempotency-Key")
    return key
