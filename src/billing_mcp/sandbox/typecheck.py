"""Owns reading the type checker: what it gets right of a script becomes an error with its line."""

from __future__ import annotations

import json
import re

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.sandbox.source import RejectedError

_KNOWN_WRONG = re.compile(
    r"`(map|filter|getattr|PermissionError)`|outside of a function|in union|possibly|may be missing"
)
"""Diagnostics that are no proof of a mistake: builtins the checker does not know, a `return` at
the top, and values of several types, of which a script may well know which it has."""


def first_mistake(diagnostics_json: str) -> RejectedError | None:
    """The first diagnostic that is a mistake for sure, if there is one."""
    for diagnostic in json.loads(diagnostics_json):
        message = str(diagnostic["message"])
        if diagnostic["severity"] == "error" and not _KNOWN_WRONG.search(message):
            error = InvalidArgument(
                message.replace("`", ""), code="type_error", hint="billing.help(name) shows a function whole."
            )
            return RejectedError(error, int(diagnostic["location"]["row"]))
    return None
