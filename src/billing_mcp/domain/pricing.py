"""Owns what messages cost: prices by channel, unit, tier and market, in dated versions, and the limits of the rules.

A price book is the catalog as rules read it. What was once in force stays in it: a message keeps the version,
the tier and the prices that it was accepted with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from billing_mcp.domain.errors import InvalidArgument

Channel = Literal["email", "sms", "rcs"]
Unit = Literal["basic", "segment", "single", "a2p_conversation", "p2a_conversation", "rich", "rich_media", "mau"]
"""What is counted: a message, a part of one, a conversation, or a user who was active in a month."""

UNITS: Mapping[Channel, tuple[Unit, ...]] = {
    "email": ("basic",),
    "sms": ("segment",),
    "rcs": ("basic", "single", "a2p_conversation", "p2a_conversation", "rich", "rich_media"),
}
"""What each channel charges by. Active users (`mau`) are priced in bands, not by tier."""

ANYWHERE = "*"
"""The market of every country that has no price of its own."""

RcsRule = Literal["standard", "us"]


@dataclass(frozen=True, slots=True)
class Tier:
    """A step of a channel's prices, and the units a calendar month needs for it."""

    name: str
    from_volume: int


@dataclass(frozen=True, slots=True)
class Region:
    """How RCS messages are counted in some markets, and the limits that decide it.

    `standard`: text alone of up to `basic_max_bytes` is Basic, all else Single, and conversations are formed.
    `us`: text, with `rich_suggestions` alone, is Rich for each `segment_bytes`; all else is Rich Media.
    """

    name: str
    rule: RcsRule
    basic_max_bytes: int = 160
    segment_bytes: int = 160
    rich_suggestions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Band:
    """What each active user of a month costs, up to the `up_to`th; None is no limit."""

    up_to: int | None
    price_micros: int


@dataclass(frozen=True, slots=True)
class PriceVersion:
    """The prices from a day on. Tiers are columns: `prices[channel, unit][market][tier]` in micros."""

    version: str
    valid_from: date
    prices: Mapping[tuple[Channel, Unit], Mapping[str, tuple[int, ...]]]
    active_users: Mapping[Channel, Mapping[str, tuple[Band, ...]]]
    regions: Mapping[str, Region]
    """By market."""

    def price_micros(self, channel: Channel, unit: Unit, market: str, tier: int) -> int:
        """The price of one unit. Raises InvalidArgument with code `not_priced` where nothing is sold."""
        markets = self.prices.get((channel, unit), {})
        columns = markets.get(market) or markets.get(ANYWHERE)
        if columns is None:
            raise InvalidArgument(
                f"{channel} has no price for the unit {unit} in the market {market}",
                code="not_priced",
                field="market",
                hint=f"Priced are: {', '.join(sorted(markets)) or 'none'}. Add it to the catalog, or send elsewhere.",
            )
        return columns[tier]

    def region(self, market: str) -> Region:
        """The RCS region of a market."""
        return self.regions.get(market) or self.regions[ANYWHERE]

    def bands(self, channel: Channel, market: str) -> tuple[Band, ...]:
        """What active users cost on a channel; empty where they cost nothing."""
        markets = self.active_users.get(channel, {})
        return markets.get(market) or markets.get(ANYWHERE) or ()


@dataclass(frozen=True, slots=True)
class PriceBook:
    """All prices that are or were in force, oldest first, and the tiers of each channel, lowest first."""

    currency: str
    tiers: Mapping[Channel, tuple[Tier, ...]]
    missed_months: int
    """After so many months in a row below its threshold a tier is lost, one step."""
    plan_tiers: Mapping[str, Mapping[Channel, int]]
    """The tier that a plan grants, whatever the volume."""
    versions: tuple[PriceVersion, ...]

    def version_on(self, day: date) -> PriceVersion:
        """The prices in force on a day. Raises InvalidArgument with code `not_priced` before the first."""
        for version in reversed(self.versions):
            if version.valid_from <= day:
                return version
        first = self.versions[0].valid_from.isoformat()
        raise InvalidArgument(f"the catalog has no prices before {first}", code="not_priced")

    def version_named(self, name: str) -> PriceVersion | None:
        """The prices of a version, if the catalog still has them."""
        return next((version for version in self.versions if version.version == name), None)

    def tier_named(self, channel: Channel, name: str, *, field: str = "tier") -> int:
        """The place of a tier, lowest 0. Raises InvalidArgument."""
        names = [tier.name for tier in self.tiers[channel]]
        if name not in names:
            raise InvalidArgument(
                f"{channel} has no tier {ascii(name)[:80]}", field=field, hint=f"Its tiers are {', '.join(names)}."
            )
        return names.index(name)


def graduated_micros(bands: tuple[Band, ...], nth: int) -> int:
    """What the `nth` active user of a month costs, counted from 1."""
    for band in bands:
        if band.up_to is None or nth <= band.up_to:
            return band.price_micros
    return 0


def bands_micros(bands: tuple[Band, ...], before: int, users: int) -> int:
    """What so many active users of a month cost together, after others that were active `before` them."""
    total, lower = 0, 0
    for band in bands:
        upper = before + users if band.up_to is None else min(band.up_to, before + users)
        total += band.price_micros * max(0, upper - max(lower, before))
        lower = max(lower, upper)
    return total
