"""Owns the tiers that the platform grants an account on a channel, whatever its volume."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from billing_mcp.domain.pricing import Channel, PriceBook
from billing_mcp.operations.traffic import ChannelNow, channels_now
from billing_mcp.store.store import Transaction


async def tier_of(tx: Transaction, book: PriceBook, account_id: str, channel: Channel) -> ChannelNow:
    """The tier of an account on a channel. Raises NotFound."""
    return (await channels_now(tx, book, await tx.states.get(account_id)))[channel]


async def grant_tiers(
    tx: Transaction,
    book: PriceBook,
    account_id: str,
    channel: Channel,
    *,
    commitment: str | None,
    override: str | None,
) -> ChannelNow:
    """Grant an account tiers on a channel from now on, by name; None is no grant. What was accepted stays as it is.

    The months that ended before are judged under the grants of then. Raises NotFound, and InvalidArgument for a
    tier that the channel has not.
    """
    await tx.accounts.get(account_id, lock=True)
    before = await tier_of(tx, book, account_id, channel)
    granted = replace(
        before.state,
        commitment=None if commitment is None else book.tier_named(channel, commitment, field="commitment"),
        override=None if override is None else book.tier_named(channel, override, field="override"),
    )
    await tx.messages.set_state(granted, before=before.state)
    return await tier_of(tx, book, account_id, channel)


def shown_tier(found: ChannelNow) -> dict[str, Any]:
    """The tier of an account on a channel as it is shown to the platform."""
    return {
        "account_id": found.state.account_id,
        "channel": found.channel,
        "tier": found.tier.name,
        "source": found.standing.source,
        "commitment": found.named(found.state.commitment),
        "override": found.named(found.state.override),
        "volume": found.state.volume,
        "missed_months": found.state.missed_months,
    }
