"""Owns at which moments a clock stops that is advanced over a span in which things fall due."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

_FIRST_PATIENCE = timedelta(seconds=1)
_LONGEST_PATIENCE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Due:
    """What is due by now, and when the next thing is: what has its date by itself, and what waits for another try."""

    by_now: bool
    begun_elsewhere: bool
    """Somebody else is doing, or has left behind, some of what was due by now."""
    dated: datetime | None
    queued: datetime | None


def next_stop(now: datetime, until: datetime, due: Due, *, fruitless: int) -> datetime:
    """The moment after `now`, and at most `until`, at which something has to be done next.

    Everything that has its date is done on it, and so are tiers, on the first of a month. What is tried again waits
    longer, up to an hour, the more stops there were in a row (`fruitless`) at which nothing came to an end: what
    can never be done holds a clock up so often and no more.
    """
    return min(each for each in _stops(now, until, due, fruitless) if each > now)


def is_first_of_month(moment: datetime) -> bool:
    """Whether a calendar month (UTC) begins at this moment."""
    return moment == _month_of(moment)


def _stops(now: datetime, until: datetime, due: Due, fruitless: int) -> Iterator[datetime]:
    yield until
    yield _month_of(_month_of(now) + timedelta(days=32))
    if due.dated is not None:
        yield due.dated
    if due.queued is not None:
        yield max(due.queued, now + _patience(fruitless))


def _patience(fruitless: int) -> timedelta:
    return timedelta() if not fruitless else min(_LONGEST_PATIENCE, _FIRST_PATIENCE * 2 ** min(fruitless - 1, 12))


def _month_of(moment: datetime) -> datetime:
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
