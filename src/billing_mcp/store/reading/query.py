"""Owns statements in the words of a driver, for the few that are read again and again."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Dialect, Select

Rows = Sequence[Any]
"""Rows whose columns are attributes."""


class Query:
    """A statement in the driver's own words: the toolkit takes twenty times as long to pass it on."""

    def __init__(self, statement: Select[Any], dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self.sql = compiled.string
        self._names: list[str] = compiled.positiontup or []
        columns = statement.selected_columns
        self._make = namedtuple("Row", [column.key for column in columns])._make  # type: ignore[attr-defined,misc]
        readers = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._readers = [(number, read) for number, read in enumerate(readers) if read is not None]

    def values(self, parameters: dict[str, Any]) -> list[Any]:
        """The parameters in the order in which the statement takes them."""
        return [parameters[name] for name in self._names]

    def rows_of(self, found: Iterable[Sequence[Any]]) -> Rows:
        """What the driver has found."""
        return [*map(self._make, map(self._read, found) if self._readers else found)]

    def _read(self, row: Sequence[Any]) -> Sequence[Any]:
        values = list(row)
        for number, read in self._readers:
            values[number] = read(values[number])
        return values


class Queries:
    """Statements, each made ready once."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._ready: dict[Select[Any], Query] = {}

    def of(self, statement: Select[Any]) -> Query:
        """The statement, ready. It must be a constant of its module: it is kept."""
        if statement not in self._ready:
            self._ready[statement] = Query(statement, self._dialect)
        return self._ready[statement]
