"""Owns the result's size and shape: JSON values only, and cut by structure when it is too long."""

from __future__ import annotations

import json
import math
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

from pydantic_monty import ExternalModule, MontyClassProxy, MontyStdTypeProxy

_MAX_SAFE_INTEGER = 2**53 - 1
_MAX_DEPTH = 30
_MAX_VALUES = 50_000
_SMALL_VALUES = 1_000
_MAX_KEY_PARTS = 20
_MAX_KEY_CHARS = 1000
_MAX_CHARS = 24_000
_STEPS = ((200, 8000), (100, 4000), (50, 2000), (20, 1000), (10, 400), (5, 200), (2, 80))
OMITTED = "_omitted"


@dataclass(slots=True)
class _Budget(Iterator[None]):
    """How many values, and characters of texts, are still taken. A longer text is never taken."""

    values: int
    chars: int
    longest: int

    def __next__(self) -> None:
        if self.values <= 0 or self.chars <= 0:
            raise StopIteration
        self.values -= 1

    @property
    def is_spent(self) -> bool:
        """Whether anything may have been left out."""
        return self.values <= 0 or self.chars <= 0

    def take(self, chars: int) -> bool:
        """Whether a text of so many characters is taken."""
        if chars > self.longest:
            return False
        self.chars -= chars
        return True


class LargeValueError(Exception):
    """The value is not small: shaping it takes a while."""


def small_result(value: Any, max_chars: int) -> Any:
    """What an agent gets of a small value, which is quick. Raises LargeValueError."""
    budget = _Budget(_SMALL_VALUES, max_chars, max_chars)
    shaped = _shape(value, 0, budget)
    if budget.is_spent:
        raise LargeValueError
    return fit(shaped, max_chars)


def fitted_result(value: Any, max_chars: int) -> Any:
    """What an agent gets of a value of any size."""
    return fit(to_json_value(value, max_chars), max_chars)


def to_json_value(value: Any, max_chars: int = _MAX_CHARS) -> Any:
    """The value as JSON can say it exactly: what is no JSON becomes text.

    A value that holds the same list or text many times is of any size, so both are counted.
    """
    return _shape(value, 0, _Budget(_MAX_VALUES, 40 * max_chars, max_chars))


def _shape(value: Any, depth: int, budget: _Budget) -> Any:
    if depth > _MAX_DEPTH:
        return {OMITTED: f"nested deeper than {_MAX_DEPTH}"}
    match value:
        case dict():
            shaped: dict[str, Any] = {}
            for (key, item), _ in zip(value.items(), budget, strict=False):
                shaped[_key(key, taken=shaped)] = _shape(item, depth + 1, budget)
            rest = len(value) - len(shaped)
            return shaped | {OMITTED: f"{rest} of {len(value)} keys"} if rest else shaped
        case list() | tuple() | set() | frozenset():
            items = [_shape(item, depth + 1, budget) for item, _ in zip(value, budget, strict=False)]
            rest = len(value) - len(items)
            return [*items, {OMITTED: f"{rest} of {len(value)} items"}] if rest else items
        case MontyClassProxy():
            return _shape(value.attributes, depth + 1, budget)
        case _:
            scalar = _scalar(value)
            if isinstance(scalar, str) and not budget.take(len(scalar)):
                return {OMITTED: f"a string of {len(scalar)} characters"}
            return _text(scalar) if isinstance(scalar, str) else scalar


def _scalar(value: Any) -> Any:
    match value:
        case None | bool() | str():
            return value
        case int():
            return _integer(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case date():
            return value.isoformat()
        case Decimal() | timedelta() | time() | BaseException():
            return str(value)
        case _:
            return f"<{_kind(value)}>"


def fit(value: Any, max_chars: int) -> Any:
    """A JSON value whose text is at most `max_chars` long.

    Long lists and objects lose their tail and say how much of it, long strings are left out
    whole: the text stays valid, and no string is cut in its middle.
    """
    size = _size(value)
    if size <= max_chars:
        return value
    if _size(_cut(value, *_STEPS[-1])) > max_chars:
        return {OMITTED: f"the result has {size} characters, at most {max_chars} are returned"}
    for max_items, max_string in _STEPS:
        cut = _cut(value, max_items, max_string)
        if _size(cut) <= max_chars:
            break
    return cut


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


def _kind(value: Any) -> str:
    if isinstance(value, MontyStdTypeProxy):
        return value.name
    if isinstance(value, ExternalModule):
        return "module"
    return value.__name__ if isinstance(value, type) else type(value).__name__


def _key(key: Any, *, taken: Container[str]) -> str:
    plain = _shape(key, _MAX_DEPTH - 2, _Budget(_MAX_KEY_PARTS, _MAX_KEY_CHARS, _MAX_KEY_CHARS))
    text = plain if isinstance(plain, str) else json.dumps(plain)
    return text if text not in taken else f"{text} ({type(key).__name__})"
