"""Owns the result's size and shape: JSON values only, and cut by structure when it is too long."""

from __future__ import annotations

import json
import math
from datetime import date
from decimal import Decimal
from typing import Any

_MAX_SAFE_INTEGER = 2**53 - 1
_MAX_DEPTH = 30
_STEPS = ((200, 8000), (100, 4000), (50, 2000), (20, 1000), (10, 400), (5, 200), (2, 80))
OMITTED = "_omitted"


def to_json_value(value: Any, depth: int = 0) -> Any:
    """The value as JSON can say it exactly: what is no JSON becomes text."""
    if depth > _MAX_DEPTH:
        return {OMITTED: f"nested deeper than {_MAX_DEPTH}"}
    match value:
        case None | bool():
            return value
        case str():
            return _text(value)
        case int():
            return _integer(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case dict():
            return {_key(key): to_json_value(item, depth + 1) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [to_json_value(item, depth + 1) for item in value]
        case date():
            return value.isoformat()
        case Decimal():
            return str(value)
        case _:
            return f"<{type(value).__name__}>"


def fit(value: Any, max_chars: int) -> Any:
    """A JSON value whose text is at most `max_chars` long.

    Long lists and objects lose their tail and say how much of it, long strings are left out
    whole: the text stays valid, and no string is cut in its middle.
    """
    if _size(value) <= max_chars:
        return value
    for max_items, max_string in _STEPS:
        cut = _cut(value, max_items, max_string)
        if _size(cut) <= max_chars:
            return cut
    return {OMITTED: f"the result has {_size(value)} characters, at most {max_chars} are returned"}


def _cut(value: Any, max_items: int, max_string: int) -> Any:
    if isinstance(value, str) and len(value) > max_string:
        return {OMITTED: f"a string of {len(value)} characters"}
    if isinstance(value, list):
        kept = [_cut(item, max_items, max_string) for item in value[:max_items]]
        rest = len(value) - len(kept)
        return [*kept, {OMITTED: f"{rest} of {len(value)} items"}] if rest else kept
    if isinstance(value, dict):
        items = list(value.items())
        kept_items = {key: _cut(item, max_items, max_string) for key, item in items[:max_items]}
        rest = len(items) - len(kept_items)
        return kept_items | {OMITTED: f"{rest} of {len(items)} keys"} if rest else kept_items
    return value


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode()  # a lone surrogate is no character


def _integer(value: int) -> Any:
    if -_MAX_SAFE_INTEGER <= value <= _MAX_SAFE_INTEGER:
        return value
    return str(value) if value.bit_length() <= 1024 else f"<integer of {value.bit_length()} bits>"


def _key(key: Any) -> str:
    if isinstance(key, str):
        return _text(key)
    plain = to_json_value(key)
    return plain if isinstance(plain, str) else json.dumps(plain)
