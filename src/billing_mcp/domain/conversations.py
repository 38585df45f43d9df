"""Owns RCS conversations of the standard rule: which delivered messages of a thread are one, and which stand alone.

A thread is what a conversational agent and one user write each other. What counts is when a message was delivered
and when the user wrote, never in which order the server heard of it: a late event is put in its place, and what
follows is judged again.

- A2P: the user answers within 24 hours of a message that stands alone. That message alone, the one immediately
  before, becomes the conversation. The window is [t, t + 24 h) from the answer.
- P2A: the user writes first and the agent's message is delivered within 24 hours. That message becomes the
  conversation. The window is [t, t + 24 h) from it.
- What is delivered within a window is covered by its conversation.

At the same moment, what was delivered comes before what the user wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

WINDOW = timedelta(hours=24)
MOMENT = timedelta(microseconds=1)
"""The least that two moments can be apart."""

Place = Literal["alone", "covered", "a2p_conversation", "p2a_conversation"]
"""What a delivered message is charged as: by itself, not at all, or as the conversation that it became."""

IN_WORDS: Mapping[Place, str] = {
    "covered": "within the 24 hours of an open conversation: covered by it",
    "a2p_conversation": "the user answered within 24 hours: the message became an A2P conversation",
    "p2a_conversation": "the user wrote first and is answered within 24 hours: a P2A conversation",
}
"""The rule of each place in a conversation. What stands alone is charged by what it is."""

InboundKind = Literal["text", "suggested_reply", "file", "suggested_action", "location"]
OPENING: frozenset[InboundKind] = frozenset({"text", "suggested_reply", "file"})
"""What of a user opens a conversation."""


@dataclass(frozen=True, slots=True)
class ThreadState:
    """What of the past matters to what comes next."""

    open_until: datetime | None = None
    """The end of the conversation's window."""
    asked_at: datetime | None = None
    """When the user wrote and was not answered yet."""
    alone_id: str | None = None
    """The last delivered message, if it stands alone."""
    alone_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ThreadEvent:
    """A delivered message, named by its id, or something the user wrote."""

    at: datetime
    outbound: bool
    event_id: str
    after: ThreadState = ThreadState()

    @property
    def order(self) -> tuple[datetime, bool, str]:
        """Its place in the thread."""
        return (self.at, not self.outbound, self.event_id)


def expected(state: ThreadState, at: datetime) -> Place:
    """What a message would be charged as if it were delivered at a moment, in this state."""
    if state.open_until is not None and at < state.open_until:
        return "covered"
    if state.asked_at is not None and at < state.asked_at + WINDOW:
        return "p2a_conversation"
    return "alone"


def judged(base: ThreadState, events: Sequence[ThreadEvent]) -> tuple[list[ThreadEvent], dict[str, Place]]:
    """The events, in order, with the state after each; and what each message is charged as.

    `base` is the state before the first of them. The message that stands alone in it is judged again, too.
    """
    state = base
    places: dict[str, Place] = {} if base.alone_id is None else {base.alone_id: "alone"}
    told = []
    for event in sorted(events, key=lambda each: each.order):
        state = _after(state, event, places)
        told.append(replace(event, after=state))
    return told, places


def _after(state: ThreadState, event: ThreadEvent, places: dict[str, Place]) -> ThreadState:
    at = event.at
    if event.outbound:
        place = places[event.event_id] = expected(state, at)
        if place == "covered":
            return state
        if place == "p2a_conversation":
            return ThreadState(open_until=at + WINDOW)
        return ThreadState(alone_id=event.event_id, alone_at=at)
    if state.open_until is not None and at < state.open_until:
        return state
    if state.alone_id is not None and state.alone_at is not None and at < state.alone_at + WINDOW:
        places[state.alone_id] = "a2p_conversation"
        return ThreadState(open_until=at + WINDOW)
    return ThreadState(asked_at=at)


def state_before(events: Iterable[ThreadEvent], at: datetime) -> ThreadState:
    """The state that was left by the last event before a moment."""
    earlier = [event for event in events if event.at < at]
    return max(earlier, key=lambda each: each.order).after if earlier else ThreadState()
