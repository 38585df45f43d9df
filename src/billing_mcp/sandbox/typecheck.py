"""Owns reading the type checker: what it is surely right about stops a script before it may change.

A script that is stopped wrongly cannot do its work, while one that passes wrongly is rolled back
when it fails. So a diagnostic counts only when it is a mistake whatever the values are.
"""

from __future__ import annotations

import builtins
import json
import re
from collections.abc import Iterator

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.sandbox.source import RejectedError

_SURE_CODES = frozenset(
    {
        "call-non-callable",
        "invalid-argument-type",
        "missing-argument",
        "too-many-positional-arguments",
        "unknown-argument",
        "unresolved-attribute",
        "unresolved-import",
        "unresolved-reference",
        "unused-awaitable",
    }
)
_UNSURE_WORDS = re.compile(r"in union|__future__|possibly|^Unresolved attribute", re.IGNORECASE)
_ONE_WRONG_VALUE = re.compile(r"function [a-z_]+ is incorrect: .* found (None|Literal\[[^,\]]*\])$")
_NAME = re.compile(r"Name `(\w+)`")


def first_mistake(diagnostics_json: str) -> RejectedError | None:
    """The first diagnostic that is a mistake for sure, if there is one."""
    for code, message, line in _errors(diagnostics_json):
        if _is_sure(code, message):
            error = InvalidArgument(message, code="type_error", hint="billing.help(name) shows a function whole.")
            return RejectedError(error, line)
    return None


def remark_on(diagnostics_json: str, line: int | None) -> str | None:
    """What the checker says of the line at which a script has failed: a hint, sure or not."""
    remarks = (f"{message.rstrip('.?')}." for _, message, at in _errors(diagnostics_json) if at == line)
    return next(remarks, None)


def _errors(diagnostics_json: str) -> Iterator[tuple[str, str, int]]:
    for diagnostic in json.loads(diagnostics_json):
        if diagnostic["severity"] == "error":
            message = str(diagnostic["message"])
            name = _NAME.match(message)
            if name is None or not hasattr(builtins, name[1]):  # it does not know all builtins
                yield str(diagnostic["code"]), message.replace("`", ""), int(diagnostic["location"]["row"])


def _is_sure(code: str, message: str) -> bool:
    if code not in _SURE_CODES or _UNSURE_WORDS.search(message):
        return False
    if code == "unresolved-import":
        return "has no member" in message
    return code != "invalid-argument-type" or _ONE_WRONG_VALUE.search(message) is not None
