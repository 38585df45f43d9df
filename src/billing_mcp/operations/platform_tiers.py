"""Owns the tiers that the platform grants an account on a channel, whatever its volume."""

from __future__ import annotations

from dataclasses import dataclass, replace

from billing_mcp.domain.pricing import Channel, PriceBook
from billing_mcp.domain.tiers import ChannelState, Standing, month_of, rolled, standing
from billing_mcp.store.store import Transaction


@dataclass(frozen=True, slots=True)
class AccountTier:
    """The tier of an account on a channel now, by name, and what of it is granted."""

    account_id: str
    channel: Channel
    state: ChannelState
    standing: Standing
    names: tuple[str, ...]

    @property
    def tier(self) -> str:
        """The tier in force."""
        return self.names[self.standing.tier]

    @property
    def commitment(self) -> str | None:
        """The least tier, whatever the volume."""
        return self._named(self.state.commitment)

    @property
    def override(self) -> str | None:
        """The tier that is in force instead of all else."""
        return self._named(self.state.override)

    def _named(self, place: int | None) -> str | None:
        return None if place is None else self.names[min(place, len(self.names) - 1)]


async def tier_of(tx: Transaction, book: PriceBook, account_id: str, channel: Channel) -> AccountTier:
    """The tier of an account on a channel. Raises NotFound."""
    await tx.accounts.get(account_id)
    stored = await _stored(tx, account_id, channel)
    return await _tier(tx, book, channel, _now(tx, book, account_id, channel, stored))


async def grant_tiers(
    tx: Transaction,
    book: PriceBook,
    account_id: str,
    channel: Channel,
    *,
    commitment: str | None,
    override: str | None,
) -> AccountTier:
    """Grant an account tiers on a channel from now on, by name; None is no grant. What was accepted stays as it is.

    Raises NotFound, and InvalidArgument for a tier that the channel has not.
    """
    await tx.accounts.get(account_id, lock=True)
    stored = await _stored(tx, account_id, channel)
    granted = replace(
        _now(tx, book, account_id, channel, stored),
        commitment=None if commitment is None else book.tier_named(channel, commitment, field="commitment"),
        override=None if override is None else book.tier_named(channel, override, field="override"),
    )
    await tx.messages.set_state(granted, before=stored)
    return await _tier(tx, book, channel, granted)


async def _stored(tx: Transaction, account_id: str, channel: Channel) -> ChannelState | None:
    return (await tx.messages.states(account_id)).get(channel)


def _now(
    tx: Transaction, book: PriceBook, account_id: str, channel: Channel, stored: ChannelState | None
) -> ChannelState:
    """The state of this month: the months that ended since it was stored are judged under the grants of then."""
    month = month_of(tx.now.date())
    state = stored or ChannelState(account_id, channel, month)
    return rolled(state, month, book.tiers[channel], book.missed_months)


async def _tier(tx: Transaction, book: PriceBook, channel: Channel, state: ChannelState) -> AccountTier:
    subscription = await tx.subscriptions.find(state.account_id)
    plan_id = subscription.plan_on(tx.now.date()) if subscription else None
    plan_tier = book.plan_tiers.get(plan_id or "", {}).get(channel)
    tiers = book.tiers[channel]
    names = tuple([tier.name for tier in tiers])
    return AccountTier(state.account_id, channel, state, standing(state, plan_tier, tiers), names)
