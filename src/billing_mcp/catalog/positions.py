"""Owns where in a TOML text its values stand: a path of keys and places in, the number of a line out.

It reads what `tomllib` has accepted and has no opinion of its own on what TOML is; `tomllib` keeps no positions.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

Path = tuple[str | int, ...]
"""Keys, and places in arrays counted from 0."""

_TOKEN = re.compile(
    r"""
      (?P<string> "{3}(?:[^\\]|\\.)*?"{3}(?!") | '{3}.*?'{3}(?!') | "(?:[^"\\]|\\.)*" | '[^']*' )
    | (?P<end> \n )
    | (?P<mark> [\[\]{},=.] )
    | (?P<bare> [^\s\[\]{},=."'\#]+ )
    | \#[^\n]* | \s
    """,
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def lines_of(text: str) -> Mapping[Path, int]:
    """The line, from 1, on which each key and each element of an array begins. `text` must be valid TOML."""
    return _Reader(text).lines


def line_at(lines: Mapping[Path, int], path: Path) -> int:
    """The line of a path or, where nothing stands there, of the nearest thing around it; 1 for the whole text."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for match in _TOKEN.finditer(text):
        if match.lastgroup:
            yield _Token(match.lastgroup, match[0], line)
        line += match[0].count("\n")
    yield _Token("end", "", line)


class _Reader:
    """Goes through the text once, statement by statement."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._tokens = list(_tokens(text))
        self._next = 0
        self._elements: dict[Path, int] = {}
        """How many tables each array of tables has so far."""
        table: Path = ()
        while self._next < len(self._tokens):
            if self._peek().kind == "end":
                self._take()
            elif self._peek().text == "[":
                table = self._header()
            else:
                self._pair(table)

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        self._next += 1
        return self._tokens[self._next - 1]

    def _header(self) -> Path:
        """`[a.b]`, or `[[a.b]]` that begins the next element."""
        line = self._take().line
        another = self._peek().text == "["
        if another:
            self._take()
        path: Path = ()
        keys = self._keys("]")
        for place, key in enumerate(keys, 1):
            path = (*path, key)
            self.lines.setdefault(path, line)
            if another and place == len(keys):
                self._elements[path] = self._elements.get(path, 0) + 1
            if path in self._elements:
                path = (*path, self._elements[path] - 1)
                self.lines.setdefault(path, line)
        if another:
            self._take()
        return path

    def _pair(self, table: Path) -> None:
        line = self._peek().line
        path = table
        for key in self._keys("="):
            path = (*path, key)
            self.lines.setdefault(path, line)
        self._value(path)

    def _keys(self, end: str) -> list[str]:
        """The keys up to a mark, which is taken, too."""
        keys = []
        while (token := self._take()).text != end:
            if token.kind == "bare":
                keys.append(token.text)
            elif token.kind == "string":
                keys.append(tomllib.loads(f"key = {token.text}")["key"])
        return keys

    def _value(self, path: Path) -> None:
        opening = self._peek().text
        if opening in ("[", "{"):
            self._take()
            self._inside(path, opening)
            return
        while self._peek().kind != "end" and self._peek().text not in (",", "]", "}"):
            self._take()

    def _inside(self, path: Path, opening: str) -> None:
        """What an array or an inline table holds, and its end."""
        count = 0
        while self._peek().text not in ("]", "}"):
            if self._peek().kind == "end" or self._peek().text == ",":
                self._take()
            elif opening == "{":
                self._pair(path)
            else:
                self.lines[(*path, count)] = self._peek().line
                self._value((*path, count))
                count += 1
        self._take()
