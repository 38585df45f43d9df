"""Which messages are a conversation is told by when things happened, never by when the server heard of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_mcp.domain.conversations import (
    OPENING,
    WINDOW,
    InboundKind,
    Place,
    ThreadEvent,
    ThreadState,
    expected,
    judged,
    state_before,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
THOROUGH = settings(max_examples=400, database=None, deadline=None)


def after(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def delivered(name: str, hours: float) -> ThreadEvent:
    return ThreadEvent(after(hours), outbound=True, event_id=name)


def wrote(hours: float) -> ThreadEvent:
    return ThreadEvent(after(hours), outbound=False, event_id=f"user at {hours}")


def places(*events: ThreadEvent) -> dict[str, Place]:
    return judged(ThreadState(), events)[1]


def test_what_nobody_answers_stands_alone() -> None:
    assert places(delivered("a", 0), delivered("b", 1)) == {"a": "alone", "b": "alone"}


def test_an_answer_makes_the_message_before_it_an_a2p_conversation() -> None:
    assert places(delivered("a", 0), wrote(1)) == {"a": "a2p_conversation"}


def test_only_the_message_immediately_before_folds_in() -> None:
    assert places(delivered("a", 0), delivered("b", 1), delivered("c", 2), wrote(3)) == {
        "a": "alone",
        "b": "alone",
        "c": "a2p_conversation",
    }


def test_an_answer_counts_for_24_hours_and_not_an_instant_longer() -> None:
    message = delivered("a", 0)
    assert places(message, ThreadEvent(after(24) - INSTANT, False, "user")) == {"a": "a2p_conversation"}
    assert places(message, ThreadEvent(after(24), False, "user")) == {"a": "alone"}


def test_the_a2p_window_is_24_hours_from_the_answer_without_its_end() -> None:
    last = ThreadEvent(after(25) - INSTANT, True, "last")
    assert places(delivered("a", 0), wrote(1), last, delivered("next", 25)) == {
        "a": "a2p_conversation",
        "last": "covered",
        "next": "alone",
    }


def test_what_the_agent_delivers_to_one_who_wrote_first_is_a_p2a_conversation() -> None:
    assert places(wrote(0), delivered("a", 1)) == {"a": "p2a_conversation"}


def test_the_agent_has_24_hours_to_answer_and_not_an_instant_longer() -> None:
    assert places(wrote(0), ThreadEvent(after(24) - INSTANT, True, "a")) == {"a": "p2a_conversation"}
    assert places(wrote(0), ThreadEvent(after(24), True, "a")) == {"a": "alone"}


def test_the_agent_has_24_hours_from_the_last_of_what_the_user_wrote() -> None:
    assert places(wrote(0), wrote(10), delivered("a", 33)) == {"a": "p2a_conversation"}


def test_the_p2a_window_is_24_hours_from_the_agents_message_without_its_end() -> None:
    last = ThreadEvent(after(44) - INSTANT, True, "last")
    assert places(wrote(0), delivered("a", 20), last, delivered("next", 44)) == {
        "a": "p2a_conversation",
        "last": "covered",
        "next": "alone",
    }


def test_what_is_said_in_a_window_neither_prolongs_it_nor_opens_another() -> None:
    assert places(delivered("a", 0), wrote(1), delivered("b", 24), wrote(24.5), delivered("c", 26)) == {
        "a": "a2p_conversation",
        "b": "covered",
        "c": "alone",
    }


def test_what_the_user_writes_when_the_window_ends_is_written_first() -> None:
    assert places(delivered("a", 0), wrote(1), wrote(25), delivered("b", 26)) == {
        "a": "a2p_conversation",
        "b": "p2a_conversation",
    }


def test_a_covered_message_cannot_become_a_conversation() -> None:
    told = places(delivered("a", 0), wrote(1), delivered("b", 24), wrote(26), delivered("c", 27))
    assert told == {"a": "a2p_conversation", "b": "covered", "c": "p2a_conversation"}


def test_a_conversation_is_not_answered_a_second_time() -> None:
    assert places(wrote(0), delivered("a", 1), wrote(2), delivered("b", 3)) == {
        "a": "p2a_conversation",
        "b": "covered",
    }
    assert places(delivered("a", 0), wrote(1), wrote(2)) == {"a": "a2p_conversation"}


def test_an_answer_that_comes_too_late_asks_for_a_conversation() -> None:
    assert places(delivered("a", 0), wrote(30), delivered("b", 31)) == {"a": "alone", "b": "p2a_conversation"}


def test_at_the_same_moment_what_was_delivered_comes_first() -> None:
    assert places(wrote(0), delivered("a", 0)) == {"a": "a2p_conversation"}
    assert places(wrote(0), delivered("b", 0), delivered("a", 0)) == {"a": "alone", "b": "a2p_conversation"}


def test_free_text_a_tap_on_a_suggested_reply_and_a_file_open_and_nothing_else_does() -> None:
    assert set(OPENING) == {"text", "suggested_reply", "file"}
    assert set(get_args(InboundKind)) - OPENING == {"suggested_action", "location"}


def test_a_late_answer_is_put_in_its_place_and_what_follows_is_judged_again() -> None:
    before, first = judged(ThreadState(), [delivered("a", 0), delivered("b", 2), delivered("c", 10)])
    assert first == {"a": "alone", "b": "alone", "c": "alone"}
    base = state_before(before, after(1))
    assert base == ThreadState(alone_id="a", alone_at=after(0))
    assert judged(base, [*before[1:], wrote(1)])[1] == {"a": "a2p_conversation", "b": "covered", "c": "covered"}


def test_a_message_heard_of_late_takes_the_conversation_from_the_one_before_it() -> None:
    told, first = judged(ThreadState(), [delivered("a", 0), wrote(2)])
    assert first == {"a": "a2p_conversation"}
    again = judged(state_before(told, after(1)), [delivered("b", 1), *told[1:]])[1]
    assert again == {"a": "alone", "b": "a2p_conversation"}


def test_the_state_before_a_moment_leaves_out_what_happened_at_it() -> None:
    told, _ = judged(ThreadState(), [delivered("a", 0), wrote(1)])
    assert state_before(told, after(0)) == ThreadState()
    assert state_before(told, after(1)) == ThreadState(alone_id="a", alone_at=after(0))
    assert state_before(told, after(1) + INSTANT) == ThreadState(open_until=after(25))
    assert state_before([], after(1)) == ThreadState()


@pytest.mark.parametrize(
    ("state", "place"),
    [
        (ThreadState(), "alone"),
        (ThreadState(alone_id="a", alone_at=NOON - INSTANT), "alone"),
        (ThreadState(open_until=NOON + INSTANT), "covered"),
        (ThreadState(open_until=NOON), "alone"),
        (ThreadState(asked_at=NOON), "p2a_conversation"),
        (ThreadState(asked_at=NOON - WINDOW + INSTANT), "p2a_conversation"),
        (ThreadState(asked_at=NOON - WINDOW), "alone"),
    ],
)
def test_what_a_message_would_be_charged_as_is_known_before_it_is_sent(state: ThreadState, place: Place) -> None:
    assert expected(state, NOON) == place


def rated_from_the_rules(log: Sequence[ThreadEvent]) -> dict[str, Place]:
    """The rules, read one sentence at a time, each looking through the whole log again. Nothing is carried along."""
    day = timedelta(days=1)
    in_order = sorted(log, key=lambda event: (event.at, 0 if event.outbound else 1, event.event_id))
    charged: dict[str, Place] = {}
    openings: list[datetime] = []  # when each conversation's window begins

    def in_a_window(moment: datetime) -> bool:
        return any(opening <= moment < opening + day for opening in openings)

    for nth, event in enumerate(in_order):
        past = in_order[:nth]
        if in_a_window(event.at):
            if event.outbound:
                charged[event.event_id] = "covered"
            continue
        if event.outbound:
            asking = [
                other
                for place, other in enumerate(past)
                if not other.outbound
                and event.at - other.at < day
                and not in_a_window(other.at)
                and not any(between.outbound for between in past[place + 1 :])
            ]
            charged[event.event_id] = "p2a_conversation" if asking else "alone"
            openings += [event.at] if asking else []
            continue
        messages = [other for other in past if other.outbound]
        if messages and charged[messages[-1].event_id] == "alone" and event.at - messages[-1].at < day:
            charged[messages[-1].event_id] = "a2p_conversation"
            openings.append(event.at)
    return charged


NEAR = st.sampled_from([timedelta(0), timedelta(0), INSTANT, -INSTANT, timedelta(minutes=1)])
MOMENTS = st.builds(lambda hours, off: after(hours) + off, st.integers(0, 30).map(lambda n: n * 4), NEAR)


@st.composite
def logs(draw: st.DrawFn) -> list[ThreadEvent]:
    """Some days of a thread, dense enough for windows to touch, with the same moment more than once."""
    drawn = draw(st.lists(st.tuples(MOMENTS, st.booleans()), max_size=16))
    names = draw(st.permutations(range(len(drawn))))
    return [ThreadEvent(at, outbound, f"{name:02d}") for (at, outbound), name in zip(drawn, names, strict=True)]


@THOROUGH
@given(logs())
def test_any_log_is_judged_as_a_reading_of_the_rules_rates_it(log: list[ThreadEvent]) -> None:
    assert judged(ThreadState(), log)[1] == rated_from_the_rules(log)


@THOROUGH
@given(logs(), st.randoms(use_true_random=False))
def test_any_order_of_arrival_ends_as_the_log_judged_at_once(log: list[ThreadEvent], chance: Random) -> None:
    arrived = list(log)
    chance.shuffle(arrived)
    known: dict[str, ThreadEvent] = {}
    charged: dict[str, Place] = {}
    for event in arrived:
        base = state_before(known.values(), event.at)
        again = [other for other in known.values() if other.at >= event.at]
        told, changed = judged(base, [*again, event])
        known.update((each.event_id, each) for each in told)
        charged.update(changed)
    final, at_once = judged(ThreadState(), log)
    assert charged == at_once
    assert sorted(known.values(), key=lambda event: event.order) == final


@THOROUGH
@given(logs(), NEAR)
def test_a_message_delivered_next_is_charged_as_expected(log: list[ThreadEvent], later: timedelta) -> None:
    told, _ = judged(ThreadState(), log)
    at = max((event.at for event in log), default=NOON) + abs(later) + INSTANT
    state = told[-1].after if told else ThreadState()
    message = ThreadEvent(at, outbound=True, event_id="next")
    assert judged(ThreadState(), [*log, message])[1]["next"] == expected(state, at)


@THOROUGH
@given(logs())
def test_windows_do_not_overlap_and_no_message_is_charged_twice(log: list[ThreadEvent]) -> None:
    told, charged = judged(ThreadState(), log)
    assert charged.keys() == {event.event_id for event in log if event.outbound}
    ends = sorted({event.after.open_until for event in told if event.after.open_until is not None})
    assert all(later - earlier >= WINDOW for earlier, later in pairwise(ends))
    conversations = [place for place in charged.values() if place.endswith("conversation")]
    assert len(conversations) == len(ends)
