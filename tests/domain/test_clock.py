"""Moments are UTC, and are stored and shown without loss."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.domain.clock import from_epoch_us, iso, start_of, system_clock, to_epoch_us
from tests.domain.builders import PROPERTY, moment

MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
ZONES = st.integers(min_value=-14 * 60, max_value=14 * 60).map(lambda m: timezone(timedelta(minutes=m)))


@PROPERTY
@given(MOMENTS)
def test_a_moment_that_was_stored_is_read_as_it_was(now: datetime) -> None:
    assert from_epoch_us(to_epoch_us(now)) == now
    assert from_epoch_us(to_epoch_us(now)).tzinfo is UTC


@PROPERTY
@given(st.integers(min_value=-(10**16), max_value=10**17))
def test_stored_microseconds_are_a_moment_and_back_the_same(value: int) -> None:
    assert to_epoch_us(from_epoch_us(value)) == value


@PROPERTY
@given(MOMENTS, ZONES)
def test_a_moment_is_the_same_in_whatever_zone_it_was_told(now: datetime, zone: timezone) -> None:
    told = now.astimezone(zone)
    assert to_epoch_us(told) == to_epoch_us(now)
    assert iso(told) == iso(now)


@PROPERTY
@given(MOMENTS)
def test_a_moment_that_was_shown_can_be_read(now: datetime) -> None:
    assert datetime.fromisoformat(iso(now)) == now


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_781_265_600_000_000, "2026-06-12T12:00:00Z"),
        (1_835_395_200_500_000, "2028-02-29T00:00:00.500000Z"),
    ],
)
def test_microseconds_since_1970_are_shown_as_iso_8601_in_utc(value: int, text: str) -> None:
    assert iso(from_epoch_us(value)) == text


def test_a_moment_told_in_another_zone_is_shown_in_utc() -> None:
    summer_in_berlin = timezone(timedelta(hours=2))
    assert iso(datetime(2026, 6, 12, 1, 30, tzinfo=summer_in_berlin)) == "2026-06-11T23:30:00Z"


@PROPERTY
@given(st.dates())
def test_a_day_starts_at_midnight_utc(day: date) -> None:
    first = start_of(day)
    assert first.date() == day
    assert to_epoch_us(first) % 86_400_000_000 == 0


def test_a_day_has_24_hours_also_when_clocks_are_changed_elsewhere() -> None:
    lengths = {start_of(date(2026, 3, d + 1)) - start_of(date(2026, 3, d)) for d in range(1, 31)}
    assert lengths == {timedelta(hours=24)}


def test_the_system_clock_tells_utc() -> None:
    assert system_clock().tzinfo is UTC
    assert system_clock() > moment("2026-01-01")
