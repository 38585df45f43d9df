"""Where a clock stops that is advanced: at what is due, at the beginning of months, and in the end where it is sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from billing_mcp.domain.advancing import Due, is_first_of_month, next_stop

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
FIRST = datetime(2026, 2, 1, tzinfo=UTC)
UNTIL = datetime(2026, 2, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def due(dated: datetime | None = None, queued: datetime | None = None) -> Due:
    return Due(by_now=False, begun_elsewhere=False, dated=dated, queued=queued)


@pytest.mark.parametrize(
    ("now", "found", "stop"),
    [
        (NOW, due(), FIRST),
        (FIRST, due(), UNTIL),
        (FIRST - timedelta(microseconds=1), due(), FIRST),
        (NOW, due(dated=NOW + MINUTE), NOW + MINUTE),
        (NOW, due(queued=NOW + MINUTE), NOW + MINUTE),
        (NOW, due(dated=NOW + 2 * MINUTE, queued=NOW + MINUTE), NOW + MINUTE),
        (NOW, due(dated=NOW + MINUTE, queued=NOW + 2 * MINUTE), NOW + MINUTE),
        (NOW, due(dated=UNTIL + MINUTE), FIRST),
        (FIRST, due(dated=UNTIL + MINUTE, queued=UNTIL + MINUTE), UNTIL),
        (datetime(2026, 12, 5, tzinfo=UTC), due(), datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_it_stops_at_whatever_comes_first(now: datetime, found: Due, stop: datetime) -> None:
    until = UNTIL if now < UNTIL else UNTIL.replace(year=2028)

    assert next_stop(now, until, found, fruitless=0) == stop


def test_each_stop_is_later_than_the_last_whatever_is_due() -> None:
    late = due(dated=NOW, queued=NOW - MINUTE)

    assert next_stop(NOW, UNTIL, late, fruitless=0) == FIRST


def test_what_fails_again_and_again_holds_it_up_ever_less_and_what_has_its_date_never_waits_for_that() -> None:
    again = NOW + timedelta(microseconds=1)
    waits = [next_stop(NOW, UNTIL, due(queued=again), fruitless=stops) - NOW for stops in range(16)]

    assert waits[:4] == [timedelta(microseconds=1), *(timedelta(seconds=seconds) for seconds in (1, 2, 4))]
    assert waits == sorted(waits)
    assert waits[13:] == [timedelta(hours=1)] * 3
    assert next_stop(NOW, UNTIL, due(dated=NOW + MINUTE, queued=again), fruitless=15) == NOW + MINUTE


def test_a_failure_that_never_ends_costs_a_month_at_most_its_hours() -> None:
    now, stops = FIRST, 0
    while now < UNTIL:
        now = next_stop(now, UNTIL, due(queued=now + timedelta(microseconds=1)), fruitless=stops)
        stops += 1

    assert stops < 24 * 19 + 20


def test_months_begin_on_their_first_at_midnight() -> None:
    assert is_first_of_month(FIRST)
    assert not any(is_first_of_month(each) for each in (NOW, FIRST + timedelta(microseconds=1), FIRST + MINUTE))
