"""A tier that was earned or lost is told once, whoever sees it first: a message, a grant, or the job of the month."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from billing_mcp.domain.tiers import ChannelState
from billing_mcp.operations.platform_tiers import grant_tiers, judge_months, tier_of
from billing_mcp.store.store import Store
from billing_mcp.worker.tiers import JUDGE_MONTHS, find_ended_months, judge_tiers
from billing_mcp.worker.worker import Worker
from tests.store.books import ACCOUNT
from tests.store.second_opinion import price_book
from tests.store.traffic import Platform, sms
from tests.worker.desk import LIMITS

BOOK = price_book()
UP = [("sms", "standard", "growth", "volume", "2026-03"), ("sms", "growth", "scale", "volume", "2026-03")]
DOWN = [
    ("sms", "scale", "growth", "missed_months", "2026-06"),
    ("sms", "growth", "standard", "missed_months", "2026-08"),
]


def month(number: int, day: int = 1) -> datetime:
    return datetime(2026, number, day, 0, 0, 1, tzinfo=UTC)


class Tiers(Platform):
    """The platform, and a worker of months."""

    def worker(self) -> Worker:
        def clock() -> datetime:
            return self.now

        jobs = {JUDGE_MONTHS: judge_tiers(self.store, BOOK, clock)}
        return Worker(self.store, clock, LIMITS, jobs=jobs, finders=[find_ended_months(self.store, clock)])

    async def told(self) -> list[tuple[str, ...]]:
        """What the world was told of tiers, by month, and those that went up by where they began."""
        async with self.store.read(self.now) as tx:
            events = [each.payload for each in await tx.outbox.of(ACCOUNT) if each.event == "billing.tier.changed"]
        names = ("channel", "previous", "tier", "reason", "month")
        found = [tuple(str(payload[name]) for name in names) for payload in events]
        return sorted(found, key=lambda told: (told[4], told[1] != "standard"))

    async def state(self) -> ChannelState:
        """What is stored of text messages."""
        async with self.store.read(self.now) as tx:
            return (await tx.messages.states(ACCOUNT))["sms"]

    async def rises(self) -> None:
        """To the highest tier, in two steps."""
        for parts in (4, 5):
            await self.delivered(sms(parts))


@pytest.fixture
async def platform(store: Store) -> Tiers:
    """One whose account can pay for many messages."""
    await Platform.open(store, funds=5_000_000)
    return Tiers(store, BOOK)


async def test_a_tier_is_told_with_the_message_that_earned_it(platform: Tiers) -> None:
    await platform.delivered(sms(3))
    assert await platform.told() == []

    await platform.delivered(sms(1))
    assert await platform.told() == UP[:1]

    await platform.delivered(sms(5))
    await platform.delivered(sms(5))
    assert await platform.told() == UP


async def by_the_job_of_each_month(platform: Tiers) -> None:
    for number in (4, 5, 6, 7, 8):
        platform.now = month(number)
        await platform.worker().run_once()


async def by_one_job_much_later(platform: Tiers) -> None:
    platform.now = month(8, 20)
    await platform.worker().run_once()


async def by_a_message(platform: Tiers) -> None:
    platform.now = month(8, 20)
    await platform.delivered(sms(1))


async def by_a_grant(platform: Tiers) -> None:
    platform.now = month(8, 20)
    async with platform.store.write(platform.now) as tx:
        await grant_tiers(tx, BOOK, ACCOUNT, "sms", commitment=None, override="scale")


async def by_all_of_them_at_once(platform: Tiers) -> None:
    platform.now = month(8)
    message = await platform.sent(sms(1))

    async def job() -> None:
        async with platform.store.write(platform.now) as tx:
            await judge_months(tx, BOOK, ACCOUNT)

    async with asyncio.timeout(30):
        await asyncio.gather(*(job() for _ in range(3)), platform.report(message), *(job() for _ in range(3)))
    assert (await platform.state()).volume == 1


@pytest.mark.parametrize(
    "notice",
    [by_the_job_of_each_month, by_one_job_much_later, by_a_message, by_a_grant, by_all_of_them_at_once],
)
async def test_a_tier_that_dropped_is_told_once_for_each_month_whoever_notices(
    platform: Tiers, notice: Callable[[Tiers], Awaitable[None]]
) -> None:
    await platform.rises()
    async with platform.store.read(month(8, 20)) as tx:
        expected = (await tier_of(tx, BOOK, ACCOUNT, "sms")).state

    await notice(platform)
    assert await platform.told() == [*UP, *DOWN]

    stored = await platform.state()
    assert (stored.month, stored.tier, stored.missed_months) == (expected.month, 0, expected.missed_months)
    platform.now = month(8, 21)
    await platform.delivered(sms(1))
    await platform.worker().run_once()
    assert await platform.told() == [*UP, *DOWN]
    await platform.assert_sound()


async def test_a_month_that_kept_the_tier_is_judged_and_nothing_is_told(platform: Tiers) -> None:
    await platform.rises()
    platform.now = month(4)
    await platform.worker().run_once()

    assert await platform.told() == UP
    kept = await platform.state()
    assert (kept.month, kept.volume, kept.tier, kept.missed_months) == (2026 * 12 + 3, 0, 2, 0)
    assert await find_ended_months(platform.store, lambda: platform.now)() == 0


async def test_who_has_earned_no_tier_is_nobody_s_work(platform: Tiers) -> None:
    await platform.delivered(sms(3))
    platform.now = month(9)

    assert await find_ended_months(platform.store, lambda: platform.now)() == 0
