"""Where values stand in a TOML text: every one that the parser knows, on the line where it begins."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.catalog.positions import Path, line_at, lines_of

TEXT = '''\
# what stands where
title = "one"

[plans.basic]            # [not.a.table]
price = "29.00"
"quoted \\u0041.key" = 1
'literal # key' = 2
dotted . "inner" . last = 3
text = """
[no.table]
key = "no key" \\""" still
""""
raw = \'\'\'
x = 1\'\'\'\'
when = 2026-01-01 07:32:00

[[prices]]
version = "a"
[prices.sms]
DE = [
    "1",  # "9",
    "2", "3",
    [4,
     5],
]
bands = [{ up_to = 1, price = "x" },
    { price = "y" }]

[[prices]]
version = "b"
[[prices.steps]]
n = 1.5
[[prices.steps]]
n = -2
[plans]
more = {}'''

WHERE = {
    ("title",): 2,
    ("plans",): 4,
    ("plans", "basic"): 4,
    ("plans", "basic", "price"): 5,
    ("plans", "basic", "quoted A.key"): 6,
    ("plans", "basic", "literal # key"): 7,
    ("plans", "basic", "dotted"): 8,
    ("plans", "basic", "dotted", "inner"): 8,
    ("plans", "basic", "dotted", "inner", "last"): 8,
    ("plans", "basic", "text"): 9,
    ("plans", "basic", "raw"): 13,
    ("plans", "basic", "when"): 15,
    ("prices",): 17,
    ("prices", 0): 17,
    ("prices", 0, "version"): 18,
    ("prices", 0, "sms"): 19,
    ("prices", 0, "sms", "DE"): 20,
    ("prices", 0, "sms", "DE", 0): 21,
    ("prices", 0, "sms", "DE", 1): 22,
    ("prices", 0, "sms", "DE", 2): 22,
    ("prices", 0, "sms", "DE", 3): 23,
    ("prices", 0, "sms", "DE", 3, 0): 23,
    ("prices", 0, "sms", "DE", 3, 1): 24,
    ("prices", 0, "sms", "bands"): 26,
    ("prices", 0, "sms", "bands", 0): 26,
    ("prices", 0, "sms", "bands", 0, "up_to"): 26,
    ("prices", 0, "sms", "bands", 0, "price"): 26,
    ("prices", 0, "sms", "bands", 1): 27,
    ("prices", 0, "sms", "bands", 1, "price"): 27,
    ("prices", 1): 29,
    ("prices", 1, "version"): 30,
    ("prices", 1, "steps"): 31,
    ("prices", 1, "steps", 0): 31,
    ("prices", 1, "steps", 0, "n"): 32,
    ("prices", 1, "steps", 1): 33,
    ("prices", 1, "steps", 1, "n"): 34,
    ("plans", "more"): 36,
}


def paths(value: Any, path: Path = ()) -> set[Path]:
    """All paths of what the parser read."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path}.union(*(paths(each, (*path, key)) for key, each in items))


def test_every_value_of_a_text_is_on_its_line() -> None:
    assert lines_of(TEXT) == WHERE
    assert set(WHERE) == paths(tomllib.loads(TEXT)) - {()}


def test_the_ends_of_lines_may_be_those_of_windows() -> None:
    assert lines_of(TEXT.replace("\n", "\r\n")) == WHERE


def test_an_empty_text_has_no_values() -> None:
    assert lines_of("") == lines_of("# nothing\n\n") == {}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("plans", "basic", "price"), 5),
        (("plans", "basic", "currency"), 4),
        (("plans", "basic", "price", "[key]"), 5),
        (("prices", 1, "sms", "DE", 7), 29),
        (("nowhere",), 1),
        ((), 1),
    ],
)
def test_what_is_missing_is_looked_for_around_its_place(path: Path, line: int) -> None:
    assert line_at(lines_of(TEXT), path) == line


def test_the_default_catalog_is_located_whole() -> None:
    text = files("billing_mcp.catalog").joinpath("catalog.toml").read_text("utf-8")
    assert set(lines_of(text)) == paths(tomllib.loads(text)) - {()}


KEYS = st.text(min_size=1, max_size=6)
SCALARS = st.one_of(
    st.integers(-9, 9), st.booleans(), st.floats(0, 9).map(lambda f: round(f, 2)), st.text(max_size=8)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=4)


def quoted(value: Any) -> str:
    """A scalar in TOML, which is as in JSON but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


class Written:
    """Writes TOML, and notes on which line it has put what."""

    def __init__(self) -> None:
        self.text = ""
        self.where: dict[Path, int] = {}
        self._breaks = count()

    def note(self, path: Path) -> None:
        self.where[path] = self.text.count("\n") + 1

    def value(self, value: Any, path: Path) -> None:
        if isinstance(value, list):
            self.text += "["
            for place, each in enumerate(value):
                self.text += "\n" * (next(self._breaks) % 2)
                self.note((*path, place))
                self.value(each, (*path, place))
                self.text += ", # ] ,\n" if next(self._breaks) % 3 == 0 else ","
            self.text += "]"
        elif isinstance(value, dict):
            self.text += "{"
            for place, (key, each) in enumerate(value.items()):
                self.text += ", " if place else ""
                self.pair(key, each, path)
            self.text += "}"
        elif isinstance(value, str) and next(self._breaks) % 2:
            self.text += f'"""\n{quoted(value)[1:-1]}"""'
        else:
            self.text += quoted(value)

    def pair(self, key: str, value: Any, path: Path) -> None:
        self.note((*path, key))
        self.text += f"{quoted(key)} = "
        self.value(value, (*path, key))

    def table(self, table: dict[str, Any], path: Path) -> None:
        for key, value in table.items():
            self.pair(key, value, path)
            self.text += " # x = [\n\n"


@given(top=TABLES, tables=st.dictionaries(KEYS, TABLES, max_size=3), elements=st.lists(TABLES, max_size=3))
def test_any_text_is_located_as_it_was_written(
    top: dict[str, Any], tables: dict[str, dict[str, Any]], elements: list[dict[str, Any]]
) -> None:
    written = Written()
    written.table({f"top {key}": value for key, value in top.items()}, ())
    for key, table in tables.items():
        written.note((key := f"table {key}",))
        written.text += f"[{quoted(key)}]\n"
        written.table(table, (key,))
    for place, table in enumerate(elements):
        if place == 0:
            written.note(("each",))
        written.note(("each", place))
        written.text += "[[each]]\n"
        written.table(table, ("each", place))

    found = lines_of(written.text)

    assert found == written.where
    assert set(found) == paths(tomllib.loads(written.text)) - {()}
