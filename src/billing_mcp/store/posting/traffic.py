"""Owns messages within a batch: what they need is read once, each is decided on what the ones before have left."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any

from billing_mcp.domain.booking import ActiveUser, MessageDecision, Scene, Usage, UsageKey
from billing_mcp.domain.clock import to_epoch_us
from billing_mcp.domain.conversations import MOMENT, ThreadEvent
from billing_mcp.domain.holds import Hold
from billing_mcp.domain.instructions import Instruction
from billing_mcp.domain.ledger import Wallet
from billing_mcp.domain.message_actions import decide_message
from billing_mcp.domain.messages import (
    ACCEPTED_EVENT,
    CampaignStatus,
    Message,
    PauseMessage,
    ReportDelivery,
    ReportInbound,
    ResumeMessage,
    SendMessage,
)
from billing_mcp.domain.plans import AccountStatus
from billing_mcp.domain.pricing import Channel, PriceBook
from billing_mcp.domain.tiers import ChannelState, month_of
from billing_mcp.store.posting import sql
from billing_mcp.store.posting.message_rows import (
    active_user_row,
    changed_message_row,
    message_of,
    message_row,
    state_of,
    state_row,
    thread_event_of,
    thread_event_row,
    usage_row,
)
from billing_mcp.store.posting.sql import NewRows, Read, Row, Upsert, Words

MESSAGE_ACTIONS = (SendMessage, ReportDelivery, ReportInbound, PauseMessage, ResumeMessage)
_NONE: dict[Any, Any] = {}
_Place = tuple[str, str]
"""An account, and what is named within it."""


class Traffic:
    """What a batch of instructions on messages has read, and what it will write."""

    def __init__(self) -> None:
        self.messages: dict[_Place, Message] = {}
        self._threads: dict[_Place, dict[tuple[datetime, bool, str], ThreadEvent]] = {}
        self._states: dict[_Place, ChannelState] = {}
        self._phases: dict[str, list[tuple[str, str | None]]] = {}
        self._campaigns: dict[_Place, CampaignStatus] = {}
        self._active: set[tuple[str, int, str, str]] = set()
        self._new_messages: dict[_Place, Row] = {}
        self._changed_messages: dict[_Place, Row] = {}
        self._new_active: list[Row] = []
        self._thread_rows: dict[tuple[Any, ...], Row] = {}
        self._state_rows: dict[_Place, Row] = {}
        self._left: list[Row] = []
        self._usage: dict[tuple[str, UsageKey], list[int]] = {}

    def read(
        self, words: Words, instructions: Sequence[Instruction], replayed: Iterable[_Place]
    ) -> Generator[Read, Any, set[_Place]]:
        """Read what the instructions name; the holds of their messages. `replayed` are messages to be shown again."""
        of_messages = [each for each in instructions if isinstance(each.action, MESSAGE_ACTIONS)]
        named = {*replayed, *(place for each in of_messages if (place := _message(each)) is not None)}
        yield from self._read_messages(words, named)
        if not of_messages:
            return set()
        accounts = [(account_id,) for account_id in sorted({each.account_id for each in of_messages})]
        books = {id(book): book for each in of_messages if (book := _book(each)) is not None}.values()
        campaigns = {(each.account_id, campaign) for each in of_messages if (campaign := _campaign(each))}
        for row in (yield words.asked(sql.STATES_ASKED, accounts)):
            state = state_of(row)
            self._states[state.account_id, state.channel] = state
        if any(book.plan_tiers for book in books):
            for account_id, starts_on, plan_id in (yield words.asked(sql.PHASES_ASKED, accounts)):
                self._phases.setdefault(account_id, []).append((starts_on, plan_id))
        if campaigns:
            for account_id, campaign_id, _, status, *_ in (yield words.asked(sql.CAMPAIGNS_ASKED, sorted(campaigns))):
                self._campaigns[account_id, campaign_id] = status
        yield from self._read_threads(words, of_messages)
        priced = {channel for book in books for version in book.versions for channel in version.active_users}
        if priced:
            yield from self._read_active(words, of_messages, priced)
        held = [self.messages[place] for place in named if place in self.messages]
        return {(each.account_id, each.hold_id) for each in held if each.hold_id is not None}

    def decide(
        self, instruction: Instruction, wallet: Wallet, status: AccountStatus, holds: dict[_Place, Hold]
    ) -> MessageDecision:
        """Decide one instruction. Raises what `decide_message` raises."""
        action, account_id, now = instruction.action, instruction.account_id, instruction.now
        if not isinstance(action, MESSAGE_ACTIONS):
            raise TypeError("only what is asked of messages is decided here")
        if isinstance(action, SendMessage):
            return decide_message(self._before_sending(instruction, action, wallet, status), action, now=now)
        place = _message(instruction)
        message = None if place is None else self.messages.get(place)
        thread = self._thread(instruction)
        events = tuple(self._threads.get((account_id, thread), {}).values()) if thread else ()
        others = self._messages_in(account_id, events)
        channel = "rcs" if message is None else message.channel
        recipients = {r for each in (message, *others.values()) if each is not None for r in each.recipients}
        scene = Scene(
            wallet=wallet,
            status=status,
            state=self._states.get((account_id, channel)),
            plan_tiers=self._plan_tiers(instruction),
            active=self._active_of(instruction, channel, recipients),
            message=message,
            hold=holds.get((account_id, message.hold_id)) if message and message.hold_id else None,
            thread=events,
            others=others,
        )
        return decide_message(scene, action, now=now)

    def _before_sending(
        self, instruction: Instruction, action: SendMessage, wallet: Wallet, status: AccountStatus
    ) -> Scene:
        """What is known before a message is accepted, with no more steps than it needs: they are many."""
        account_id, channel, thread = instruction.account_id, action.facts.channel, action.thread
        events = tuple(self._threads.get((account_id, thread), {}).values()) if thread else ()
        return Scene(
            wallet=wallet,
            status=status,
            state=self._states.get((account_id, channel)),
            plan_tiers=self._plan_tiers(instruction) if self._phases else _NONE,
            active=self._active_of(instruction, channel, action.recipients) if self._active else frozenset(),
            thread=events,
            others=_NONE,
            campaign=self._campaigns.get((account_id, action.campaign_id)) if action.campaign_id else None,
        )

    def note(self, account_id: str, decision: MessageDecision) -> None:
        """The rows of what was decided."""
        for message in decision.messages:
            place = (account_id, message.message_id)
            before = self.messages.get(place)
            if message.is_settled and before is not None and not before.is_settled:
                self._left.append((*place, ACCEPTED_EVENT))  # whoever delivered it knew of it
            new = place not in self.messages or place in self._new_messages
            self.messages[place] = message
            if new:
                self._new_messages[place] = message_row(message)
            else:
                self._changed_messages[place] = changed_message_row(message)
        if decision.thread is not None:
            events = self._threads.setdefault((account_id, decision.thread), {})
            for event in decision.thread_events:
                events[event.order] = event
                row = thread_event_row(account_id, decision.thread, event)
                self._thread_rows[tuple(row[:4])] = row
        state = decision.state
        if state is not None and state != self._states.get((account_id, state.channel)):
            self._states[account_id, state.channel] = state
            self._state_rows[account_id, state.channel] = state_row(state)
        for key, usage in decision.usage:
            self._add(account_id, key, usage)
        for user in decision.active_users:
            self._note_active(account_id, user)

    def new_rows(self) -> Iterator[NewRows]:
        """The new rows since the last time."""
        yield sql.NEW_MESSAGES, list(self._new_messages.values())
        yield sql.NEW_ACTIVE_USERS, self._new_active
        self._new_messages, self._new_active = {}, []

    def changed_rows(self) -> list[Row]:
        """How messages are after all of it."""
        return list(self._changed_messages.values())

    def gone_rows(self) -> list[Row]:
        """What need not leave any more: a receipt has come."""
        return self._left

    def upserts(self) -> list[tuple[Upsert, list[Row]]]:
        """How threads and channels are after all of it, and what was used."""
        usage = [usage_row(account_id, key, Usage(*counts)) for (account_id, key), counts in self._usage.items()]
        return [
            (sql.THREAD_EVENTS, list(self._thread_rows.values())),
            (sql.CHANNEL_STATES, list(self._state_rows.values())),
            (sql.USAGE, usage),
        ]

    def _read_messages(self, words: Words, places: Iterable[_Place]) -> Generator[Read, Any, None]:
        wanted = sorted(place for place in places if place not in self.messages)
        if wanted:
            for row in (yield words.asked(sql.MESSAGES_ASKED, wanted)):
                message = message_of(row)
                self.messages[message.account_id, message.message_id] = message

    def _read_threads(self, words: Words, instructions: Sequence[Instruction]) -> Generator[Read, Any, None]:
        """The end of each thread that matters, and the messages in it."""
        since: dict[_Place, datetime] = {}
        for each in instructions:
            thread = self._thread(each)
            if thread is not None:
                place, at = (each.account_id, thread), _matters_from(each)
                since[place] = min(at, since.get(place, at))
        if not since:
            return
        asked = [(account_id, thread, to_epoch_us(at)) for (account_id, thread), at in since.items()]
        named: set[_Place] = set()
        rows = list((yield words.asked(sql.THREADS_ASKED, sorted(asked))))
        heard = {
            (each.account_id, a.thread, a.event_id)
            for each in instructions
            if isinstance(a := each.action, ReportInbound)
        }
        if heard:
            rows += yield words.asked(sql.HEARD_ASKED, sorted(heard))
        for row in rows:
            account_id, thread, event = thread_event_of(row)
            self._threads.setdefault((account_id, thread), {})[event.order] = event
            if event.outbound:
                named.add((account_id, event.event_id))
            if event.after.alone_id is not None:
                named.add((account_id, event.after.alone_id))
        yield from self._read_messages(words, named)

    def _read_active(
        self, words: Words, instructions: Sequence[Instruction], priced: set[Channel]
    ) -> Generator[Read, Any, None]:
        """Which recipients were active in their month already, on channels where that is priced."""
        asked: set[tuple[str, int, str, str]] = set()
        last = max(each.now for each in instructions)
        for each in instructions:
            action = each.action
            if isinstance(action, SendMessage):
                channel = action.facts.channel
                if channel in priced:
                    month = self._month(each.account_id, channel, each.now)
                    asked.update((each.account_id, month, channel, r) for r in action.recipients)
                continue
            place, thread = _message(each), self._thread(each)
            message = None if place is None else self.messages.get(place)
            events = self._threads.get((each.account_id, thread), {}).values() if thread else ()
            named = [message, *self._messages_in(each.account_id, events).values()]
            found = [(m.channel, r) for m in named if m is not None and m.channel in priced for r in m.recipients]
            asked.update(
                (each.account_id, self._month(each.account_id, channel, latest), channel, r)
                for channel, r in found
                for latest in (each.now, last)
            )
        if asked:
            for account_id, month, channel, recipient, _ in (yield words.asked(sql.ACTIVE_ASKED, sorted(asked))):
                self._active.add((account_id, month, channel, recipient))

    def _thread(self, instruction: Instruction) -> str | None:
        action = instruction.action
        if isinstance(action, SendMessage | ReportInbound):
            return action.thread
        place = _message(instruction)
        message = None if place is None else self.messages.get(place)
        return None if message is None else message.thread

    def _messages_in(self, account_id: str, events: Iterable[ThreadEvent]) -> dict[str, Message]:
        """The messages of a thread: those that were delivered, and those that stood alone before."""
        found: dict[str, Message] = {}
        for event in events:
            for message_id in (event.event_id if event.outbound else None, event.after.alone_id):
                message = self.messages.get((account_id, message_id)) if message_id else None
                if message is not None:
                    found[message.message_id] = message
        return found

    def _active_of(self, instruction: Instruction, channel: Channel, recipients: Iterable[str]) -> frozenset[str]:
        """Those of the recipients who were active in this month already."""
        account_id = instruction.account_id
        month = self._month(account_id, channel, instruction.now)
        return frozenset(r for r in recipients if (account_id, month, channel, r) in self._active)

    def _month(self, account_id: str, channel: Channel, now: datetime) -> int:
        """The month that is booked to: no clock takes a channel back to a month that has ended for it."""
        state = self._states.get((account_id, channel))
        return max(month_of(now.date()), state.month if state is not None else 0)

    def _plan_tiers(self, instruction: Instruction) -> dict[Channel, int]:
        """What the plan of the account grants, as of the day of the instruction."""
        book = _book(instruction)
        today = instruction.now.date()
        started = [phase for phase in self._phases.get(instruction.account_id, ()) if _day(phase[0]) <= today]
        if book is None or not started:
            return {}
        plan_id = max(started)[1]
        return dict(book.plan_tiers.get(plan_id or "", {}))

    def _add(self, account_id: str, key: UsageKey, usage: Usage) -> None:
        counts = self._usage.setdefault((account_id, key), [0, 0, 0, 0, 0])
        for place, each in enumerate(usage):
            counts[place] += each

    def _note_active(self, account_id: str, user: ActiveUser) -> None:
        self._active.add((account_id, user.month, user.channel, user.recipient))
        self._new_active.append(active_user_row(account_id, user))


def _message(instruction: Instruction) -> _Place | None:
    """The message that an instruction names."""
    action = instruction.action
    if isinstance(action, ReportDelivery | PauseMessage | ResumeMessage):
        return instruction.account_id, action.message_id
    return None


def _book(instruction: Instruction) -> PriceBook | None:
    action = instruction.action
    return action.book if isinstance(action, SendMessage | ReportDelivery | ReportInbound | ResumeMessage) else None


def _campaign(instruction: Instruction) -> str | None:
    action = instruction.action
    return action.campaign_id if isinstance(action, SendMessage) else None


def _matters_from(instruction: Instruction) -> datetime:
    """The earliest moment that an instruction can put into its thread."""
    action = instruction.action
    if isinstance(action, ReportDelivery):
        started = action.conversation[1] if action.conversation else action.occurred_at
        return min(action.occurred_at, started) - MOMENT
    return action.occurred_at if isinstance(action, ReportInbound) else instruction.now


def _day(text: str) -> date:
    return date.fromisoformat(text)
