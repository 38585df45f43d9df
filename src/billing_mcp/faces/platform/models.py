"""Owns what the platform's requests give, and what their answers show."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue

from billing_mcp.domain.credits import DEFAULT_PRIORITY
from billing_mcp.domain.holds import HoldStatus
from billing_mcp.domain.plans import AccountStatus
from billing_mcp.domain.tax import Treatment
from billing_mcp.faces.platform import fields
from billing_mcp.faces.platform.fields import (
    EXAMPLE_ID,
    Amount,
    Asked,
    Currency,
    Day,
    DecimalText,
    Given,
    Key,
    Moment,
    MomentOrDay,
    Name,
    Number,
    Priority,
    Reason,
    Reference,
    Shown,
    ShownDay,
    ShownMoment,
    Uuid,
)
from billing_mcp.kernel.principal import Permission
from billing_mcp.operations.platform import ComponentType

MAX_ITEMS = 1000
_EXAMPLE: list[JsonValue] = [
    {"action": "place", "account_id": EXAMPLE_ID, "amount": "0.0065", "reference": "msg_01h455vb"},
    {"action": "capture", "account_id": EXAMPLE_ID, "hold_id": EXAMPLE_ID},
]
_MAX_ACCOUNTS = 100


class PageAsked(Asked):
    """Which part of a list."""

    cursor: Annotated[
        str | None, Field(pattern=r"^[0-9a-f-]{1,64}$", description="`next_cursor` of the answer before.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=100, description="How many at most.")] = 20
    order: Annotated[
        Literal["newest", "oldest"], Field(description="Which come first; the same on every page of a list.")
    ] = "newest"


class NewAccount(Given):
    """An account to open."""

    name: Annotated[Name, Field(description="What people call it.")]
    account_id: Annotated[Uuid | None, Field(description="Its id; by default a new one, in order of time.")] = None


class NewTax(Given):
    """Who an account is for VAT; what is not given is not known of it any more."""

    country: Annotated[
        fields.Country | None, Field(description="Where it is. Default: that of its VAT id, or else the seller's.")
    ] = None
    vat_id: Annotated[
        fields.VatId | None,
        Field(description="Of a business in the EU. Its check digits are checked; whether it is in force is not."),
    ] = None
    tax_exempt: Annotated[bool, Field(description="Whether no VAT is added, whatever else.")] = False


class AccountTax(Shown):
    """Who an account is for VAT, and what is added by that to what it pays today."""

    country: Annotated[str | None, Field(description="ISO 3166; null for that of the seller.", examples=["FR"])]
    vat_id: str | None
    tax_exempt: bool
    treatment: Treatment
    rate_percent: Annotated[DecimalText, Field(examples=["25.50"])]
    rate_country: Annotated[str, Field(description="Where the service is supplied, for VAT.", examples=["FR"])]
    on_100: Annotated[DecimalText, Field(description="What is added to a top-up of 100.00.", examples=["20.00"])]
    note: Annotated[str, Field(description="Why, for an invoice.")]


class Account(Shown):
    """A customer account, and what its wallet has."""

    account_id: Uuid
    name: str
    status: AccountStatus
    currency: Currency
    free: Annotated[Number, Field(description="What can be spent now: an exact number.")]
    reserved: Annotated[Number, Field(description="What open holds have set aside: an exact number.")]
    total: Annotated[Number, Field(description="Both together: an exact number.")]
    tax: AccountTax
    created_at: ShownMoment


class Accounts(Shown):
    """Some accounts. `next_cursor` leads to more, null where there are none."""

    items: list[Account]
    next_cursor: str | None


class Quantity(Given):
    """How many units there are, from a day on."""

    quantity: fields.Quantity
    effective_on: Annotated[
        Day | None, Field(description="The first day (UTC), not before the last settlement. Default: today.")
    ] = None


class Component(Shown):
    """How many units of what plans charge by an account has, from a day on until the next count."""

    component_type: ComponentType
    quantity: int
    effective_on: ShownDay


class Components(Shown):
    """Every count of an account, oldest first."""

    items: list[Component]


class NewCredit(Given):
    """Money of the platform's own that an account is given."""

    amount: Amount
    reason: Reason
    priority: Annotated[Priority, Field(description="Of several credits, that of the lowest is used first.")] = (
        DEFAULT_PRIORITY
    )
    expires_at: Annotated[
        MomentOrDay | None,
        Field(description="When what is left of it leaves the wallet; a day is its start in UTC. Default: never."),
    ] = None


class Credit(Shown):
    """A credit, and what the wallet had after it."""

    transaction_id: Annotated[Uuid, Field(description="Its `credit_id`, too.")]
    account_id: Uuid
    type: Literal["credit"]
    amount: DecimalText
    currency: Currency
    reason: str
    free: Number
    reserved: Number
    total: Number


class GivenCredit(Shown):
    """A credit, and what became of it: amount = used + expired + remaining."""

    credit_id: Annotated[Uuid, Field(description="That of the ledger transaction which gave it.")]
    amount: DecimalText
    used: DecimalText
    expired: Annotated[DecimalText, Field(description="What has left the wallet since its time is over.")]
    remaining: DecimalText
    currency: Currency
    priority: int
    expires_at: ShownMoment | None
    reason: str
    granted_at: ShownMoment


class GivenCredits(Shown):
    """Some credits. `next_cursor` leads to more, null where there are none."""

    items: list[GivenCredit]
    next_cursor: str | None


class NewHold(Given):
    """Money to set aside."""

    amount: Amount
    reference: Reference = ""
    expires_at: Annotated[
        Moment | None, Field(description="When it is given back; at most 366 days ahead. Default: in 7 days.")
    ] = None


class Capture(Given):
    """What of a hold is charged. More than remains is charged too: the excess comes from what is free."""

    amount: Annotated[Amount | None, Field(description="Default: all that remains.")] = None
    final: Annotated[bool, Field(description="Whether what remains after it is given back.")] = False


class HoldShown(Shown):
    """A hold as it is, and what the wallet has."""

    account_id: Uuid
    hold_id: Uuid
    reference: str
    status: HoldStatus
    currency: Currency
    amount: DecimalText
    captured: DecimalText
    released: DecimalText
    remaining: DecimalText
    created_at: ShownMoment
    expires_at: ShownMoment
    closed_at: ShownMoment | None
    free: Annotated[Number, Field(description="What can be spent: an exact number.")]
    reserved: Annotated[Number, Field(description="What open holds have set aside: an exact number.")]


class Hold(HoldShown):
    """A hold as a request left it, what the wallet had then, and the ledger transactions that did it."""

    transaction_ids: list[Uuid]


class _Item(Given):
    account_id: Uuid
    idempotency_key: Annotated[
        Key | None, Field(description="Its own key, as if it were sent alone. Default: one derived from the batch's.")
    ] = None


class PlaceItem(_Item, NewHold):
    """Place a hold."""

    action: Literal["place"]


class CaptureItem(_Item, Capture):
    """Capture a hold, or part of it."""

    action: Literal["capture"]
    hold_id: Uuid


class ReleaseItem(_Item):
    """Release a hold."""

    action: Literal["release"]
    hold_id: Uuid


class Batch(Given):
    """Holds to place, capture and release, each for itself."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": _EXAMPLE}]})

    items: Annotated[
        list[Annotated[PlaceItem | CaptureItem | ReleaseItem, Field(discriminator="action")]],
        Field(min_length=1, max_length=MAX_ITEMS),
    ]


class Problem(Shown):
    """What went wrong, in the members of RFC 9457 and our own."""

    model_config = ConfigDict(extra="allow")

    status: int
    code: Annotated[str, Field(description="Stable, for programs.", examples=["insufficient_funds"])]
    title: str


class BatchItem(Shown):
    """What became of one item: `hold` where it was carried out, `error` where it was refused."""

    index: int
    status: Annotated[int, Field(description="The HTTP status that it would have had alone.")]
    replayed: Annotated[bool, Field(description="Whether it was carried out before, under the same key.")] = False
    hold: Hold | None = None
    error: Problem | None = None


class Counts(Shown):
    """How many items were carried out now, were so before under the same key, and were refused."""

    done: int
    replayed: int
    refused: int


class BatchAnswer(Shown):
    """What became of each item, in order."""

    items: list[BatchItem]
    counts: Counts


class NewKey(Given):
    """A key for an agent. The platform's own are made by the command line alone."""

    name: Annotated[Name, Field(description="Who it is for.")]
    account_ids: Annotated[list[Uuid], Field(min_length=1, max_length=_MAX_ACCOUNTS, description="What it may see.")]
    permissions: Annotated[list[Annotated[Permission, Field(strict=False)]], Field(min_length=1)]
    read_only: Annotated[bool, Field(description="Whether functions that change anything do not exist for it.")] = False
    default_account_id: Annotated[
        Uuid | None, Field(description="Of several accounts, the one that /v1/billing means.")
    ] = None
    expires_at: Annotated[Moment | None, Field(description="Default: it does not expire.")] = None


class KeyShown(Shown):
    """A key of an agent, without its secret."""

    prefix: Annotated[str, Field(description="What it is known and revoked by.", examples=["3f9a1c02"])]
    name: str
    account_ids: list[Uuid]
    permissions: list[Permission]
    read_only: bool
    default_account_id: Uuid | None
    created_at: ShownMoment
    expires_at: ShownMoment | None
    revoked_at: ShownMoment | None


class NewKeyShown(KeyShown):
    """A new key, with its text."""

    key: Annotated[str, Field(description="Shown once: only its hash is kept.", examples=["bmcp_3f9a1c02_..."])]


class Keys(Shown):
    """Some keys. `next_cursor` leads to more, null where there are none."""

    items: list[KeyShown]
    next_cursor: str | None
