"""Owns tiers: which step of a channel's prices an account is on, why, and when it goes up or down.

Up at once: the unit that reaches a threshold is the last one at the old price. Down one step after N calendar
months in a row (UTC) that did not reach the threshold of the tier that was earned; one that does resets the
counter, and an override freezes it. A commitment or a plan grants a tier whatever the volume.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from billing_mcp.domain.events import Event
from billing_mcp.domain.pricing import Tier

TierSource = Literal["previous_month", "current_month", "commitment", "plan", "override"]
TierReason = Literal["volume", "missed_months"]


@dataclass(frozen=True, slots=True)
class ChannelState:
    """What an account has used of a channel in a month, and the tier that its volume has earned.

    `month` counts months from year 0; `volume` is net of what was reversed, and can be negative. `tier`,
    `commitment` and `override` are places in the channel's tiers, lowest 0.
    """

    account_id: str
    channel: str
    month: int
    volume: int = 0
    active_users: int = 0
    tier: int = 0
    earned_this_month: bool = False
    missed_months: int = 0
    commitment: int | None = None
    override: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """The tier in force, and what it is due to."""

    tier: int
    source: TierSource


def month_of(day: date) -> int:
    """The month of a day, as a number that grows by one each month."""
    return day.year * 12 + day.month - 1


def month_text(month: int) -> str:
    """A month as YYYY-MM."""
    return f"{month // 12:04d}-{month % 12 + 1:02d}"


def qualified(tiers: tuple[Tier, ...], volume: int) -> int:
    """The tier that a month's volume qualifies for."""
    return max((place for place, tier in enumerate(tiers) if volume >= tier.from_volume), default=0)


def rolled(state: ChannelState, month: int, tiers: tuple[Tier, ...], missed_months: int) -> ChannelState:
    """The state in a later month: every month that ended since is judged. The same state within its month."""
    if month <= state.month:
        return state
    tier, missed, volume = min(state.tier, len(tiers) - 1), state.missed_months, state.volume
    for _ in range(state.month, month):
        if qualified(tiers, volume) >= tier:
            missed = missed if state.override is not None else 0
        elif state.override is None:
            missed += 1
            if missed >= missed_months:
                tier, missed = tier - 1, 0
        volume = 0
    return replace(
        state, month=month, volume=0, active_users=0, tier=tier, earned_this_month=False, missed_months=missed
    )


def used(state: ChannelState, quantity: int, tiers: tuple[Tier, ...]) -> ChannelState:
    """The state after so many more units in its month; less than none are reversed."""
    volume = state.volume + quantity
    reached = qualified(tiers, volume)
    if reached > state.tier:
        return replace(state, volume=volume, tier=reached, earned_this_month=True)
    return replace(state, volume=volume)


def tier_events(
    before: ChannelState | None, after: ChannelState, tiers: tuple[Tier, ...], missed_months: int
) -> Iterator[Event]:
    """What the world is told when a later state is stored: each step down by its month, then what volume has earned.

    It depends on the two states alone, so whoever stores a state tells what it says more than the one before.
    """
    at = before or ChannelState(after.account_id, after.channel, after.month)
    while at.month < after.month:
        judged = rolled(at, at.month + 1, tiers, missed_months)
        if judged.tier < min(at.tier, len(tiers) - 1):
            yield _changed(at.tier, judged, "missed_months", tiers)
        at = judged
    if after.tier > at.tier:
        yield _changed(at.tier, after, "volume", tiers)


def _changed(previous: int, state: ChannelState, reason: TierReason, tiers: tuple[Tier, ...]) -> Event:
    payload = {
        "channel": state.channel,
        "previous": tiers[min(previous, len(tiers) - 1)].name,
        "tier": tiers[state.tier].name,
        "reason": reason,
        "month": month_text(state.month),
    }
    return Event(state.account_id, "billing.tier.changed", payload)


def standing(state: ChannelState, plan_tier: int | None, tiers: tuple[Tier, ...]) -> Standing:
    """The tier in force: the override, or else the highest of what volume, commitment and plan give."""
    top = len(tiers) - 1
    if state.override is not None:
        return Standing(min(state.override, top), "override")
    best = Standing(min(state.tier, top), "current_month" if state.earned_this_month else "previous_month")
    granted: tuple[tuple[int | None, TierSource], ...] = ((state.commitment, "commitment"), (plan_tier, "plan"))
    for tier, source in granted:
        if tier is not None and min(tier, top) > best.tier:
            best = Standing(min(tier, top), source)
    return best
