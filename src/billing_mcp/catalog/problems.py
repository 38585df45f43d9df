"""Owns what is wrong with a catalog's file, in words: where, what, what stands there, and how to mend it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from billing_mcp.catalog.positions import Path
from billing_mcp.catalog.schema import CatalogTable

_SHOWN_CHARS = 80
_KEY = "[key]"
"""pydantic's word, at the end of a place, for the key itself."""
_WORDS: Mapping[str, str] = {
    "missing": "is missing",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "date_type": "must be a date, such as 2026-01-01",
    "list_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "literal_error": "must be {expected}",
    "too_short": "is empty",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "catalog": "{what}",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong. `got` is what stands there, as the file would say it."""

    path: Path
    wrong: str
    got: str = ""
    hint: str = ""
    line: int = 1

    @property
    def field(self) -> str:
        """The path in words: `prices.0.sms.segment.DE`."""
        return ".".join(name if (name := str(part)).isprintable() else shown(name) for part in self.path)

    @property
    def message(self) -> str:
        """Where, what is wrong, and what stands there."""
        where = f"{self.field}: " if self.path else ""
        return f"line {self.line}: {where}{self.wrong}" + (f"; got {self.got}" if self.got else "")


def shown(value: Any) -> str:
    """A value as the file would say it, on one line and not too long."""
    if isinstance(value, str | bool | list | dict):
        text = json.dumps(value, ensure_ascii=False, default=str)
    else:
        text = str(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def either(names: Iterable[str]) -> str:
    """Names as alternatives: `a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def meant(name: str, known: Iterable[str]) -> str | None:
    """The known name that a name which does not exist is spelt much like."""
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


def problems_of_shape(error: ValidationError, data: Mapping[str, Any]) -> tuple[list[Problem], set[Path]]:
    """The problems that pydantic found, and the paths that cannot be relied on for them.

    A key that is not known spoils nothing around it; but what it is a misspelling of is there, and not missing.
    """
    details = error.errors(include_url=False)
    problems: list[Problem] = []
    spoilt: set[Path] = set()
    for path in (each["loc"] for each in details if each["type"] == "extra_forbidden"):
        *around, key = path
        known, present = _keys_at(path[:-1]), value_at(data, path[:-1])
        guess = meant(str(key), [each for each in known if each not in present]) or meant(str(key), known)
        hint = f"Did you mean {guess}?" if guess else f"Known here: {either(known)}."
        problems.append(Problem(path, "is not known here", shown(value_at(data, path)), hint))
        if guess and guess not in present:
            spoilt.add((*around, guess))
    rest = [each for each in details if each["type"] != "extra_forbidden" and each["loc"] not in spoilt]
    return problems + [_problem(each) for each in rest], spoilt | {_path(each) for each in rest}


def value_at(data: Any, path: Path) -> Any:
    """What stands at a path; None if nothing does."""
    value = data
    for part in path:
        known = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
        if part not in known:
            return None
        value = value[part]
    return value


def _problem(detail: ErrorDetails) -> Problem:
    context = detail.get("ctx", {})
    wrong = _WORDS[detail["type"]].format_map(context) if detail["type"] in _WORDS else detail["msg"]
    got = "" if detail["type"] == "missing" else shown(detail["input"])
    return Problem(_path(detail), wrong, got, context.get("hint", ""))


def _path(detail: ErrorDetails) -> Path:
    return detail["loc"][:-1] if detail["loc"][-1:] == (_KEY,) else detail["loc"]


def _keys_at(path: Path) -> list[str]:
    """The keys that the table at a path may have. Places in lists, markets and names lie between tables."""
    table: type[BaseModel] = CatalogTable
    for part in path:
        if part in table.model_fields:
            table = _table_in(table.model_fields[str(part)].annotation) or table
    return list(table.model_fields)


def _table_in(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((found for each in get_args(kind) if (found := _table_in(each))), None)
