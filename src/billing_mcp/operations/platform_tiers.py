"""Owns the tiers that the platform grants an account on a channel, whatever its volume."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from billing_mcp.domain.pricing import Channel, PriceBook
from billing_mcp.domain.tiers import ChannelState, tier_events
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
    stored = (await tx.messages.states(account_id)).get(channel)
    await tx.messages.set_state(granted, before=before.state)
    await _tell(tx, book, stored, before)
    return await tier_of(tx, book, account_id, channel)


async def judge_months(tx: Transaction, book: PriceBook, account_id: str) -> None:
    """Judge every month that has ended on each channel of an account, and tell of the tiers that dropped by it.

    What a message does when it is charged in a new month. Raises NotFound.
    """
    await tx.accounts.get(account_id, lock=True)
    stored = await tx.messages.states(account_id)
    now = await channels_now(tx, book, await tx.states.get(account_id))
    for channel, before in stored.items():
        judged = now[cast("Channel", channel)]
        if judged.state != before:
            await tx.messages.set_state(judged.state, before=before)
            await _tell(tx, book, before, judged)


async def _tell(tx: Transaction, book: PriceBook, before: ChannelState | None, judged: ChannelNow) -> None:
    for event in tier_events(before, judged.state, judged.tiers, book.missed_months):
        await tx.outbox.add(event)


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
