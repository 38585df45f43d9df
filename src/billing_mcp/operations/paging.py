"""Owns paging by cursor: what is shown, and where it goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

from billing_mcp.domain.errors import InvalidArgument

T = TypeVar("T")


def cut(found: Sequence[T], limit: int, cursor_of: Callable[[T], str]) -> tuple[Sequence[T], str | None]:
    """The first `limit` of what was found, and the cursor of the last of them where there is more."""
    shown = found[:limit]
    return shown, cursor_of(shown[-1]) if len(found) > limit else None


def moment_and_id(cursor: str) -> tuple[int, str]:
    """The moment, in microseconds, and the id that a cursor of both names. Raises InvalidArgument."""
    moment, _, id_ = cursor.partition("-")
    try:
        at_us = int(moment, 16)
    except ValueError:
        raise wrong_cursor(cursor) from None
    if at_us >= 2**63:
        raise wrong_cursor(cursor)
    return at_us, id_


def id_of(cursor: str) -> str:
    """The id that a cursor is. Raises InvalidArgument."""
    try:
        return str(UUID(cursor))
    except ValueError:
        raise wrong_cursor(cursor) from None


def wrong_cursor(cursor: str) -> InvalidArgument:
    """The error for a cursor that no answer gave."""
    return InvalidArgument(
        f"cursor {cursor!r} is none that this function has given",
        field="cursor",
        hint="Give next_cursor of the answer before, or leave it out to begin with the newest.",
    )
