"""Owns what is told of a request that cannot be read: which field, what it was, and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.kernel.arguments import shown

_SHOULD = re.compile(r"^[A-Z][a-z]+ should ")
_WHOLE = frozenset({"body", "query", "path", "header", "cookie"})
_ONE_OF = ("union_tag_invalid", "union_tag_not_found")


def invalid_request(error: RequestValidationError) -> InvalidArgument:
    """The error that names the first field that is wrong, its value and the mend: `items.17.amount`."""
    problems: Sequence[Mapping[str, Any]] = error.errors()
    # A misspelt field is missing, too: that it is unknown says more.
    problem = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
    place, *path = problem["loc"]
    field = ".".join(map(str, _named(path, error.body) if place == "body" else path))
    hint = problem.get("ctx", {}).get("hint")
    kind, given = problem["type"], shown(problem.get("input"))
    if kind == "missing":
        return InvalidArgument(f"this request needs {field}", code="missing_argument", field=field, hint=hint)
    if kind == "extra_forbidden":
        message = f"this request has no {field}"
        return InvalidArgument(message, code="unknown_argument", field=field, hint="Leave it out, or mend its name.")
    if kind in _ONE_OF:
        field = f"{field}.{problem['ctx']['discriminator'].strip(chr(39))}".removeprefix(".")
        given = shown(problem["ctx"].get("tag"))
    must = _must(problem)
    return InvalidArgument(f"{field} {must}; got {given}", field=field, hint=hint)


def _must(problem: Mapping[str, Any]) -> str:
    if problem["type"] in _ONE_OF:
        tags = problem["ctx"].get("expected_tags")
        return f"must be one of {tags}" if tags else "must say which kind it is"
    text: str = problem["msg"].replace(" after validation", "")
    said = _SHOULD.sub("must ", text)
    return said if said != text else f"is wrong: {text[:1].lower()}{text[1:]}"


def _named(path: Sequence[str | int], body: Any) -> list[str | int]:
    """The path of a field as the caller wrote it: without the names of the variants that its objects are of."""
    named: list[str | int] = []
    for number, part in enumerate(path):
        inside = isinstance(body, Mapping) and part in body
        if isinstance(body, Mapping) and not inside and number < len(path) - 1:
            continue
        named.append(part)
        within = inside or (isinstance(body, list) and isinstance(part, int) and part < len(body))
        body = body[part] if within else None
    return named
