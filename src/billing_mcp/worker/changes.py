"""Owns telling what became of accounts over a span of time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from billing_mcp.domain.pricing import PriceBook
from billing_mcp.domain.standings import AccountStanding, Change, change_of
from billing_mcp.operations.traffic import channels_now
from billing_mcp.store.store import Store, Transaction


async def standings_of(store: Store, book: PriceBook, now: datetime) -> list[AccountStanding]:
    """Where every account stands now that the store looks for work of, oldest first."""
    async with store.read(now) as tx:
        return await _standings(tx, book)


async def changes_since(
    store: Store, book: PriceBook, before: Iterable[AccountStanding], now: datetime
) -> list[Change]:
    """What became of those accounts that have changed since they stood so, and of those that were opened since."""
    stood = {each.account_id: each for each in before}
    changes = []
    async with store.read(now) as tx:
        for after in await _standings(tx, book):
            start = stood.get(after.account_id)
            if after != start:
                moved = await tx.standings.moved(after.account_id, after_seq=start.last_seq if start else 0)
                changes.append(change_of(start, after, moved))
    return changes


async def _standings(tx: Transaction, book: PriceBook) -> list[AccountStanding]:
    standings = await tx.standings.all()
    sending = set(await tx.standings.with_tiers())
    return [
        replace(each, tiers=await _tiers(tx, book, each.account_id)) if each.account_id in sending else each
        for each in standings
    ]


async def _tiers(tx: Transaction, book: PriceBook, account_id: str) -> dict[str, str]:
    account = await tx.states.get(account_id)
    return {channel: now.tier.name for channel, now in (await channels_now(tx, book, account)).items()}
