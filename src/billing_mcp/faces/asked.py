"""Owns what an execution is asked with, on every face: the code, whether to preview, and the key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from billing_mcp.domain.errors import InvalidArgument

_KINDS = {"code": "a string", "preview": "true or false", "idempotency_key": "a string"}
_TYPES: dict[str, type] = {"code": str, "preview": bool, "idempotency_key": str}
_HINT = f'It takes {", ".join(_KINDS)}; for example {{"code": "billing.help()", "preview": true}}.'


@dataclass(frozen=True, slots=True)
class Asked:
    """A script to execute, and how."""

    code: str
    preview: bool = False
    idempotency_key: str = ""


def asked(given: Mapping[str, Any], *, of: str) -> Asked:
    """What was asked `of` a tool or a route; null is what is not given.

    Raises InvalidArgument: `preview="no"` must not end in a change.
    """
    named = {name: value for name, value in given.items() if value is not None}
    for name, value in named.items():
        if name not in _KINDS:
            raise InvalidArgument(
                f"{of} has no argument {name[:100]!r}", code="unknown_argument", field=name[:100], hint=_HINT
            )
        if type(value) is not _TYPES[name]:
            message = f"{name} must be {_KINDS[name]}; got {json.dumps(value)[:100]}"
            raise InvalidArgument(message, field=name, hint=_HINT)
    if "code" not in named:
        raise InvalidArgument(f"{of} needs the argument code", code="missing_argument", field="code", hint=_HINT)
    return Asked(**named)
