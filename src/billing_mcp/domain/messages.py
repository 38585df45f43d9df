"""Owns messages: what one is, what it was accepted at, and what it is charged as it stands now.

The price and the tier of a message are fixed when it is accepted. What it is charged as can change later: the
provider counts more parts, a conversation forms, a receipt comes late. `message_actions.py` decides what happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from billing_mcp.domain.conversations import InboundKind, Place
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.pricing import Channel, PriceBook, Unit
from billing_mcp.domain.rating import Facts

MessageStatus = Literal["accepted", "paused", "delivered", "failed"]
CampaignStatus = Literal["running", "paused"]
DeliveryStatus = Literal["delivered", "failed"]

WAITING, DELIVERED, FAILED = "a", "d", "f"
"""What became of a recipient, one character for each in `outcomes`."""

ACCEPTED_EVENT = "billing.message.accepted"
"""What tells the platform that a message is to be delivered. It has the message's own id."""

HOLD_LIFE = timedelta(days=7)
"""How long money waits for a receipt. A receipt that comes later is charged all the same."""

_CONVERSATION_RULES: Mapping[Place, str] = {
    "covered": "rcs.standard.covered",
    "a2p_conversation": "rcs.standard.a2p_conversation",
    "p2a_conversation": "rcs.standard.p2a_conversation",
}


@dataclass(frozen=True, slots=True)
class Charge:
    """What a message is charged as: so many of a unit, each at a price."""

    rule_id: str
    unit: Unit
    quantity: int
    unit_price_micros: int

    @property
    def amount_micros(self) -> int:
        """What all of it costs."""
        return self.quantity * self.unit_price_micros

    @property
    def arithmetic(self) -> str:
        """What it comes to, as people write it."""
        price, amount = format_micros(self.unit_price_micros), format_micros(self.amount_micros)
        return f"{self.quantity} {self.unit} x {price} = {amount}"


class Message(NamedTuple):
    """A message that was accepted. Recipients are keyed hashes, and `thread` one of its sender and recipient.

    A tuple, as there are many and each has much: it is made in a third of the time.
    """

    account_id: str
    message_id: str
    campaign_id: str | None
    reference: str
    channel: Channel
    message_type: str
    sender: str
    market: str
    thread: str | None
    facts: Mapping[str, str | int]
    recipients: tuple[str, ...]
    catalog_version: str
    tier: str
    rule_id: str
    unit: Unit
    quantity: int
    unit_price_micros: int
    a2p_micros: int | None
    p2a_micros: int | None
    expected: Place
    """What it was likely to be charged as, when it was accepted."""
    mau_micros: int
    """What was held in case that it makes its recipient an active user."""
    hold_id: str | None
    created_at: datetime
    status: MessageStatus
    outcomes: str
    delivered_at: datetime | None = None
    segments: int | None = None
    """What the provider counted."""
    place: Place | None = None
    """What it is charged as, once it was delivered."""
    charged_unit: Unit | None = None
    charged_quantity: int = 0
    charged_micros: int = 0

    @property
    def billing(self) -> Charge:
        """What it was accepted at, whatever its provider has counted since."""
        return self._charge(self.expected, self.quantity, self.rule_id)

    @property
    def amount_micros(self) -> int:
        """The price it was accepted at."""
        return self.billing.amount_micros

    @property
    def hold_micros(self) -> int:
        """What was held for it; nothing while it is held back."""
        return 0 if self.hold_id is None else self.amount_micros + self.mau_micros

    @property
    def delivered(self) -> int:
        """How many recipients it has reached."""
        return self.outcomes.count(DELIVERED)

    @property
    def failed(self) -> int:
        """How many recipients it will not reach."""
        return self.outcomes.count(FAILED)

    @property
    def is_settled(self) -> bool:
        """Whether it is known of every recipient."""
        return WAITING not in self.outcomes

    def charge_at(self, place: Place) -> Charge:
        """What it is charged as at a place: for those whom it has reached, by the provider's count if there is one."""
        each = self.segments or self.quantity // len(self.recipients)
        counted = self.rule_id if self.segments is None else "sms.provider_count"
        return self._charge(place, each * self.delivered, counted)

    def _charge(self, place: Place, quantity: int, by_itself: str) -> Charge:
        rule = _CONVERSATION_RULES.get(place, by_itself)
        if place == "a2p_conversation":
            return Charge(rule, "a2p_conversation", 1, self.a2p_micros or 0)
        if place == "p2a_conversation":
            return Charge(rule, "p2a_conversation", 1, self.p2a_micros or 0)
        if place == "covered":
            return Charge(rule, self.unit, 0, 0)
        return Charge(rule, self.unit, quantity, self.unit_price_micros)


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Accept a message: rate it, hold its price, store it. `recipients` and `thread` are keyed hashes."""

    message_id: str
    book: PriceBook
    facts: Facts
    market: str
    recipients: tuple[str, ...]
    sender: str = ""
    thread: str | None = None
    reference: str = ""
    campaign_id: str | None = None


@dataclass(frozen=True, slots=True)
class ReportDelivery:
    """What became of a message, for one recipient or for all of them: delivered outranks failed.

    `segments` is the provider's count of parts. `conversation` is when a conversation started that the provider
    counts the message into, and which kind it was.
    """

    message_id: str
    book: PriceBook
    status: DeliveryStatus
    occurred_at: datetime
    recipient: str | None = None
    segments: int | None = None
    conversation: tuple[Literal["a2p", "p2a"], datetime] | None = None


@dataclass(frozen=True, slots=True)
class ReportInbound:
    """Something that a user wrote to a conversational agent, or tapped."""

    thread: str
    book: PriceBook
    event_id: str
    kind: InboundKind
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class PauseMessage:
    """Hold back a message that has not left, and give back what was held for it."""

    message_id: str


@dataclass(frozen=True, slots=True)
class ResumeMessage:
    """Accept a message again that was held back, at the prices of now."""

    message_id: str
    book: PriceBook


MessageAction = SendMessage | ReportDelivery | ReportInbound | PauseMessage | ResumeMessage
