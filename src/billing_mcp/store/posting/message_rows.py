"""Owns the rows of messages, threads, tiers and usage: what was decided, in the columns of their tables, and back."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, cast

import msgspec

from billing_mcp.domain.booking import ActiveUser, Usage, UsageKey
from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.conversations import ThreadEvent, ThreadState
from billing_mcp.domain.messages import Message
from billing_mcp.domain.tiers import ChannelState
from billing_mcp.store.posting.sql import Row

_encode = msgspec.json.Encoder(order="sorted").encode


def message_row(m: Message) -> Row:
    """The row of a message."""
    return (
        m.account_id,
        m.message_id,
        m.campaign_id,
        m.reference,
        m.channel,
        m.message_type,
        m.sender,
        m.market,
        m.thread,
        _encode(m.facts).decode() if m.facts else "{}",
        " ".join(m.recipients),
        m.catalog_version,
        m.tier,
        m.rule_id,
        m.unit,
        m.quantity,
        m.unit_price_micros,
        m.a2p_micros,
        m.p2a_micros,
        m.expected,
        m.mau_micros,
        m.hold_id,
        to_epoch_us(m.created_at),
        m.status,
        m.outcomes,
        _us(m.delivered_at),
        m.segments,
        m.place,
        m.charged_unit,
        m.charged_quantity,
        m.charged_micros,
    )


def message_of(row: Any) -> Message:
    """The message of a row."""
    (
        account_id, message_id, campaign_id, reference, channel, message_type, sender, market, thread, facts,
        recipients, catalog_version, tier, rule_id, unit, quantity, unit_price, a2p, p2a, expected, mau, hold_id,
        created_us, status, outcomes, delivered_us, segments, place, charged_unit, charged_quantity,
        charged_micros,
    ) = row  # fmt: skip
    return Message(
        account_id=account_id,
        message_id=message_id,
        campaign_id=campaign_id,
        reference=reference,
        channel=channel,
        message_type=message_type,
        sender=sender,
        market=market,
        thread=thread,
        facts=json.loads(facts),
        recipients=tuple(recipients.split()),
        catalog_version=catalog_version,
        tier=tier,
        rule_id=rule_id,
        unit=unit,
        quantity=quantity,
        unit_price_micros=unit_price,
        a2p_micros=a2p,
        p2a_micros=p2a,
        expected=expected,
        mau_micros=mau,
        hold_id=hold_id,
        created_at=from_epoch_us(created_us),
        status=status,
        outcomes=outcomes,
        delivered_at=_moment(delivered_us),
        segments=segments,
        place=place,
        charged_unit=charged_unit,
        charged_quantity=charged_quantity,
        charged_micros=charged_micros,
    )


def changed_message_row(message: Message) -> Row:
    """The new values of a message, and its key."""
    row = message_row(message)
    return (*row[2:], *row[:2])


def thread_event_row(account_id: str, thread: str, event: ThreadEvent) -> Row:
    """The row of an event of a thread."""
    after = event.after
    moments = (_us(after.open_until), _us(after.asked_at), after.alone_id, _us(after.alone_at))
    return (account_id, thread, to_epoch_us(event.at), event.event_id, int(event.outbound), *moments)


def thread_event_of(row: Any) -> tuple[str, str, ThreadEvent]:
    """The account, the thread and the event of a row."""
    account_id, thread, at_us, event_id, outbound, open_until, asked_at, alone_id, alone_at = row
    after = ThreadState(_moment(open_until), _moment(asked_at), alone_id, _moment(alone_at))
    return account_id, thread, ThreadEvent(from_epoch_us(at_us), bool(outbound), event_id, after)


def active_user_row(account_id: str, user: ActiveUser) -> Row:
    """The row of a recipient who was active in a month."""
    return (account_id, user.month, user.channel, user.recipient, user.nth)


def state_row(state: ChannelState) -> Row:
    """The row of what an account has used of a channel."""
    return (
        state.account_id,
        state.channel,
        state.month,
        state.volume,
        state.active_users,
        state.tier,
        int(state.earned_this_month),
        state.missed_months,
        state.commitment,
        state.override,
    )


def state_of(row: Any) -> ChannelState:
    """What an account has used of a channel, of a row."""
    account_id, channel, month, volume, active_users, tier, earned, missed, commitment, override = row
    return ChannelState(
        account_id, channel, month, volume, active_users, tier, bool(earned), missed, commitment, override
    )


def usage_row(account_id: str, key: UsageKey, usage: Usage) -> Row:
    """The row of what was used."""
    return (account_id, *key, *usage)


def usage_of(row: Any) -> tuple[UsageKey, Usage]:
    """What was used, of a row."""
    _, day, channel, message_type, unit, tier, market, *counts = row
    return UsageKey(day, channel, message_type, unit, tier, market), Usage(*cast("list[int]", counts))


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else to_epoch_us(moment)


def _moment(value: int | None) -> datetime | None:
    return None if value is None else from_epoch_us(value)
