"""Owns drafts: messages as the platform describes them, with just what rating needs to know."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.pricing import ANYWHERE, Channel
from billing_mcp.domain.rating import EmailFacts, Facts, MessageType, RcsFacts, SmsFacts, Suggestion
from billing_mcp.operations.recipients import normalised
from billing_mcp.operations.sms_parts import sms_facts

MAX_RECIPIENTS = 1000
MAX_SEGMENTS = 255
"""3GPP TS 23.040, 9.2.3.24.1: the number of parts is one octet."""
MAX_TEXT_BYTES = 1_000_000
MAX_SENDER_CHARS = 100
_MARKET = re.compile("[A-Z]{2}")
_SUGGESTIONS = frozenset(get_args(Suggestion))


@dataclass(frozen=True, slots=True)
class Draft:
    """A message before it is rated.

    An email goes to all of `to`, `cc` and `bcc`; any other message to the one in `to`. A text message needs its
    `text` or its `segments`; an RCS message of type "text" its `text` or the `text_bytes` of it in UTF-8.
    `market` is the country of the recipient (ISO 3166, two letters), or "*".
    """

    channel: Channel
    to: Sequence[str] = ()
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    market: str = ANYWHERE
    text: str | None = None
    segments: int | None = None
    type: MessageType = "text"
    text_bytes: int | None = None
    suggestions: Sequence[str] = ()
    sender: str = ""
    conversational: bool = False
    reference: str = ""
    campaign_id: str | None = None


def addresses(draft: Draft) -> list[str]:
    """Who it goes to, in the one way that addresses are written. Raises InvalidArgument."""
    named = [("to", each) for each in draft.to] + [("cc", each) for each in draft.cc]
    named += [("bcc", each) for each in draft.bcc]
    found = [normalised(draft.channel, each, field=field) for field, each in named]
    if len(found) != 1 and draft.channel != "email":
        raise InvalidArgument(
            f"a message by {draft.channel} goes to one recipient; got {len(found)}",
            field="to",
            hint="Send a batch to reach more of them.",
        )
    if not 1 <= len(found) <= MAX_RECIPIENTS:
        raise InvalidArgument(f"a message goes to 1 to {MAX_RECIPIENTS} recipients; got {len(found)}", field="to")
    if len(set(found)) < len(found):
        twice = next(name for place, (name, _) in enumerate(named) if found[place] in found[:place])
        raise InvalidArgument(
            f"{twice}: a recipient is named twice", field=twice, hint="Name each of To, Cc and Bcc once."
        )
    return found


def facts_of(draft: Draft, *, recipients: int) -> Facts:
    """What rating needs to know of it. Raises InvalidArgument."""
    if not _MARKET.fullmatch(draft.market) and draft.market != ANYWHERE:
        raise InvalidArgument(
            f"market must be a country's two letters (ISO 3166) or '*'; got {ascii(draft.market)[:20]}",
            field="market",
            hint="Write it as 'DE'.",
        )
    if draft.channel == "email":
        return EmailFacts(recipients)
    if draft.channel == "sms":
        return _sms(draft)
    return _rcs(draft)


def check_sender(sender: str) -> None:
    """Raise InvalidArgument for a sender that is too long, or cannot be printed."""
    if len(sender) > MAX_SENDER_CHARS or not sender.isprintable():
        raise InvalidArgument(
            f"a sender is printable text of at most {MAX_SENDER_CHARS} characters; got {ascii(sender)[:80]}",
            field="sender",
            hint="Name the agent, the number or the address that it is sent from.",
        )


def _sms(draft: Draft) -> SmsFacts:
    if (draft.text is None) == (draft.segments is None):
        raise InvalidArgument(
            "a text message needs its text or its segments, one of them",
            field="text",
            hint="Give the text and we count its parts, or give the number of parts.",
        )
    if draft.text is not None:
        return sms_facts(draft.text)
    segments = draft.segments or 0
    if not 1 <= segments <= MAX_SEGMENTS:
        raise InvalidArgument(f"segments must be 1 to {MAX_SEGMENTS}; got {segments}", field="segments")
    return SmsFacts("given", segments)


def _rcs(draft: Draft) -> RcsFacts:
    unknown = [each for each in draft.suggestions if each not in _SUGGESTIONS]
    if unknown:
        raise InvalidArgument(
            f"suggestions: {ascii(unknown[0])[:40]} is none",
            field="suggestions",
            hint=f"They are {', '.join(get_args(Suggestion))}.",
        )
    if draft.type == "email":
        raise InvalidArgument("type of an RCS message is not 'email'", field="type", hint="Write type='text'.")
    if draft.type == "text" and (draft.text is None) == (draft.text_bytes is None):
        raise InvalidArgument(
            "an RCS message of type 'text' needs its text or its text_bytes, one of them",
            field="text",
            hint="Give the text and we count its bytes, or give the bytes of it in UTF-8.",
        )
    count = draft.text_bytes or 0 if draft.text is None else len(draft.text.encode("utf-8", "surrogatepass"))
    if not 0 <= count <= MAX_TEXT_BYTES:
        raise InvalidArgument(f"text_bytes must be 0 to {MAX_TEXT_BYTES}; got {count}", field="text_bytes")
    return RcsFacts(draft.type, count, tuple(sorted(draft.suggestions)), draft.conversational)
