"""billing.tier.*: the tiers that an account's message prices are on."""

from __future__ import annotations

from typing_extensions import TypedDict

from billing_mcp.domain.money import format_micros
from billing_mcp.domain.pricing import Channel
from billing_mcp.domain.projection import unit_micros
from billing_mcp.domain.tiers import TierSource, month_of, month_text
from billing_mcp.kernel.arguments import AccountId
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource
from billing_mcp.operations.traffic import CHANNELS, ChannelNow, Used, channels_now, month_start

TIER = Resource("tier", doc="The tiers that message prices are on, each channel for itself.")


class NextTier(TypedDict):
    """The tier above: what it needs, and what this month's volume would cost less at it than at the tier in force."""

    name: str
    from_volume: int
    missing: int
    would_save: str


class ChannelTier(TypedDict):
    """The tier in force on a channel, where it comes from, and where it can go.

    `downgrade_counter` counts months in a row that had less than `kept_from_volume`; at `drops_after` of them
    the tier becomes `drops_to`, which is null where nothing would change. `volume` is that of this month.
    """

    channel: Channel
    tier: str
    volume: int
    next_tier: NextTier | None
    source: TierSource
    downgrade_counter: int
    drops_after: int
    drops_to: str | None
    earned_tier: str
    kept_from_volume: int
    commitment: str | None
    plan_tier: str | None
    override: str | None


class ChannelTiers(TypedDict):
    """The tiers in the current calendar month (UTC)."""

    month: str
    currency: str
    items: list[ChannelTier]


@TIER.operation(requires=Permission.VIEW, route="GET /tier", own_route="GET /tier")
async def get(ctx: Context, *, account_id: AccountId, channel: Channel | None = None) -> ChannelTiers:
    """The tier of every channel, or of one: why it is in force, this month's volume, and what the next one needs.

    A tier is reached at once, by the units of a calendar month (UTC), and lost one step after so many months in
    a row below it. `next_tier` is null at the top, and where an override fixes the tier. `would_save` prices
    this month's units at the next tier and at the one in force, both with today's prices.
    Errors: not_found.
    """
    account = await ctx.tx.states.get(account_id)
    now = await channels_now(ctx.tx, ctx.catalog.book, account)
    used = await ctx.tx.messages.usage(account_id, month_start(ctx), ctx.today)
    return {
        "month": month_text(month_of(ctx.today)),
        "currency": account.wallet.currency,
        "items": [_item(ctx, now[each], used) for each in CHANNELS if channel in (None, each)],
    }


def _item(ctx: Context, now: ChannelNow, used: Used) -> ChannelTier:
    state, tiers = now.state, now.tiers
    earned = tiers[min(state.tier, len(tiers) - 1)]
    return {
        "channel": now.channel,
        "tier": now.tier.name,
        "source": now.standing.source,
        "volume": state.volume,
        "earned_tier": earned.name,
        "kept_from_volume": earned.from_volume,
        "downgrade_counter": state.missed_months,
        "drops_after": ctx.catalog.book.missed_months,
        "drops_to": now.after_a_drop,
        "next_tier": _next(ctx, now, used),
        "commitment": now.named(state.commitment),
        "plan_tier": now.named(now.plan_tier),
        "override": now.named(state.override),
    }


def _next(ctx: Context, now: ChannelNow, used: Used) -> NextTier | None:
    place = now.next_place
    if place is None:
        return None
    tier = now.tiers[place]
    return {
        "name": tier.name,
        "from_volume": tier.from_volume,
        "missing": now.missing or 0,
        "would_save": format_micros(_saved_micros(ctx, now, used, place)),
    }


def _saved_micros(ctx: Context, now: ChannelNow, used: Used, place: int) -> int:
    """What the units cost at the tier in force, less what they would at another one."""
    saved = 0
    for key, usage in used:
        if key.channel == now.channel and key.unit != "mau" and usage.quantity:
            version = ctx.catalog.book.version_on(ctx.today)
            here, there = (unit_micros(version, key, tier) for tier in (now.standing.tier, place))
            saved += usage.quantity * (here - there)
    return saved
