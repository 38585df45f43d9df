"""Credits: which is used first, what of them expires, and that it makes no difference how often somebody looks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.domain.credits import Grant, expire, in_order_of_use, use
from tests.domain.builders import ACCOUNT, PROPERTY, eur

NOW = datetime(2026, 3, 12, 10, tzinfo=UTC)
DAY = timedelta(days=1)


def grant(name: str, amount: str = "10.00", *, days: int | None = None, **more: Any) -> Grant:
    """A grant of NOW that expires so many days later."""
    until = None if days is None else NOW + days * DAY
    return Grant(ACCOUNT, name, "r", eur(amount), eur(amount), granted_at=NOW, expires_at=until, **more)


def left(grants: list[Grant]) -> dict[str, int]:
    return {each.grant_id: each.remaining_micros for each in grants}


def test_a_lower_priority_comes_first_then_what_expires_first_and_what_never_does_last() -> None:
    kept = grant("kept")
    older = replace(kept, grant_id="older", granted_at=NOW - DAY)
    grants = [
        kept,
        older,
        grant("urgent", priority=0),
        grant("late", days=30),
        grant("soon", days=2),
        grant("last", days=1, priority=9),
    ]

    names = [each.grant_id for each in in_order_of_use(grants)]

    assert names == ["urgent", "soon", "late", "older", "kept", "last"]


def test_what_is_spent_is_taken_off_one_after_the_other_and_no_more_than_there_is() -> None:
    grants = [grant("b", "5.00"), grant("a", "3.00", days=1)]

    some, used = use(grants, eur("4.00"))
    assert (left(some), used) == ({"a": 0, "b": eur("4.00")}, eur("4.00"))

    everything, used = use(grants, eur("100.00"))
    assert (left(everything), used) == ({"a": 0, "b": 0}, eur("8.00"))


def test_what_comes_back_beyond_what_was_spent_gives_nothing_back_to_a_grant() -> None:
    half_used = replace(grant("a"), remaining_micros=eur("5.00"))

    assert use([half_used], -eur("3.00")) == ([half_used], 0)


def test_only_what_is_available_expires_and_the_rest_stays_with_its_grant() -> None:
    grants = [grant("a", "4.00", days=1), grant("b", "6.00", days=2), grant("c", days=3), grant("d")]

    gone = expire(grants, NOW + 2 * DAY, eur("5.00"))

    assert [(each.grant_id, each.remaining_micros, each.expired_micros, micros) for each, micros in gone] == [
        ("a", 0, eur("4.00"), eur("4.00")),
        ("b", eur("5.00"), eur("1.00"), eur("1.00")),
    ]
    assert expire(grants, NOW + 2 * DAY, -eur("5.00")) == []
    assert expire(grants, NOW + DAY - timedelta(microseconds=1), eur("5.00")) == []


def test_a_grant_is_due_at_its_time_and_while_nothing_is_available_once_a_day_after_it() -> None:
    found = grant("a", days=2)
    until = NOW + 2 * DAY

    assert found.due(NOW, 0) == found.due(NOW, 1) == until
    assert found.due(until + 9 * DAY, 1) == until
    assert found.due(until, 0) == found.due(until, -1) == until + DAY
    assert found.due(until + DAY - timedelta(microseconds=1), 0) == until + DAY
    assert found.due(until + DAY, 0) == until + 2 * DAY
    assert grant("b").due(NOW, 0) is None


GRANTS = st.lists(
    st.builds(
        lambda number, amount, days, priority, age: replace(
            grant(f"g{number}", days=days, priority=priority),
            amount_micros=amount,
            remaining_micros=amount,
            granted_at=NOW - age * DAY,
        ),
        st.integers(0, 99),
        st.integers(1, 50),
        st.none() | st.integers(1, 5),
        st.integers(0, 9),
        st.integers(0, 3),
    ),
    max_size=6,
    unique_by=lambda each: each.grant_id,
)


@PROPERTY
@given(GRANTS, st.lists(st.integers(0, 60), max_size=8))
def test_settled_in_any_number_of_looks_the_same_is_left_and_used(grants: list[Grant], spent: list[int]) -> None:
    after, used = grants, 0
    for each in spent:
        after, some = use(after, each)
        used += some

    assert (in_order_of_use(after), used) == use(grants, sum(spent))
    assert used == min(sum(spent), sum(left(grants).values()))
    assert used == sum(each.used_micros for each in after)


@PROPERTY
@given(GRANTS, st.integers(0, 6), st.integers(-20, 200), st.integers(0, 100))
def test_what_expires_is_of_those_whose_time_is_over_and_no_more_than_is_available(
    grants: list[Grant], days: int, available: int, spent: int
) -> None:
    now = NOW + days * DAY
    before, _ = use(grants, spent)

    gone = expire(before, now, available)

    taken = sum(micros for _, micros in gone)
    over = [each for each in before if each.expires_at is not None and each.expires_at <= now]
    assert taken == min(max(0, available), sum(left(over).values()))
    assert all(micros > 0 and each.remaining_micros >= 0 for each, micros in gone)
    after = {**{each.grant_id: each for each in before}, **{each.grant_id: each for each, _ in gone}}
    assert sum(each.used_micros for each in after.values()) == sum(each.used_micros for each in before)
    assert expire(after.values(), now, available - taken) == []


@PROPERTY
@given(GRANTS, st.integers(0, 6), st.integers(-20, 200))
def test_what_has_expired_as_far_as_it_could_is_due_later_than_now(
    grants: list[Grant], days: int, available: int
) -> None:
    now = NOW + days * DAY

    gone = expire(grants, now, available)

    left_over = {each.grant_id: each for each in grants} | {each.grant_id: each for each, _ in gone}
    rest = available - sum(micros for _, micros in gone)
    dues = [each.due(now, rest) for each in left_over.values() if each.remaining_micros]
    assert all(due is None or due > now for due in dues)
