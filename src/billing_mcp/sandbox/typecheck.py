"""Owns reading the type checker: what it is surely right about stops a script before it may change.

A script that is stopped wrongly cannot do its work, while one that passes wrongly is rolled back
when it fails. So a diagnostic counts only when it is a mistake whatever the values are.
"""

from __future__ import annotations

import ast
import builtins
import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.kernel.registry import Registry
from billing_mcp.sandbox.names import Names
from billing_mcp.sandbox.source import RejectedError, parse

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
_ONE_WRONG_VALUE = re.compile(r"function [a-z_]+ is incorrect: .* found (?:(None)|Literal\[([^,\]]*)\])$")
_REMARK_CHARS = 300
_SHOWN_CHARS = 60
NOTHING_SAID = "[]"
_NAME = re.compile(r"Name `(\w+)`")


class _Diagnostic(NamedTuple):
    code: str
    message: str
    line: int
    column: int


def first_mistake(diagnostics_json: str, code: str, registry: Registry) -> RejectedError | None:
    """The first diagnostic of the code that is a mistake for sure, if there is one."""
    for diagnostic in _errors(diagnostics_json):
        if _is_sure(diagnostic):
            error = _wrong_argument(diagnostic, code, registry)
            return RejectedError(error or InvalidArgument(diagnostic.message, code="type_error"), diagnostic.line)
    return None


def remark_on(diagnostics_json: str | None, line: int | None) -> str:
    """What the checker says of the line at which a script has failed, sure or not."""
    found = _errors(diagnostics_json or NOTHING_SAID)
    remarks = (f"{each.message.rstrip('.?')[:_REMARK_CHARS]}." for each in found if each.line == line)
    return next(remarks, "")


def _errors(diagnostics_json: str) -> Iterator[_Diagnostic]:
    for diagnostic in json.loads(diagnostics_json):
        if diagnostic["severity"] == "error":
            message = str(diagnostic["message"])
            name = _NAME.match(message)
            if name is None or not hasattr(builtins, name[1]):  # it does not know all builtins
                at = diagnostic["location"]
                text = message.replace("`", "")
                yield _Diagnostic(str(diagnostic["code"]), text, int(at["row"]), int(at["column"]))


def _is_sure(diagnostic: _Diagnostic) -> bool:
    if diagnostic.code not in _SURE_CODES or _UNSURE_WORDS.search(diagnostic.message):
        return False
    if diagnostic.code == "unresolved-import":
        return "has no member" in diagnostic.message
    return diagnostic.code != "invalid-argument-type" or _ONE_WRONG_VALUE.search(diagnostic.message) is not None


def _wrong_argument(diagnostic: _Diagnostic, code: str, registry: Registry) -> InvalidArgument | None:
    """The error of the function itself, when the diagnostic is about an argument of one of ours."""
    value = _ONE_WRONG_VALUE.search(diagnostic.message)
    if value is None:
        return None
    names = Names(parse(code))
    for call in (node for node in names.nodes if isinstance(node, ast.Call)):
        operation = registry.get(names.called(call))
        for keyword in call.keywords:
            at = (keyword.lineno, keyword.col_offset + 1)
            if operation and keyword.arg and at == (diagnostic.line, diagnostic.column):
                return operation.arguments.invalid(keyword.arg, (value[1] or value[2])[:_SHOWN_CHARS])
    return None
