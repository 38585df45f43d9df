"""Owns what the platform's requests about messages give, and what their answers show."""

from __future__ import annotations

from typing import Annotated, Literal, Union

from pydantic import ConfigDict, Field, JsonValue

from billing_mcp.domain.conversations import InboundKind
from billing_mcp.domain.messages import DeliveryStatus, MessageStatus
from billing_mcp.domain.pricing import Channel, Unit
from billing_mcp.domain.rating import MessageType, Suggestion
from billing_mcp.faces.platform.fields import (
    EXAMPLE_ID,
    Asked,
    Currency,
    DecimalText,
    Given,
    Moment,
    Name,
    Number,
    Shown,
    ShownMoment,
    Uuid,
    whole,
)
from billing_mcp.faces.platform.models import MAX_ITEMS, Counts, Problem
from billing_mcp.operations.drafts import MAX_RECIPIENTS, MAX_SEGMENTS, MAX_SENDER_CHARS, MAX_TEXT_BYTES
from billing_mcp.operations.platform_holds import MAX_REFERENCE_CHARS
from billing_mcp.operations.platform_messages import MAX_EVENT_ID_CHARS

_MAX_ADDRESS_CHARS = 300
"""As it is written, with its spaces and brackets."""
_MAX_TEXT_CHARS = 1_000_000
_MAX_SUGGESTIONS = 11
"""RCS Universal Profile 2.4: no message has more."""

# What characters there may be is checked with the rest of the message, once: a thousand of them come at a time.
_Address = Annotated[str, Field(min_length=1, max_length=_MAX_ADDRESS_CHARS)]
Addresses = Annotated[list[_Address], Field(max_length=MAX_RECIPIENTS)]
One = Annotated[
    list[_Address],
    Field(min_length=1, max_length=1, description="The phone number that it goes to.", examples=[["+4915112345678"]]),
]
Market = Annotated[
    str,
    Field(pattern=r"^([A-Z]{2}|\*)$", description="The recipient's country (ISO 3166), or `*`.", examples=["DE"]),
]
Sender = Annotated[
    str, Field(max_length=MAX_SENDER_CHARS, description="The agent, the number or the address that it is sent from.")
]
MessageReference = Annotated[
    str,
    Field(
        max_length=MAX_REFERENCE_CHARS,
        description="What you call it, for good: no personal data.",
        examples=["msg_01h455vb4pex5vsknk084sn02q"],
    ),
]
Text = Annotated[
    str, Field(max_length=_MAX_TEXT_CHARS, description="It is counted, and not kept.", examples=["Your parcel is here"])
]
Segments = Annotated[int, Field(ge=1, le=MAX_SEGMENTS, examples=[2]), whole()]
TextBytes = Annotated[int, Field(ge=0, le=MAX_TEXT_BYTES, description="The text's bytes in UTF-8."), whole()]


class Email(Given):
    """An email: one Basic Message for each recipient."""

    channel: Literal["email"]
    to: Annotated[Addresses, Field(examples=[["ada@example.com"]])]
    cc: Addresses = Field([])
    bcc: Addresses = Field([])
    sender: Sender = ""
    reference: MessageReference = ""


class Sms(Given):
    """A text message: its text, of which the parts are counted, or how many parts it has."""

    channel: Literal["sms"]
    to: One
    market: Market
    text: Text | None = None
    segments: Segments | None = None
    sender: Sender = ""
    reference: MessageReference = ""


class Rcs(Given):
    """An RCS message. One of type text needs its text, or how many bytes that has."""

    channel: Literal["rcs"]
    to: One
    market: Market
    type: Literal["text", "rich_card", "carousel", "media"] = "text"
    text: Text | None = None
    text_bytes: TextBytes | None = None
    suggestions: list[Suggestion] = Field([], max_length=_MAX_SUGGESTIONS, description="What can be tapped.")
    sender: Sender = ""
    conversational: Annotated[
        bool, Field(description="Whether its agent is a conversational one: then conversations are formed.")
    ] = False
    reference: MessageReference = ""


class OfAccount(Given):
    """Whose it is."""

    account_id: Uuid


class _Single(OfAccount):
    campaign_id: Annotated[
        Uuid | None, Field(description="The campaign that it is part of: one that a batch has begun.")
    ] = None


class NewEmail(_Single, Email):
    """An email to send."""


class NewSms(_Single, Sms):
    """A text message to send."""


class NewRcs(_Single, Rcs):
    """An RCS message to send."""


# `Union` names it for the framework, which reads it from the handler's signature.
NewMessage = Annotated[Union[NewEmail, NewSms, NewRcs], Field(discriminator="channel")]  # noqa: UP007
Content = Annotated[Email | Sms | Rcs, Field(discriminator="channel")]

_MESSAGES: list[JsonValue] = [
    {"channel": "sms", "to": ["+4915112345678"], "market": "DE", "text": "Your parcel is here", "reference": "msg_1"},
    {"channel": "email", "to": ["ada@example.com"], "reference": "msg_2"},
]


class NewBatch(OfAccount):
    """Messages of one account, which are a campaign together."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"account_id": EXAMPLE_ID, "messages": _MESSAGES}]})

    mode: Annotated[
        Literal["each", "all_or_nothing"],
        Field(description="Whether each message is accepted for itself, or all of them or none."),
    ] = "each"
    campaign_id: Annotated[
        Uuid | None, Field(description="The campaign that they belong to, which may have begun. Default: a new one.")
    ] = None
    name: Annotated[Name | None, Field(description="What people call the campaign, if it is new.")] = None
    messages: Annotated[list[Content], Field(min_length=1, max_length=MAX_ITEMS)]


class MessageHold(Shown):
    """What is held for a message."""

    hold_id: Uuid
    amount: DecimalText
    expires_at: ShownMoment


class MessageBilling(Shown):
    """What a message was accepted at. Price and tier are fixed by it."""

    unit: Unit
    quantity: int
    unit_price: DecimalText
    tier: str
    market: str
    amount: Annotated[DecimalText, Field(description="What it costs, if it is delivered and nothing more is known.")]
    currency: Currency
    hold: MessageHold | None
    active_user: Annotated[
        DecimalText | None, Field(description="What of the hold is for a recipient who is new in this month.")
    ]
    free: Annotated[Number, Field(description="What could be spent after it: an exact number.")]
    rule_id: str
    catalog_version: str


class _Named(Shown):
    account_id: Uuid
    message_id: Uuid
    campaign_id: Uuid | None
    channel: Channel
    message_type: MessageType
    market: str
    sender: str
    reference: str
    recipients: int
    created_at: ShownMoment


class SentMessage(_Named):
    """A message as it was accepted, and what it costs."""

    status: Literal["accepted"]
    billing: MessageBilling


class AcceptedAt(Shown):
    """What a message was accepted at."""

    rule_id: str
    unit: Unit
    quantity: int
    unit_price: DecimalText
    amount: DecimalText
    tier: str
    catalog_version: str


class ChargedAs(Shown):
    """What a message is charged as, as far as is known of it now."""

    rule_id: str
    unit: Unit
    quantity: int
    amount: DecimalText


class MessageShown(_Named):
    """A message as it is now. `delivered` and `failed` count its recipients."""

    status: MessageStatus
    delivered: int
    failed: int
    delivered_at: ShownMoment | None
    segments: Annotated[int | None, Field(description="What the provider counted.")]
    hold_id: Uuid | None
    currency: Currency
    accepted: AcceptedAt
    charged: Annotated[ChargedAs | None, Field(description="Null as long as nobody has it.")]


class MessagesShown(Shown):
    """Some messages. `next_cursor` leads to more, null where there are none."""

    items: list[MessageShown]
    next_cursor: str | None


class SentItem(Shown):
    """What became of one message: `message` where it was accepted, `error` where it was refused."""

    index: int
    status: Annotated[int, Field(description="The HTTP status that it would have had alone.")]
    replayed: Annotated[bool, Field(description="Whether it was accepted before, under the same key.")] = False
    message: SentMessage | None = None
    error: Problem | None = None


class SentBatch(Shown):
    """What became of each message, in order, and the campaign that they are."""

    account_id: Uuid
    campaign_id: Uuid
    items: list[SentItem]
    counts: Counts


class ProviderConversation(Given):
    """The conversation that the provider counts a message into."""

    type: Literal["a2p", "p2a"]
    started_at: Annotated[Moment, Field(description="When it started.")]


class NewReceipt(OfAccount):
    """What became of a message, for one recipient, or for all of whom nothing is known yet."""

    status: DeliveryStatus
    occurred_at: Annotated[Moment | None, Field(description="When, by the provider's clock. Default: now.")] = None
    recipient: Annotated[_Address | None, Field(description="As it was sent to. Default: all.")] = None
    segments: Annotated[Segments | None, Field(description="The provider's count of a text message's parts.")] = None
    conversation: ProviderConversation | None = None


class ReceiptItem(NewReceipt):
    """What became of the message of this id."""

    message_id: Uuid


class NewReceipts(Given):
    """Receipts of messages of any accounts, each for itself."""

    items: Annotated[list[ReceiptItem], Field(min_length=1, max_length=MAX_ITEMS)]


class _Booked(Shown):
    transaction_ids: Annotated[list[Uuid], Field(description="What it posted in the ledger; nothing the second time.")]
    free: Annotated[Number, Field(description="What can be spent now: an exact number.")]
    reserved: Annotated[Number, Field(description="What open holds have set aside: an exact number.")]


class ToldMessage(MessageShown, _Booked):
    """A message as a receipt left it, what that posted, and what the wallet has."""


class ReceiptOutcome(Shown):
    """What became of one receipt: `message` as it is now, or `error` where it was refused."""

    index: int
    status: Annotated[int, Field(description="The HTTP status that it would have had alone.")]
    message: ToldMessage | None = None
    error: Problem | None = None


class ReceiptCounts(Shown):
    """How many receipts were taken in, be they new or not, and how many were refused."""

    done: int
    refused: int


class ReceiptOutcomes(Shown):
    """What became of each receipt, in order."""

    items: list[ReceiptOutcome]
    counts: ReceiptCounts


class NewInbound(OfAccount):
    """What a user wrote to a conversational agent, or tapped."""

    sender: Annotated[Sender, Field(description="The agent, as its messages name it.", examples=["northwind"])]
    user: Annotated[_Address, Field(description="The user's phone number.", examples=["+4915112345678"])]
    event_id: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_EVENT_ID_CHARS,
            description="The provider's own id of it: the same event counts once.",
            examples=["evt_81c7"],
        ),
    ]
    kind: InboundKind
    occurred_at: Annotated[
        Moment, Field(description="When, by the provider's clock: the same moment each time it is told.")
    ]


class Inbound(_Booked):
    """That it was heard, what it posted, and what the wallet has."""

    account_id: Uuid
    event_id: str


class AccountAsked(Asked):
    """Whose it is."""

    account_id: Uuid
