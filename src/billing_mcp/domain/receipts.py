"""Owns receipts: what a delivery report, or something that a user wrote, changes in what messages are charged."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from billing_mcp.domain.booking import Booking, MessageDecision, Scene, named
from billing_mcp.domain.clock import iso
from billing_mcp.domain.conversations import MOMENT, OPENING, ThreadEvent
from billing_mcp.domain.errors import InvalidArgument, NotFound
from billing_mcp.domain.messages import (
    DELIVERED,
    FAILED,
    WAITING,
    Message,
    MessageStatus,
    ReportDelivery,
    ReportInbound,
)

_CLOCKS_APART = timedelta(minutes=5)
"""How far ahead of ours a provider's clock may be."""


def report(scene: Scene, action: ReportDelivery, *, now: datetime) -> MessageDecision:
    """What a delivery receipt changes. One that tells nothing new changes nothing.

    Delivered outranks failed, whichever came first; the first receipt of each kind fixes time and count.
    """
    message = named(scene, action.message_id)
    _check_moment(action.occurred_at, now)
    if action.conversation is not None:
        _check_moment(action.conversation[1], now, "started_at")
    told = _with_receipt(message, action)
    booking = Booking(scene, action.book, now)
    if told == message and action.conversation is None:
        return booking.decision(message)
    booking.changed[told.message_id] = told
    booking.count(told, message)
    if told.thread is not None:
        booking.judge(told.thread, _thread_events(told, message, action))
    elif told.delivered_at is not None:
        booking.changed[told.message_id] = booking.settle(told, "alone")
    return booking.finish(booking.changed[told.message_id])


def _thread_events(told: Message, before: Message, action: ReportDelivery) -> list[ThreadEvent]:
    """What a receipt adds to the thread: that the message was delivered, and that the user wrote."""
    events = []
    if told.delivered_at is not None and told.delivered_at != before.delivered_at:
        events.append(ThreadEvent(told.delivered_at, outbound=True, event_id=told.message_id))
    if action.conversation is not None:
        kind, started = action.conversation
        # The provider saw the user write: the answer that opened the window, or what this message answers.
        at = started if kind == "a2p" else started - MOMENT
        events.append(ThreadEvent(at, outbound=False, event_id=f"provider:{kind}:{iso(started)}"))
    return events


def inbound(scene: Scene, action: ReportInbound, *, now: datetime) -> MessageDecision:
    """What it changes that a user wrote: nothing, or a conversation begins, and what follows is judged again."""
    _check_moment(action.occurred_at, now)
    booking = Booking(scene, action.book, now)
    if action.kind in OPENING:
        booking.judge(action.thread, [ThreadEvent(action.occurred_at, outbound=False, event_id=action.event_id)])
    return booking.decision(None)


def _with_receipt(message: Message, action: ReportDelivery) -> Message:
    """The message as a receipt tells of it."""
    outcome = DELIVERED if action.status == "delivered" else FAILED
    outcomes = list(message.outcomes)
    for place in _addressed(message, action):
        if outcomes[place] == WAITING or outcome == DELIVERED:
            outcomes[place] = outcome
    together = "".join(outcomes)
    # One that was held back and is reported has left all the same: it is not to be accepted again.
    status: MessageStatus = message.status if together == message.outcomes else "accepted"
    if WAITING not in together:
        status = "delivered" if DELIVERED in together else "failed"
    delivered_at, segments = message.delivered_at, message.segments
    if DELIVERED in together and delivered_at is None:
        delivered_at = action.occurred_at
    if message.channel == "sms" and segments is None and action.status == "delivered":
        segments = action.segments
    return message._replace(outcomes=together, status=status, delivered_at=delivered_at, segments=segments)


def _addressed(message: Message, action: ReportDelivery) -> Iterable[int]:
    """The recipients that a receipt is about. Raises NotFound."""
    if action.recipient is None:
        return range(len(message.recipients))
    found = [place for place, recipient in enumerate(message.recipients) if recipient == action.recipient]
    if not found:
        raise NotFound(
            f"message {message.message_id} did not go to this recipient",
            field="recipient",
            hint="Write the recipient as it was sent to, or leave it out to speak of all.",
        )
    return found


def _check_moment(moment: datetime, now: datetime, field: str = "occurred_at") -> None:
    if moment > now + _CLOCKS_APART:
        raise InvalidArgument(
            f"{field} {iso(moment)} is later than now, {iso(now)}",
            field=field,
            hint="Give the provider's own moment of it, in UTC.",
        )
