"""What is known of a payment: facts are merged, so neither their order nor their repetition matters."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.domain.payments import Facts
from tests.domain.builders import PROPERTY

amounts = st.integers(0, 5)
texts = st.sampled_from([None, "", "card_declined", "expired_card"])
facts = st.builds(
    Facts,
    st.sampled_from(["created", "requires_action", "processing", "failed", "succeeded"]),
    amounts,
    amounts,
    amounts,
    amounts,
    texts,
    texts,
)


@PROPERTY
@given(facts, facts)
def test_it_does_not_matter_which_of_two_comes_first(one: Facts, other: Facts) -> None:
    assert one.merged(other) == other.merged(one)


@PROPERTY
@given(facts, facts, facts)
def test_it_does_not_matter_which_are_merged_first(one: Facts, two: Facts, three: Facts) -> None:
    assert one.merged(two).merged(three) == one.merged(two.merged(three))


@PROPERTY
@given(st.lists(facts, min_size=1, max_size=5), st.data())
def test_what_is_told_again_changes_nothing(told: list[Facts], data: st.DataObject) -> None:
    known = reduce(Facts.merged, told)
    assert known.merged(known) == known
    assert known.merged(data.draw(st.sampled_from(told))) == known


@PROPERTY
@given(facts, facts)
def test_nothing_that_is_known_is_ever_forgotten(one: Facts, other: Facts) -> None:
    known = one.merged(other)
    assert known.received_micros == max(one.received_micros, other.received_micros)
    assert known.refunded_micros == max(one.refunded_micros, other.refunded_micros)
    assert known.withdrawn_micros == max(one.withdrawn_micros, other.withdrawn_micros)
    assert known.reinstated_micros == max(one.reinstated_micros, other.reinstated_micros)
    assert known.status in (one.status, other.status)


def test_a_payment_that_was_thought_to_have_failed_and_was_received_has_succeeded() -> None:
    failed, late = Facts("failed", failure_code="not_charged"), Facts("succeeded", 10)
    assert failed.merged(late) == late.merged(failed) == late


def test_why_it_failed_and_where_to_authenticate_go_with_how_far_it_has_come() -> None:
    asked = Facts("requires_action", action_url="https://bank")
    assert asked.merged(Facts("processing")).action_url is None
    assert asked.merged(Facts("created")).action_url == "https://bank"
    assert Facts("failed", failure_code="expired_card").merged(asked).failure_code == "expired_card"


def test_what_is_kept_is_what_came_less_what_went_and_what_came_back() -> None:
    assert Facts("succeeded", 100, 30, 70, 70).kept_micros == 70
