"""Owns booking what a message comes to: what is held, charged, reversed and counted, step by step.

What a message is charged is compared with what it should be, now that more is known of it, and the difference is
booked: so receipts may come late, twice, or in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple, cast

from billing_mcp.domain import holds
from billing_mcp.domain.conversations import Place, ThreadEvent, judged, state_before
from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.events import Event
from billing_mcp.domain.holds import Hold
from billing_mcp.domain.ledger import (
    AVAILABLE,
    REVENUE,
    Entry,
    LedgerTransaction,
    LineItem,
    Posting,
    Wallet,
    decide,
)
from billing_mcp.domain.messages import DELIVERED, WAITING, CampaignStatus, Charge, Message
from billing_mcp.domain.plans import AccountStatus
from billing_mcp.domain.pricing import Channel, PriceBook, PriceVersion, Unit, graduated_micros
from billing_mcp.domain.tiers import ChannelState, month_of, month_text, rolled, tier_events, used

MESSAGE, ACTIVE_USER = "message", "active_user"
"""The `source` of a line that charges a message, or a user who was active in a month."""


class UsageKey(NamedTuple):
    """What usage is added up by. The day is UTC."""

    day: str
    channel: Channel
    message_type: str
    unit: Unit
    tier: str
    market: str


class Usage(NamedTuple):
    """How much: messages by recipient, units that were charged, and what they cost. Less than none is taken back."""

    accepted: int = 0
    delivered: int = 0
    failed: int = 0
    quantity: int = 0
    amount_micros: int = 0


@dataclass(frozen=True, slots=True)
class ActiveUser:
    """A recipient who had a billable event in a month, as the `nth` of the month."""

    month: int
    channel: Channel
    recipient: str
    nth: int


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a decision about a message needs to know of its account, as it is before it."""

    wallet: Wallet
    status: AccountStatus
    state: ChannelState | None = None
    plan_tiers: Mapping[Channel, int] = field(default_factory=dict)
    """What the plan of the account grants."""
    active: frozenset[str] = frozenset()
    """Those of the recipients at hand who were active in this month already."""
    message: Message | None = None
    hold: Hold | None = None
    """The open hold of the message."""
    thread: tuple[ThreadEvent, ...] = ()
    """The last events before the one at hand, all after it, and the one at hand if it was told before."""
    others: Mapping[str, Message] = field(default_factory=dict)
    """The messages of the thread, by id."""
    campaign: CampaignStatus | None = None


class MessageDecision(NamedTuple):
    """What an action makes of it all, to be stored."""

    wallet: Wallet
    status: AccountStatus
    transactions: tuple[LedgerTransaction, ...]
    message: Message | None
    hold: Hold | None = None
    messages: tuple[Message, ...] = ()
    """Every message that is new or has changed."""
    state: ChannelState | None = None
    usage: tuple[tuple[UsageKey, Usage], ...] = ()
    active_users: tuple[ActiveUser, ...] = ()
    thread: str | None = None
    thread_events: tuple[ThreadEvent, ...] = ()
    """Every event of the thread that is new, or has another state after it."""
    events: tuple[Event, ...] = ()


class Booking:
    """What an action comes to, step by step."""

    def __init__(self, scene: Scene, book: PriceBook | None, now: datetime) -> None:
        self._scene = scene
        self._book = book
        self._now = now
        self._wallet, self._status = scene.wallet, scene.status
        self._hold = scene.hold
        self._state = scene.state
        self._active = set(scene.active)
        self._transactions: list[LedgerTransaction] = []
        self._usage: list[tuple[UsageKey, Usage]] = []
        self._active_users: list[ActiveUser] = []
        self._thread: str | None = None
        self._thread_events: tuple[ThreadEvent, ...] = ()
        self.changed: dict[str, Message] = {}
        self.events: list[Event] = []

    def decision(self, message: Message | None) -> MessageDecision:
        """All of it."""
        self._tell_tier()
        return MessageDecision(
            wallet=self._wallet,
            status=self._status,
            transactions=tuple(self._transactions),
            message=message,
            hold=self._hold,
            messages=tuple(self.changed.values()),
            state=self._state,
            usage=tuple(self._usage),
            active_users=tuple(self._active_users),
            thread=self._thread,
            thread_events=self._thread_events,
            events=tuple(self.events),
        )

    def finish(self, message: Message) -> MessageDecision:
        """All of it, and what was held is given back once nothing of the message is open."""
        if message.is_settled:
            self.release(self._hold, "captured" if message.delivered else "released")
        return self.decision(message)

    def add(self, unit: Unit, message: Message, usage: Usage) -> None:
        """Add to the usage of today."""
        self._usage.append((usage_key(message, unit, self._now), usage))

    def count(self, told: Message, before: Message) -> None:
        """Count the recipients of whom more is known now."""
        delivered, failed = told.delivered - before.delivered, told.failed - before.failed
        left_after_all = len(told.recipients) if before.status == "paused" != told.status else 0
        if delivered or failed:
            self.add(told.unit, told, Usage(accepted=left_after_all, delivered=delivered, failed=failed))

    def release(self, hold: Hold | None, ended: holds.HoldStatus) -> None:
        """Give back what an open hold has left."""
        if hold is not None and hold.status == "open":
            self._take(holds.give_back(self._wallet, self._status, hold, ended, self._now))

    def judge(self, thread: str, new: Sequence[ThreadEvent]) -> None:
        """Put events into the thread, and charge every message what it then counts as."""
        known = {each.event_id: each for each in self._scene.thread}
        fresh = [each for each in new if each.event_id not in known]
        if not fresh:
            return
        first = min(each.at for each in fresh)
        base = state_before(self._scene.thread, first)
        later = [each for each in self._scene.thread if each.at >= first]
        told, places = judged(base, [*later, *fresh])
        self._thread = thread
        self._thread_events = tuple(each for each in told if each != known.get(each.event_id))
        for message_id, place in places.items():
            message = self.changed.get(message_id) or self._scene.others[message_id]
            settled = self.settle(message, place)
            if settled != message or message_id in self.changed:
                self.changed[message_id] = settled

    def settle(self, message: Message, place: Place) -> Message:
        """Charge the message what it counts as now, less what was charged before; the message after it."""
        due = message.charge_at(place)
        was_unit, was_quantity, was_micros = message.charged_unit, message.charged_quantity, message.charged_micros
        if was_unit is not None and was_unit != due.unit:
            self._book_difference(message, due, was_unit, -was_quantity, -was_micros)
            was_quantity = was_micros = 0
        self._book_difference(message, due, due.unit, due.quantity - was_quantity, due.amount_micros - was_micros)
        settled = message._replace(
            place=place,
            charged_unit=due.unit,
            charged_quantity=due.quantity,
            charged_micros=due.amount_micros,
        )
        if due.quantity > was_quantity:
            self._meet(settled)
        return settled

    def _book_difference(self, message: Message, due: Charge, unit: Unit, quantity: int, micros: int) -> None:
        if micros > 0:
            self._charge(message, _line(message, due, unit, quantity, micros))
        elif micros < 0:
            self._reverse(_line(message, due, unit, quantity, micros))
        if quantity or micros:
            self.add(unit, message, Usage(quantity=quantity, amount_micros=micros))
            self._use(message.channel, quantity)

    def _charge(self, message: Message, line: LineItem) -> None:
        """Charge a line: to the message's own hold while it is open, else to what is free."""
        hold = self._hold
        own = hold if hold is not None and hold.status == "open" and hold.hold_id == message.hold_id else None
        charged = holds.charge(
            self._wallet,
            self._status,
            line.amount_micros,
            own,
            what=line.description,
            now=self._now,
            line_items=(line,),
        )
        self._take(charged if own is not None else replace(charged, hold=self._hold))

    def _reverse(self, line: LineItem) -> None:
        amount, currency = -line.amount_micros, self._wallet.currency
        entries = (Entry(AVAILABLE, amount, currency), Entry(REVENUE, -amount, currency))
        posting = Posting(self._wallet.account_id, "reversal", line.description, entries, self._now, (line,))
        self._wallet, transaction = decide(self._wallet, posting, now=self._now)
        self._transactions.append(transaction)

    def _meet(self, message: Message) -> None:
        """Charge those for whom more is charged now, and who were not active in this month yet, if that is priced."""
        book = cast("PriceBook", self._book)
        version = book.version_on(self._now.date())
        bands = version.bands(message.channel, message.market)
        before = WAITING * len(message.recipients)
        if len(before) > 1 and self._scene.message is not None:
            before = self._scene.message.outcomes  # others of its recipients were charged for before
        outcomes = zip(message.recipients, message.outcomes, before, strict=True)
        reached = [r for r, outcome, was in outcomes if outcome == DELIVERED != was]
        for recipient in [each for each in reached if bands and each not in self._active]:
            state = state_now(replace(self._scene, state=self._state), message.channel, book, self._now)
            nth = state.active_users + 1
            price = graduated_micros(bands, nth)
            if price:
                self._charge(message, _active_line(message, version, state.month, nth, price))
            self._active.add(recipient)
            self._active_users.append(ActiveUser(state.month, message.channel, recipient, nth))
            self._state = replace(state, active_users=nth)
            self.add("mau", message, Usage(quantity=1, amount_micros=price))

    def _use(self, channel: Channel, quantity: int) -> None:
        book = cast("PriceBook", self._book)
        state = state_now(replace(self._scene, state=self._state), channel, book, self._now)
        self._state = used(state, quantity, book.tiers[channel])

    def _tell_tier(self) -> None:
        """What the world hears of the tier: whoever is first to see that it has changed."""
        state, before = self._state, self._scene.state
        if state is not None and state is not before:
            book = cast("PriceBook", self._book)
            self.events += tier_events(before, state, book.tiers[cast("Channel", state.channel)], book.missed_months)

    def _take(self, decision: holds.Decision) -> None:
        self._wallet, self._status, self._hold = decision.wallet, decision.status, decision.hold
        self._transactions.extend(decision.transactions)
        if decision.event is not None:
            self.events.append(decision.event)


def _line(message: Message, due: Charge, unit: Unit, quantity: int, micros: int) -> LineItem:
    """The line of what is charged more than before, or less: its facts are those of what is due now."""
    price = micros // quantity if quantity else due.unit_price_micros
    metadata = {
        "message_id": message.message_id,
        "rule_id": due.rule_id,
        "catalog_version": message.catalog_version,
        "tier": message.tier,
        "market": message.market,
    }
    words = f"{message.channel} {message.message_type}, {unit}, {message.market}, tier {message.tier}"
    reversed_ = "Reversed: " if micros < 0 else ""
    return LineItem(
        component_type=message.channel,
        description=f"{reversed_}{words}",
        quantity=str(quantity),
        unit=unit,
        unit_price_micros=price,
        amount_micros=micros,
        source=MESSAGE,
        metadata=metadata,
    )


def _active_line(message: Message, version: PriceVersion, month: int, nth: int, price_micros: int) -> LineItem:
    return LineItem(
        component_type=message.channel,
        description=f"{message.channel} active user {nth} of {month_text(month)}, {message.market}",
        quantity="1",
        unit="mau",
        unit_price_micros=price_micros,
        amount_micros=price_micros,
        source=ACTIVE_USER,
        metadata={
            "message_id": message.message_id,
            "rule_id": f"{message.channel}.mau",
            "catalog_version": version.version,
            "market": message.market,
            "month": month_text(month),
            "nth": str(nth),
        },
    )


def usage_key(message: Message, unit: Unit, now: datetime) -> UsageKey:
    """What the usage of a message counts into today."""
    day = now.date().isoformat()
    return UsageKey(day, message.channel, message.message_type, unit, message.tier, message.market)


def state_now(scene: Scene, channel: Channel, book: PriceBook, now: datetime) -> ChannelState:
    """What the account has used of a channel in this month."""
    month = month_of(now.date())
    if scene.state is None:
        return ChannelState(scene.wallet.account_id, channel, month)
    return rolled(scene.state, month, book.tiers[channel], book.missed_months)


def named(scene: Scene, message_id: str) -> Message:
    """The message that an action names. Raises NotFound."""
    if scene.message is None:
        raise NotFound(f"message {message_id} does not exist", field="message_id")
    return scene.message
