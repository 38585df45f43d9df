"""Owns what the platform's requests about campaigns, the outbox and tiers give, and what their answers show."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from billing_mcp.domain.messages import CampaignStatus
from billing_mcp.domain.pricing import Channel
from billing_mcp.domain.tiers import TierSource
from billing_mcp.faces.platform.fields import Currency, DecimalText, Given, Shown, ShownMoment, Uuid, whole
from billing_mcp.faces.platform.message_models import AccountAsked, OfAccount

MAX_TAKEN = 100
MAX_LEASE_S = 3600


class CampaignAsked(AccountAsked):
    """Whose campaign it is, and which part of its messages."""

    cursor: Annotated[Uuid | None, Field(description="`next_cursor` of the answer before.")] = None
    limit: Annotated[int, Field(ge=1, le=100, description="How many at most.")] = 20


class Share(Shown):
    """How many messages, and what they were charged."""

    messages: int
    charged: DecimalText


class ByStatus(Shown):
    """The messages of a campaign by what became of them."""

    accepted: Share
    paused: Share
    delivered: Share
    failed: Share


class Campaign(Shown):
    """Messages that were sent together, and can be held back together."""

    account_id: Uuid
    campaign_id: Uuid
    name: str
    status: CampaignStatus
    created_at: ShownMoment
    changed_at: Annotated[ShownMoment, Field(description="When it was paused or resumed last.")]
    currency: Currency
    messages: int
    charged: DecimalText
    by_status: ByStatus


class Take(Given):
    """How many accepted messages to take, and for how long."""

    limit: Annotated[int, Field(ge=1, le=MAX_TAKEN), whole()] = MAX_TAKEN
    lease_s: Annotated[
        int, Field(ge=1, le=MAX_LEASE_S, description="After so many seconds others may take them."), whole()
    ] = 60


class TakenMessage(Shown):
    """An accepted message that is yours to deliver until its lease ends."""

    account_id: Uuid
    message_id: Uuid
    channel: Channel
    campaign_id: Uuid | None
    reference: str
    lease: str
    leased_until: ShownMoment


class Taken(Shown):
    """Those that waited longest, longest first."""

    items: list[TakenMessage]


class LeasedMessage(OfAccount):
    """A message that was taken, and its lease."""

    message_id: Uuid
    lease: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", examples=["0f8e4c5b7a1d4e2f9c3b6a5d8e7f0a1b"])]


class Leased(Given):
    """Messages that you have taken and sent on."""

    items: Annotated[list[LeasedMessage], Field(min_length=1, max_length=MAX_TAKEN)]


class Finished(Shown):
    """How many have left the outbox by this: what others have taken since, or had left before, does not count."""

    done: int


class TierGrants(Given):
    """What tiers the platform grants; what is not given is not granted."""

    commitment: Annotated[
        str | None, Field(max_length=64, description="The least tier, whatever the volume.", examples=["growth"])
    ] = None
    override: Annotated[
        str | None, Field(max_length=64, description="The tier in force, instead of all else.", examples=["scale"])
    ] = None


class GrantedTier(Shown):
    """The tier of an account on a channel, and what of it the platform has granted."""

    account_id: Uuid
    channel: Channel
    tier: str
    source: TierSource
    commitment: str | None
    override: str | None
    volume: Annotated[int, Field(description="Units of this month (UTC).")]
    missed_months: Annotated[int, Field(description="Months in a row below its threshold.")]
