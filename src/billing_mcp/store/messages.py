"""Owns reading stored messages, campaigns, tiers and usage. Messages are written by the posting engine alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast

from sqlalchemy import bindparam, func, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.booking import Usage, UsageKey
from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.conversations import ThreadEvent
from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.messages import CampaignStatus, Message
from billing_mcp.domain.pricing import Channel
from billing_mcp.domain.tiers import ChannelState
from billing_mcp.store.changes import ChangeLog, SettingChange
from billing_mcp.store.message_tables import (
    ActiveUserRow,
    CampaignRow,
    ChannelStateRow,
    MessageRow,
    ThreadEventRow,
    UsageRow,
)
from billing_mcp.store.posting.message_rows import message_of, state_of, state_row, thread_event_of, usage_of
from billing_mcp.store.reading.fetch import fetch
from billing_mcp.store.reading.query import Rows
from billing_mcp.store.tables import WalletRow, table

_MESSAGES = table(MessageRow)
_CAMPAIGNS = table(CampaignRow)
_STATES = table(ChannelStateRow)
_USAGE = table(UsageRow)
_THREADS = table(ThreadEventRow)
_ACTIVE = table(ActiveUserRow)
_WALLETS = table(WalletRow)
_ACCOUNT_ID: Any = bindparam("account_id")

_MESSAGE = select(_MESSAGES).where(
    (_MESSAGES.c.account_id == _ACCOUNT_ID) & (_MESSAGES.c.message_id == bindparam("message_id"))
)
_CAMPAIGN = select(_CAMPAIGNS).where(
    (_CAMPAIGNS.c.account_id == _ACCOUNT_ID) & (_CAMPAIGNS.c.campaign_id == bindparam("campaign_id"))
)
STATES = select(_STATES).where(_STATES.c.account_id == _ACCOUNT_ID).order_by(_STATES.c.channel)
"""What an account has used of each channel, by `account_id`."""
USAGE = (
    select(_USAGE)
    .where((_USAGE.c.account_id == _ACCOUNT_ID) & _USAGE.c.day.between(bindparam("first"), bindparam("last")))
    .order_by(_USAGE.c.day)
)
"""What an account has used from a day to a day, by `account_id`, `first` and `last`, both of them included."""
_USED = (
    select(_WALLETS.c.currency, *_USAGE.c)
    .outerjoin_from(
        _WALLETS,
        _USAGE,
        (_USAGE.c.account_id == _WALLETS.c.account_id) & _USAGE.c.day.between(bindparam("first"), bindparam("last")),
    )
    .where(_WALLETS.c.account_id == _ACCOUNT_ID)
    .order_by(_USAGE.c.day)
)
_SPENT = (
    select(_USAGE.c.day, func.sum(_USAGE.c.amount_micros).label("amount_micros"))
    .where((_USAGE.c.account_id == _ACCOUNT_ID) & _USAGE.c.day.between(bindparam("first"), bindparam("last")))
    .group_by(_USAGE.c.day)
)
_IN_FLIGHT = (
    select(_USAGE.c.channel, func.sum(_USAGE.c.accepted - _USAGE.c.delivered - _USAGE.c.failed).label("in_flight"))
    .where((_USAGE.c.account_id == _ACCOUNT_ID) & (_USAGE.c.day <= bindparam("last")))
    .group_by(_USAGE.c.channel)
)


@dataclass(frozen=True, slots=True)
class Campaign:
    """Messages that were sent together, and can be held back together."""

    account_id: str
    campaign_id: str
    name: str
    status: CampaignStatus
    created_at: datetime
    changed_at: datetime


class Messages:
    """Messages, and what belongs to them, within one transaction."""

    def __init__(self, connection: AsyncConnection, changes: ChangeLog) -> None:
        self._connection = connection
        self._changes = changes

    async def get(self, account_id: str, message_id: str) -> Message:
        """One message. Raises NotFound."""
        (rows,) = await fetch(self._connection, _MESSAGE, account_id=account_id, message_id=message_id)
        for row in rows:
            return message_of(row)
        raise NotFound(f"message {message_id} does not exist", field="message_id")

    async def of_campaign(
        self, account_id: str, campaign_id: str, *, after: str | None = None, limit: int | None = None
    ) -> list[Message]:
        """Up to `limit` messages of a campaign, oldest first; `after` is the last one that was seen."""
        c = _MESSAGES.c
        within = (c.account_id == account_id) & (c.campaign_id == campaign_id)
        if after is not None:
            within &= c.message_id > after
        statement = select(_MESSAGES).where(within).order_by(c.message_id).limit(limit)
        return [message_of(row) for row in await self._connection.execute(statement)]

    async def all(self, account_id: str) -> list[Message]:
        """Every message of an account, oldest first."""
        statement = select(_MESSAGES).where(_MESSAGES.c.account_id == account_id).order_by(_MESSAGES.c.message_id)
        return [message_of(row) for row in await self._connection.execute(statement)]

    async def campaign(self, account_id: str, campaign_id: str) -> Campaign:
        """One campaign. Raises NotFound."""
        (rows,) = await fetch(self._connection, _CAMPAIGN, account_id=account_id, campaign_id=campaign_id)
        for row in rows:
            status = cast("CampaignStatus", row.status)
            created_at, changed_at = from_epoch_us(row.created_at_us), from_epoch_us(row.changed_at_us)
            return Campaign(account_id, campaign_id, row.name, status, created_at, changed_at)
        raise NotFound(f"campaign {campaign_id} does not exist", field="campaign_id")

    async def count_campaign(self, account_id: str, campaign_id: str) -> dict[str, tuple[int, int]]:
        """How many messages of a campaign have each status, and what they were charged, in micros."""
        c = _MESSAGES.c
        statement = (
            select(c.status, func.count(), func.sum(c.charged_micros))
            .where((c.account_id == account_id) & (c.campaign_id == campaign_id))
            .group_by(c.status)
        )
        found = await self._connection.execute(statement)
        return {status: (number, int(charged)) for status, number, charged in found}

    async def open_campaign(self, campaign: Campaign) -> None:
        """Store a campaign, unless it is there already."""
        values = {
            "account_id": campaign.account_id,
            "campaign_id": campaign.campaign_id,
            "name": campaign.name,
            "status": campaign.status,
            "created_at_us": to_epoch_us(campaign.created_at),
            "changed_at_us": to_epoch_us(campaign.changed_at),
        }
        await self._connection.execute(self._insert(_CAMPAIGNS).values(**values).on_conflict_do_nothing())

    async def set_campaign_status(self, campaign: Campaign, status: CampaignStatus, now: datetime) -> None:
        """Say that a campaign runs, or is paused."""
        c = _CAMPAIGNS.c
        named = (c.account_id == campaign.account_id) & (c.campaign_id == campaign.campaign_id)
        values = {"status": status, "changed_at_us": to_epoch_us(now)}
        await self._connection.execute(update(_CAMPAIGNS).where(named).values(**values))

    async def states(self, account_id: str) -> dict[str, ChannelState]:
        """What an account has used of each channel, in the month in which it last did."""
        (rows,) = await fetch(self._connection, STATES, account_id=account_id)
        return states_of(rows)

    async def unjudged_account_ids(self, month: int) -> list[str]:
        """Accounts that have earned a tier, and of which a month before this one is not judged yet."""
        earned = (_STATES.c.tier > literal_column("0")) & (_STATES.c.month < month)
        found = select(_STATES.c.account_id).where(earned).distinct().order_by(_STATES.c.account_id)
        return list((await self._connection.execute(found)).scalars())

    async def set_state(self, state: ChannelState, *, before: ChannelState | None) -> None:
        """Store a channel as it was judged, or what the platform has granted of tiers, and record what was granted.

        The account must be locked: all columns are replaced.
        """
        row = dict(zip(_STATES.columns.keys(), state_row(state), strict=True))
        statement = self._insert(_STATES).values(**row)
        values = {name: value for name, value in row.items() if name not in ("account_id", "channel")}
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=["account_id", "channel"], set_=values)
        )
        for name in ("commitment", "override"):
            was, now = getattr(before, name, None), getattr(state, name)
            if was != now:
                texts = [None if each is None else str(each) for each in (was, now)]
                self._changes.add(SettingChange(state.account_id, f"{state.channel} tier {name}", *texts))

    async def usage(self, account_id: str, first: date, last: date) -> list[tuple[UsageKey, Usage]]:
        """What was used from a day to a day, both of them included."""
        days = {"first": first.isoformat(), "last": last.isoformat()}
        (rows,) = await fetch(self._connection, USAGE, account_id=account_id, **days)
        return [usage_of(row) for row in rows]

    async def used(self, account_id: str, first: date, last: date) -> tuple[str, list[tuple[UsageKey, Usage]]]:
        """The currency of an account, and what `usage` returns: in a single statement. Raises NotFound."""
        days = {"first": first.isoformat(), "last": last.isoformat()}
        (rows,) = await fetch(self._connection, _USED, account_id=account_id, **days)
        if not rows:
            raise NotFound(f"account {account_id} does not exist", field="account_id")
        return rows[0][0], [usage_of(row[1:]) for row in rows if row[1] is not None]

    async def spent_by_day(self, account_id: str, first: date, last: date) -> dict[date, int]:
        """What messages cost on each day from one to another, both included, in micros; days without use are not there.

        Less than none is what was taken back.
        """
        days = {"first": first.isoformat(), "last": last.isoformat()}
        (rows,) = await fetch(self._connection, _SPENT, account_id=account_id, **days)
        return {date.fromisoformat(row.day): int(row.amount_micros) for row in rows}

    async def in_flight(self, account_id: str, last: date) -> dict[Channel, int]:
        """To how many recipients of each channel messages were on their way at the end of a day."""
        (rows,) = await fetch(self._connection, _IN_FLIGHT, account_id=account_id, last=last.isoformat())
        return {row.channel: int(row.in_flight) for row in rows}

    async def last_event(self, account_id: str, thread: str, at: datetime) -> ThreadEvent | None:
        """The last event of a thread until a moment, itself included."""
        c = _THREADS.c
        within = (c.account_id == account_id) & (c.thread == thread) & (c.at_us <= to_epoch_us(at))
        order = (c.at_us.desc(), c.outbound, c.event_id.desc())
        rows = await self._connection.execute(select(_THREADS).where(within).order_by(*order).limit(1))
        return next((thread_event_of(row)[2] for row in rows), None)

    async def thread(self, account_id: str, thread: str) -> tuple[ThreadEvent, ...]:
        """All events of a thread, in order."""
        c = _THREADS.c
        rows = await self._connection.execute(
            select(_THREADS).where((c.account_id == account_id) & (c.thread == thread))
        )
        return tuple(sorted((thread_event_of(row)[2] for row in rows), key=lambda event: event.order))

    async def active(self, account_id: str, month: int, channel: Channel, recipients: Sequence[str]) -> frozenset[str]:
        """Those of the recipients who were active in a month."""
        c = _ACTIVE.c
        within = (c.account_id == account_id) & (c.month == month) & (c.channel == channel)
        found = await self._connection.execute(select(c.recipient).where(within & c.recipient.in_(recipients)))
        return frozenset(found.scalars())

    async def nth_active(
        self, account_id: str, month: int, channel: Channel, recipients: Sequence[str]
    ) -> frozenset[int]:
        """As which active users of a month the recipients were counted."""
        c = _ACTIVE.c
        within = (c.account_id == account_id) & (c.month == month) & (c.channel == channel)
        found = await self._connection.execute(select(c.nth).where(within & c.recipient.in_(recipients)))
        return frozenset(found.scalars())

    def _insert(self, into: Any) -> Any:
        dialect = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        return dialect.insert(into)


def states_of(rows: Rows) -> dict[str, ChannelState]:
    """What was selected of each channel."""
    return {state.channel: state for state in map(state_of, rows)}
