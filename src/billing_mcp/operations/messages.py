"""billing.messages.*: what a message would cost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from billing_mcp.domain import sending
from billing_mcp.domain.conversations import IN_WORDS, Place
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.messages import SendMessage
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.pricing import ANYWHERE, Channel, Unit
from billing_mcp.domain.rating import Suggestion
from billing_mcp.domain.sending import Quote
from billing_mcp.domain.tiers import TierSource
from billing_mcp.kernel.arguments import AccountId, Takes
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource
from billing_mcp.operations.drafts import (
    MAX_RECIPIENTS,
    MAX_SEGMENTS,
    MAX_SENDER_CHARS,
    MAX_TEXT_BYTES,
    Draft,
    check_sender,
    facts_of,
)
from billing_mcp.operations.recipients import MAX_ADDRESS_CHARS, normalised, recipient_hash
from billing_mcp.operations.traffic import scene_of

MESSAGES = Resource("messages", doc="What a message would cost.")

NOBODY = "nobody"
"""Stands for a recipient who is not named, and for what was written with them: no hash is so short."""

Market = Annotated[
    str, Field(pattern=r"^([A-Z]{2}|\*)$"), Takes("a country's two letters (ISO 3166), or '*'", ("'DE'",))
]
Text = Annotated[str, Field(max_length=100_000), Takes("the message's text", ("'Your code is 1234'",))]
Segments = Annotated[int, Field(ge=1, le=MAX_SEGMENTS), Takes(f"a whole number from 1 to {MAX_SEGMENTS}", ("2",))]
Recipients = Annotated[int, Field(ge=1, le=MAX_RECIPIENTS), Takes(f"a whole number from 1 to {MAX_RECIPIENTS}", ("3",))]
TextBytes = Annotated[
    int, Field(ge=0, le=MAX_TEXT_BYTES), Takes(f"a whole number from 0 to {MAX_TEXT_BYTES}", ("120",))
]
Sender = Annotated[
    str, Field(max_length=MAX_SENDER_CHARS), Takes("the agent, number or address it is sent from", ("'agent-1'",))
]
Recipient = Annotated[
    str,
    Field(min_length=1, max_length=MAX_ADDRESS_CHARS),
    Takes("an email address or a phone number", ("'+4915112345678'", "'ada@example.com'")),
]


class MessageQuote(TypedDict):
    """What a message would be accepted at now: `quantity` of a unit, each at a price, at a tier in a market.

    `hold` is what would be held: the amount, and `active_user` for a recipient who may be new this month.
    `covered` says whether `free` covers it. `expected` is the place in a conversation that it would likely take:
    "covered" by one costs nothing. `why` is the rule in words, and the arithmetic.
    """

    amount: str
    free: str
    covered: bool
    unit: Unit
    quantity: int
    unit_price: str
    currency: str
    channel: Channel
    tier: str
    tier_source: TierSource
    market: str
    active_user: str
    hold: str
    expected: Place
    rule_id: str
    catalog_version: str
    why: str


@MESSAGES.operation(requires=Permission.VIEW, route="POST /messages/quote", own_route="POST /messages/quote")
async def quote(
    ctx: Context,
    *,
    account_id: AccountId,
    channel: Channel,
    market: Market = ANYWHERE,
    text: Text | None = None,
    segments: Segments | None = None,
    recipients: Recipients = 1,
    type: Literal["text", "rich_card", "carousel", "media"] = "text",  # noqa: A002 - as the platform names it
    text_bytes: TextBytes | None = None,
    suggestions: list[Suggestion] | None = None,
    conversational: bool = False,
    sender: Sender | None = None,
    recipient: Recipient | None = None,
) -> MessageQuote:
    """What sending a message would cost now, by the very rules that accept it. Nothing is sent or held.

    email: `recipients`, all of To, Cc and Bcc. sms: `text` or `segments`. rcs: `type`, `text` or `text_bytes`,
    `suggestions`; with `conversational=True`, `sender` and `recipient` it looks into their conversation. Without
    a `recipient` it is one who was not active this month yet.
    Errors: invalid_argument, not_priced, not_found.
    """
    draft = Draft(
        channel=channel,
        market=market,
        text=text,
        segments=segments,
        type=type,
        text_bytes=text_bytes,
        suggestions=suggestions or (),
        conversational=conversational,
        sender=sender or "",
    )
    account = await ctx.tx.states.get(account_id)
    action = await _action(ctx, account_id, draft, recipients, recipient)
    scene = await scene_of(ctx, account, action)
    return _told(sending.quote(scene, action, now=ctx.now), scene.wallet.available_micros, scene.wallet.currency)


async def _action(ctx: Context, account_id: str, draft: Draft, recipients: int, recipient: str | None) -> SendMessage:
    """What sending the draft would carry out. Raises InvalidArgument."""
    check_sender(draft.sender)
    if recipients != 1 and (draft.channel != "email" or recipient is not None):
        raise InvalidArgument(
            f"recipients is 1 but for an email to several; got {recipients}",
            field="recipients",
            hint="Leave recipient out to count several of an email, and quote any other message for each recipient.",
        )
    who, thread = tuple(f"{NOBODY}{number}" for number in range(recipients)), NOBODY
    if recipient is not None:
        hashes = await recipient_hash(ctx.tx)
        address = normalised(draft.channel, recipient, field="recipient")
        who = (hashes.recipient(account_id, draft.channel, address),)
        thread = hashes.thread(account_id, draft.sender, address)
    return SendMessage(
        message_id="",
        book=ctx.catalog.book,
        facts=facts_of(draft, recipients=recipients),
        market=draft.market,
        recipients=who,
        sender=draft.sender,
        thread=thread if draft.conversational else None,
    )


def _told(found: Quote, available_micros: int, currency: str) -> MessageQuote:
    message, charge = found.message, found.message.billing
    held = charge.amount_micros + message.mau_micros
    return {
        "channel": message.channel,
        "unit": charge.unit,
        "quantity": charge.quantity,
        "unit_price": format_micros(charge.unit_price_micros),
        "tier": message.tier,
        "tier_source": found.standing.source,
        "market": message.market,
        "amount": format_micros(charge.amount_micros),
        "active_user": format_micros(message.mau_micros),
        "hold": format_micros(held),
        "currency": currency,
        "free": format_micros(available_micros),
        "covered": available_micros >= held,
        "expected": message.expected,
        "rule_id": charge.rule_id,
        "catalog_version": message.catalog_version,
        "why": f"{IN_WORDS.get(message.expected, found.why)}; {charge.arithmetic} {currency}",
    }
