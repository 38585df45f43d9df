"""Owns what the messages of some days would cost under other tiers: they are rated again, with the prices of a day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from billing_mcp.domain.booking import Usage, UsageKey
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.pricing import Channel, PriceVersion, bands_micros


def messages_micros(used: Iterable[tuple[UsageKey, Usage]], version: PriceVersion, tiers: Mapping[Channel, int]) -> int:
    """What was used costs at these prices and tiers, oldest first; users who were active are counted from the first."""
    total = 0
    active: dict[Channel, int] = {}
    for key, usage in used:
        if key.unit != "mau":
            total += usage.quantity * unit_micros(version, key, tiers[key.channel])
        elif usage.quantity > 0:
            before = active.get(key.channel, 0)
            total += bands_micros(version.bands(key.channel, key.market), before, usage.quantity)
            active[key.channel] = before + usage.quantity
    return total


def unit_micros(version: PriceVersion, key: UsageKey, tier: int) -> int:
    """The price of a unit; nothing for one that is not sold any more."""
    try:
        return version.price_micros(key.channel, key.unit, key.market, tier)
    except InvalidArgument:
        return 0
