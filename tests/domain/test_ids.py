"""Identifiers sort by time, and a derived one is a function of its facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.domain.clock import to_epoch_us
from billing_mcp.domain.ids import derived_id, ledger_id, new_id
from tests.domain.builders import PROPERTY, moment

NOON = moment("2026-06-12T12:00")
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@PROPERTY
@given(MOMENTS)
def test_every_id_is_a_version_7_uuid_that_starts_with_its_millisecond(now: datetime) -> None:
    for text in (new_id(now), derived_id(now, "transaction", "a", 1)):
        uuid = UUID(text)
        assert (uuid.version, uuid.variant) == (7, RFC_4122)
        assert str(uuid) == text
        assert uuid.int >> 80 == to_epoch_us(now) // 1000


@PROPERTY
@given(MOMENTS, st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(days=30)))
def test_what_is_made_later_sorts_later(now: datetime, wait: timedelta) -> None:
    assert new_id(now) < new_id(now + wait)
    assert derived_id(now, "invoice", 1) < derived_id(now + wait, "invoice", 1)


def test_fresh_ids_of_one_moment_differ() -> None:
    assert len({new_id(NOON) for _ in range(1000)}) == 1000


def test_fresh_ids_are_random_in_all_bits_that_are_not_time_or_version() -> None:
    seen = [UUID(new_id(NOON)).int for _ in range(200)]  # a bit that is free stays the same with 2 ** -199
    fixed = {bit for bit in range(80) if len({value >> bit & 1 for value in seen}) == 1}
    assert fixed == {62, 63, 76, 77, 78, 79}  # two of the variant, four of the version


def test_the_same_facts_give_the_same_id() -> None:
    assert derived_id(NOON, "transaction", "a", 7) == derived_id(NOON, "transaction", "a", 7)


@pytest.mark.parametrize(
    "key", [("transaction", "a", 8), ("transaction", "b", 7), ("invoice", "a", 7), ("transaction", "a7"), ()]
)
def test_other_facts_give_another_id(key: tuple[object, ...]) -> None:
    assert derived_id(NOON, *key) != derived_id(NOON, "transaction", "a", 7)


def test_where_one_fact_ends_and_the_next_begins_is_part_of_the_id() -> None:
    assert derived_id(NOON, "ab", "c") != derived_id(NOON, "a", "bc")


def test_the_id_of_a_stored_transaction_can_be_derived_again_by_any_later_version() -> None:
    # 2026-06-12T12:00Z is 1 781 265 600 000 ms = 0x019ebbb40e00; the rest is SHA-256 of "transaction", "a", "7".
    assert derived_id(NOON, "transaction", "a", 7) == "019ebbb4-0e00-73d8-9d06-c541388b8849"


def test_an_id_starts_with_its_millisecond_after_2038() -> None:
    now = datetime(2039, 7, 3, 23, 5, 44, 311_000, tzinfo=UTC)
    assert int(new_id(now).replace("-", "")[:12], 16) == to_epoch_us(now) // 1000


def test_a_ledger_id_tells_moment_account_and_number_and_sorts_by_them() -> None:
    ids = [ledger_id(NOON, "a", 1), ledger_id(NOON, "a", 2), ledger_id(NOON, "a", 0x100)]
    assert ids == sorted(set(ids))
    assert ledger_id(NOON, "a", 10**6) < ledger_id(NOON + timedelta(milliseconds=1), "a", 1)
    assert ledger_id(NOON, "a", 1) != ledger_id(NOON, "b", 1)
    assert {UUID(each).version for each in ids} == {7}
    assert {UUID(each).variant for each in ids} == {RFC_4122}
    assert ids[0] == "019ebbb4-0e00-7ca9-9e04-4b0000000001"
