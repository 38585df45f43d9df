"""Owns what a stored message comes to when it is rated and judged again, and what of it is charged otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing_mcp.domain.clock import iso
from billing_mcp.domain.conversations import IN_WORDS, WINDOW, Place, ThreadEvent, ThreadState, judged
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.ledger import LineItem
from billing_mcp.domain.messages import Charge, Message
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.pricing import PriceBook, Unit
from billing_mcp.domain.rating import rate
from billing_mcp.domain.sending import facts_of

_CONVERSATIONS: tuple[Unit, ...] = ("a2p_conversation", "p2a_conversation")


@dataclass(frozen=True, slots=True)
class Again:
    """A message, rated and judged again."""

    stored: Message
    message: Message
    """The stored one at the terms that the catalog gives."""
    why: str
    unpriced: str | None
    """Why the catalog could not be asked: then the prices that the message was accepted with stand in for it."""
    place: Place | None
    """What it is charged as by the events of its thread; None before it is delivered."""
    window: tuple[datetime, datetime] | None
    """The conversation that it belongs to."""

    @property
    def due(self) -> Charge:
        """What it is charged as by now."""
        if self.place is None:
            return Charge(self.message.rule_id, self.message.unit, 0, self.message.unit_price_micros)
        return self.message.charge_at(self.place)

    @property
    def held_micros(self) -> int:
        """What was to be held for it when it was accepted."""
        return self.message.amount_micros + self.stored.mau_micros

    @property
    def problems(self) -> list[str]:
        """What of it is stored otherwise."""
        found = []
        if self.stored.charged_micros != self.due.amount_micros:
            charged, due = format_micros(self.stored.charged_micros), format_micros(self.due.amount_micros)
            found.append(f"the message is charged {charged} in all, and {due} is due")
        if self.stored.place != self.place:
            found.append(f"the message is charged as {self.stored.place}, and is {self.place} by its events")
        return found

    @property
    def steps(self) -> list[str]:
        """What became of the message, and what it is charged as, in sentences."""
        m = self.stored
        of = f", reference {m.reference!r}" if m.reference else ""
        what = m.channel if m.channel == m.message_type else f"{m.channel} {m.message_type}"
        steps = [f"Message {m.message_id}{of}: {what} to {m.market}, {_fate(m)}."]
        steps.append(f"Rule {self.message.rule_id}: {self.why}.")
        if m.segments is not None:
            steps.append(f"The provider counted {m.segments} segments: rule sms.provider_count takes its count.")
        if self.place is not None and self.place in IN_WORDS:
            steps.append(f"Rule {self.due.rule_id}: {IN_WORDS[self.place]}{_shown(self.window)}.")
        price = format_micros(self.due.unit_price_micros)
        terms = f"Catalog version {m.catalog_version}, tier {m.tier}, market {m.market}"
        steps.append(f"{terms}: {price} for each {self.due.unit}.")
        return [*steps, self.unpriced] if self.unpriced else steps

    def line(self, line: LineItem, *, reversed_: bool) -> tuple[int, str]:
        """What a line of the message comes to, and how: one step on the way to what is due."""
        unit = next((each for each in (*_CONVERSATIONS, self.message.unit) if each == line.unit), None)
        if unit is None:
            return 0, f"the message is never charged by {line.unit}"
        prices = {"a2p_conversation": self.message.a2p_micros, "p2a_conversation": self.message.p2a_micros}
        price = prices.get(unit, self.message.unit_price_micros) or 0
        told = line.quantity.removeprefix("-")
        possible = self._quantities(unit)
        quantity = next((each for each in possible if str(each) == told), possible[0])
        quantity = -quantity if reversed_ else quantity
        amount = quantity * price
        return amount, f"{quantity} {unit} x {format_micros(price)} = {format_micros(amount)}"

    def _quantities(self, unit: Unit) -> Sequence[int]:
        """How many of a unit one step can charge or take back, all of it first."""
        counted, own = self.message.segments, self.message.quantity
        if unit in _CONVERSATIONS:
            return (1,)
        if self.message.channel == "email":  # each recipient's receipt comes for itself
            return range(own, 0, -1)
        return (own,) if counted is None else (counted, own, abs(counted - own))


def again(message: Message, book: PriceBook, thread: Sequence[ThreadEvent]) -> Again:
    """The message rated again by its catalog version and tier, and judged again among all events of its thread."""
    terms, why, unpriced = _terms(message, book)
    place: Place | None = None if message.delivered_at is None else "alone"
    window = None
    if message.thread is not None and message.delivered_at is not None:
        told, places = judged(ThreadState(), thread)
        place = places.get(message.message_id)
        window = _window(message.message_id, place, told)
    return Again(message, terms, why, unpriced, place, window)


def _terms(message: Message, book: PriceBook) -> tuple[Message, str, str | None]:
    version = book.version_named(message.catalog_version)
    own = "as it was accepted"
    if version is None:
        gone = f"The catalog has no version {message.catalog_version} any more"
        return message, own, f"{gone}: the prices stored with the message stand in for it."
    market = message.market
    try:
        tier = book.tier_named(message.channel, message.tier)
        rated = rate(version, facts_of(message), market=market, tier=tier)
        a2p, p2a = [
            None if message.thread is None else version.price_micros(message.channel, unit, market, tier)
            for unit in _CONVERSATIONS
        ]
    except InvalidArgument as error:
        return message, own, f"Now {error.message}: the prices stored with the message stand in for it."
    terms = message._replace(
        rule_id=rated.rule_id,
        unit=rated.unit,
        quantity=rated.quantity,
        unit_price_micros=rated.unit_price_micros,
        a2p_micros=a2p,
        p2a_micros=p2a,
    )
    return terms, rated.why, None


def _window(message_id: str, place: Place | None, told: Sequence[ThreadEvent]) -> tuple[datetime, datetime] | None:
    """The window of the conversation that a message is in."""
    if place in (None, "alone"):
        return None
    since = next(number for number, event in enumerate(told) if event.outbound and event.event_id == message_id)
    until = next((each.after.open_until for each in told[since:] if each.after.open_until is not None), None)
    return None if until is None else (until - WINDOW, until)


def _fate(message: Message) -> str:
    accepted = f"accepted at {iso(message.created_at)}"
    if message.delivered_at is not None:
        some = f" to {message.delivered} of {len(message.recipients)}" if len(message.recipients) > 1 else ""
        return f"{accepted}, delivered{some} at {iso(message.delivered_at)}"
    return f"{accepted}, {'failed' if message.is_settled else 'waiting for its receipt'}"


def _shown(window: tuple[datetime, datetime] | None) -> str:
    return "" if window is None else f", from {iso(window[0])} until {iso(window[1])}"
