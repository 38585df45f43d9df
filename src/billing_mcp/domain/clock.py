"""Owns time: a clock is a function without arguments that returns the moment now, in UTC."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

Clock = Callable[[], datetime]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def system_clock() -> datetime:
    """The moment now, in UTC."""
    return datetime.now(UTC)


def start_of(day: date) -> datetime:
    """The first moment of a day, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC, to the second, or to the microsecond where there is a fraction."""
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return f"{in_utc.isoformat()[:-6]}Z"


def to_epoch_us(moment: datetime) -> int:
    """Microseconds since 1970, exact."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_epoch_us(value: int) -> datetime:
    """The moment of `to_epoch_us`."""
    return _EPOCH + timedelta(microseconds=value)


def iso_of_epoch_us(value: int) -> str:
    """The same as `iso(from_epoch_us(value))`, for many moments that are close to each other."""
    seconds, micros = divmod(value, 1_000_000)
    return f"{_second(seconds)}.{micros:06d}Z" if micros else f"{_second(seconds)}Z"


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:-6]
