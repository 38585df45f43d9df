"""Owns keeping to some accounts when looking for what is due."""

from __future__ import annotations

from sqlalchemy import ColumnElement, true
from sqlalchemy.sql.elements import KeyedColumnElement

Only = frozenset[str] | None
"""The accounts alone whose work is looked for; None is every account."""


def among(column: KeyedColumnElement[str], only: Only) -> ColumnElement[bool]:
    """The rows of those accounts, by their column."""
    return true() if only is None else column.in_(sorted(only))
