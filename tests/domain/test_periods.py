"""Billing periods are half-open, meet without a gap, and keep their anchor day."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.domain.periods import Period, period_of, split_by_period
from tests.domain.builders import PROPERTY, day

DAYS = st.dates(date(1999, 12, 1), date(2101, 3, 1))
ANCHORS = st.integers(min_value=1, max_value=31)


def chain(first: str, months: int, *, anchor_day: int) -> list[str]:
    """The days on which the periods from `first` on start."""
    starts = [day(first)]
    for _ in range(months):
        starts.append(period_of(starts[-1], anchor_day=anchor_day).end)
    return [start.isoformat() for start in starts]


def test_a_chain_from_31_january_comes_back_to_the_31st() -> None:
    assert chain("2026-01-31", 5, anchor_day=31) == [
        "2026-01-31",
        "2026-02-28",
        "2026-03-31",
        "2026-04-30",
        "2026-05-31",
        "2026-06-30",
    ]


@pytest.mark.parametrize(
    ("first", "anchor_day", "starts"),
    [
        ("2028-01-31", 31, ["2028-01-31", "2028-02-29", "2028-03-31"]),  # a leap year
        ("2028-01-30", 30, ["2028-01-30", "2028-02-29", "2028-03-30"]),
        ("2026-01-29", 29, ["2026-01-29", "2026-02-28", "2026-03-29"]),
        ("2028-01-29", 29, ["2028-01-29", "2028-02-29", "2028-03-29"]),
        ("2100-01-29", 29, ["2100-01-29", "2100-02-28", "2100-03-29"]),  # no leap year
        ("2026-11-15", 15, ["2026-11-15", "2026-12-15", "2027-01-15"]),
    ],
)
def test_a_short_month_does_not_move_the_anchor(first: str, anchor_day: int, starts: list[str]) -> None:
    assert chain(first, 2, anchor_day=anchor_day) == starts


@pytest.mark.parametrize(
    ("on", "anchor_day", "start", "end"),
    [
        ("2026-06-12", 1, "2026-06-01", "2026-07-01"),
        ("2026-06-01", 1, "2026-06-01", "2026-07-01"),
        ("2026-06-30", 1, "2026-06-01", "2026-07-01"),
        ("2026-01-14", 15, "2025-12-15", "2026-01-15"),  # over the turn of the year
        ("2026-12-15", 15, "2026-12-15", "2027-01-15"),
        ("2026-02-27", 31, "2026-01-31", "2026-02-28"),
        ("2026-02-28", 31, "2026-02-28", "2026-03-31"),
        ("2026-03-30", 31, "2026-02-28", "2026-03-31"),
    ],
)
def test_a_day_lies_in_the_period_that_starts_on_its_anchor(on: str, anchor_day: int, start: str, end: str) -> None:
    assert period_of(day(on), anchor_day=anchor_day) == Period(day(start), day(end))


@PROPERTY
@given(DAYS, ANCHORS)
def test_a_period_holds_its_day_and_every_day_of_it_names_the_same_period(on: date, anchor_day: int) -> None:
    period = period_of(on, anchor_day=anchor_day)
    assert period.start <= on < period.end
    assert 28 <= period.days <= 31
    held = {period_of(period.start + timedelta(days=n), anchor_day=anchor_day) for n in range(period.days)}
    assert held == {period}
    assert period_of(period.end, anchor_day=anchor_day).start == period.end


@PROPERTY
@given(DAYS, ANCHORS)
def test_a_period_starts_on_its_anchor_day_or_on_the_last_day_of_a_shorter_month(on: date, anchor_day: int) -> None:
    start = period_of(on, anchor_day=anchor_day).start
    ends_its_month = (start + timedelta(days=1)).day == 1
    assert start.day == anchor_day or (ends_its_month and start.day < anchor_day)


@PROPERTY
@given(DAYS, st.integers(min_value=0, max_value=400), ANCHORS)
def test_days_that_are_cut_by_period_are_all_there_once(start: date, length: int, anchor_day: int) -> None:
    end = start + timedelta(days=length)
    parts = list(split_by_period(start, end, anchor_day=anchor_day))
    days = [since + timedelta(days=n) for _, since, until in parts for n in range((until - since).days)]
    assert days == [start + timedelta(days=n) for n in range(length)]
    for period, since, until in parts:
        assert period == period_of(since, anchor_day=anchor_day)
        assert period.start <= since < until <= period.end
    assert all(earlier.end == later.start for (earlier, _, _), (later, _, _) in pairwise(parts))


def test_days_within_one_period_are_not_cut() -> None:
    june = Period(day("2026-06-01"), day("2026-07-01"))
    parts = list(split_by_period(day("2026-06-12"), day("2026-06-20"), anchor_day=1))
    assert parts == [(june, day("2026-06-12"), day("2026-06-20"))]


def test_no_days_are_no_parts() -> None:
    assert list(split_by_period(day("2026-06-12"), day("2026-06-12"), anchor_day=1)) == []
    assert list(split_by_period(day("2026-06-12"), day("2026-06-11"), anchor_day=1)) == []
