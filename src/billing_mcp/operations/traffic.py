"""Owns reading what decisions about messages need: the tiers of now, and the scene of a message before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from billing_mcp.domain.booking import Scene, Usage, UsageKey
from billing_mcp.domain.messages import SendMessage
from billing_mcp.domain.pricing import UNITS, Channel, PriceBook, Tier
from billing_mcp.domain.tiers import ChannelState, Standing, month_of, rolled, standing
from billing_mcp.kernel.context import Context

if TYPE_CHECKING:
    from billing_mcp.store.states import AccountState
    from billing_mcp.store.store import Transaction

CHANNELS: tuple[Channel, ...] = tuple(UNITS)
Used = list[tuple[UsageKey, Usage]]


@dataclass(frozen=True, slots=True)
class ChannelNow:
    """A channel of an account in the current month: what it has used, and the tier that is in force."""

    channel: Channel
    tiers: tuple[Tier, ...]
    state: ChannelState
    standing: Standing
    plan_tier: int | None

    @property
    def tier(self) -> Tier:
        """The tier in force."""
        return self.tiers[self.standing.tier]

    @property
    def next_place(self) -> int | None:
        """The place of the tier above the one in force; None at the top, and where an override fixes the tier."""
        above = self.standing.tier + 1
        return above if above < len(self.tiers) and self.state.override is None else None

    @property
    def missing(self) -> int | None:
        """How many units this month has to bring yet for the next tier; None where there is none."""
        place = self.next_place
        return None if place is None else max(0, self.tiers[place].from_volume - self.state.volume)

    @property
    def after_a_drop(self) -> str | None:
        """The tier that would be in force one step down; None where it would stay the same."""
        if self.state.tier == 0:
            return None
        lower = replace(self.state, tier=self.state.tier - 1, earned_this_month=False)
        place = standing(lower, self.plan_tier, self.tiers).tier
        return self.tiers[place].name if place < self.standing.tier else None

    def named(self, place: int | None) -> str | None:
        """The name of the tier at a place."""
        return None if place is None else self.tiers[min(place, len(self.tiers) - 1)].name


async def channels_now(tx: Transaction, book: PriceBook, account: AccountState) -> dict[Channel, ChannelNow]:
    """Every channel of an account, as of now, whether or not it was ever used."""
    account_id, month = account.record.account_id, month_of(tx.now.date())
    states, granted = await tx.messages.states(account_id), plan_tiers(book, account, tx.now.date())
    found = {}
    for channel in CHANNELS:
        tiers, plan_tier = book.tiers[channel], granted.get(channel)
        stored = states.get(channel) or ChannelState(account_id, channel, month)
        state = rolled(stored, month, tiers, book.missed_months)
        found[channel] = ChannelNow(channel, tiers, state, standing(state, plan_tier, tiers), plan_tier)
    return found


def plan_tiers(book: PriceBook, account: AccountState, today: date) -> Mapping[Channel, int]:
    """The tiers that the plan of today grants."""
    plan_id = account.subscription.plan_on(today) if account.subscription else None
    return book.plan_tiers.get(plan_id or "", {})


async def scene_of(ctx: Context, account: AccountState, action: SendMessage) -> Scene:
    """All that accepting a message would know of its account now."""
    messages, channel = ctx.tx.messages, action.facts.channel
    account_id = account.record.account_id
    states = await messages.states(account_id)
    active = await messages.active(account_id, month_of(ctx.today), channel, action.recipients)
    last = await messages.last_event(account_id, action.thread, ctx.now) if action.thread else None
    return Scene(
        wallet=account.wallet,
        status=account.record.status,
        state=states.get(channel),
        plan_tiers=plan_tiers(ctx.catalog.book, account, ctx.today),
        active=active,
        thread=() if last is None else (last,),
    )


def month_start(ctx: Context) -> date:
    """The first day of the current month."""
    return ctx.today.replace(day=1)
