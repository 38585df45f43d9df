"""Owns rating: what a message counts as, how many of it, and at which price. A pure function of the price book.

The rules, where they come from, and their examples are in docs/rating.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from billing_mcp.domain.pricing import Channel, PriceVersion, Unit

MessageType = Literal["email", "text", "rich_card", "carousel", "media"]
SmsEncoding = Literal["gsm7", "ucs2", "given"]
Suggestion = Literal[
    "reply", "dial", "open_url", "open_url_webview", "view_location", "share_location", "create_calendar_event"
]


@dataclass(frozen=True, slots=True)
class EmailFacts:
    """An email: how many it goes to, all of To, Cc and Bcc."""

    recipients: int

    channel: Channel = "email"
    message_type: MessageType = "email"


@dataclass(frozen=True, slots=True)
class SmsFacts:
    """A text message in parts: counted by us in an encoding, or `given` by the platform or its provider."""

    encoding: SmsEncoding
    segments: int

    channel: Channel = "sms"
    message_type: MessageType = "text"


@dataclass(frozen=True, slots=True)
class RcsFacts:
    """An RCS message: what it is, its text in bytes of UTF-8, and what it suggests to tap."""

    message_type: MessageType
    text_bytes: int = 0
    suggestions: tuple[str, ...] = ()
    conversational: bool = False
    """Whether its agent is a conversational one."""

    channel: Channel = "rcs"


Facts = EmailFacts | SmsFacts | RcsFacts


@dataclass(frozen=True, slots=True)
class Rated:
    """What a message counts as by itself: `quantity` of a unit, each at a price. `why` is the rule in words."""

    rule_id: str
    unit: Unit
    quantity: int
    unit_price_micros: int
    why: str

    @property
    def amount_micros(self) -> int:
        """What all of it costs."""
        return self.quantity * self.unit_price_micros


def rate(version: PriceVersion, facts: Facts, *, market: str, tier: int) -> Rated:
    """What a message counts as by itself, outside any conversation.

    Raises InvalidArgument with code `not_priced` where the catalog sells no such thing.
    """
    rule_id, unit, quantity, why = count(version, facts, market=market)
    return Rated(rule_id, unit, quantity, version.price_micros(facts.channel, unit, market, tier), why)


def count(version: PriceVersion, facts: Facts, *, market: str) -> tuple[str, Unit, int, str]:
    """The rule, the unit, how many, and why."""
    if isinstance(facts, EmailFacts):
        return "email.basic", "basic", facts.recipients, "one Basic Message for each recipient in To, Cc and Bcc"
    if isinstance(facts, SmsFacts):
        return f"sms.{facts.encoding}", "segment", facts.segments, _SMS_WHY[facts.encoding]
    region = version.region(market)
    text_alone = facts.message_type == "text"
    if region.rule == "us":
        if text_alone and region.rich_suggestions.issuperset(facts.suggestions):
            parts = max(1, -(-facts.text_bytes // region.segment_bytes))
            return "rcs.us.rich", "rich", parts, f"text, one Rich for each {region.segment_bytes} bytes of UTF-8"
        return "rcs.us.rich_media", "rich_media", 1, "more than text: one Rich Media, whatever its size"
    if text_alone and not facts.suggestions and facts.text_bytes <= region.basic_max_bytes:
        why = f"text alone of at most {region.basic_max_bytes} bytes of UTF-8, without suggestions: one Basic"
        return "rcs.standard.basic", "basic", 1, why
    return "rcs.standard.single", "single", 1, "richer or longer than Basic: one Single, whatever its size"


_SMS_WHY: Mapping[SmsEncoding, str] = {
    "gsm7": "GSM-7: 160 septets in one part, else 153 in each",
    "ucs2": "UCS-2: 70 UTF-16 units in one part, else 67 in each",
    "given": "as many parts as were reported",
}
