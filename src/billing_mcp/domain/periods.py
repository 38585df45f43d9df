"""Owns billing periods: half-open spans of UTC days, months from an account's anchor day and years from a plan's."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Period:
    """The days from `start` up to, and without, `end`."""

    start: date
    end: date

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.end - self.start).days


def period_of(day: date, *, anchor_day: int) -> Period:
    """The monthly period that holds `day`.

    It starts on `anchor_day` of a month, or on the month's last day where the month is
    shorter; the anchor is kept, so 31 January is followed by 28 February and 31 March.
    """
    start = _anchored(day.year, day.month, anchor_day)
    if day < start:
        return Period(_anchored(*_month_before(day.year, day.month), anchor_day), start)
    return Period(start, _anchored(*_month_after(day.year, day.month), anchor_day))


def split_by_period(start: date, end: date, *, anchor_day: int) -> Iterator[tuple[Period, date, date]]:
    """Cuts the days from `start` up to `end` where billing periods meet."""
    while start < end:
        period = period_of(start, anchor_day=anchor_day)
        stop = min(end, period.end)
        yield period, start, stop
        start = stop


def year_of(day: date, *, first: date) -> Period:
    """The year that holds `day`, of those that begin with `first` and on the same date every year.

    Years from 29 February begin on the 28th where there is none, and on the 29th again in leap years.
    """
    years = day.year - first.year
    start = _years_later(first, years)
    if day < start:
        return Period(_years_later(first, years - 1), start)
    return Period(start, _years_later(first, years + 1))


def split_by_year(start: date, end: date, *, first: date) -> Iterator[tuple[Period, date, date]]:
    """Cuts the days from `start` up to `end` where years meet that begin with `first`."""
    while start < end:
        year = year_of(start, first=first)
        stop = min(end, year.end)
        yield year, start, stop
        start = stop


def _years_later(first: date, years: int) -> date:
    return _anchored(first.year + years, first.month, first.day)


def _anchored(year: int, month: int, anchor_day: int) -> date:
    return date(year, month, min(anchor_day, monthrange(year, month)[1]))


def _month_before(year: int, month: int) -> tuple[int, int]:
    return (year - 1, 12) if month == 1 else (year, month - 1)


def _month_after(year: int, month: int) -> tuple[int, int]:
    return (year + 1, 1) if month == 12 else (year, month + 1)
