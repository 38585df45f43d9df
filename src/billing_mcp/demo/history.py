"""Owns the demo's past: four accounts, lived through month by month with the real domain code.

Nothing is drawn by chance, and nothing is inserted as a result: for each thing that happened the
clock is set to its moment, and the platform or an agent acts as they would have then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from billing_mcp.catalog.loader import default_catalog
from billing_mcp.demo.traffic import (
    MESSAGES,
    SENDER,
    Day,
    days_of,
    live_day,
    open_sender,
    pause_a_campaign,
    pay_sender,
)
from billing_mcp.domain.clock import start_of
from billing_mcp.domain.errors import Internal, Refused
from billing_mcp.domain.money import MICROS_PER_UNIT
from billing_mcp.domain.periods import period_of
from billing_mcp.kernel.execution import Executor, Request
from billing_mcp.kernel.limits import Limits
from billing_mcp.kernel.principal import Permission, Principal
from billing_mcp.kernel.programs import SingleCall
from billing_mcp.operations import REGISTRY
from billing_mcp.operations.platform import ComponentType, count_components, open_account, receive_payment
from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.store.store import Store
from billing_mcp.worker.cycle import close_ended_period

MONTHS = 6
_CURRENCY = "EUR"
_OFFERED = 60
"""To how many customers the campaign goes that is paused."""
_SEEDER = Principal("demo", frozenset(Permission))


@dataclass(frozen=True, slots=True)
class Story:
    """What happens to an account in each month, from six months ago to the one that runs now."""

    account_id: str
    name: str
    anchor_day: int
    component_type: ComponentType
    counts: tuple[int, ...]
    topups_eur: tuple[int, ...]
    first_plan: str
    changes: tuple[tuple[int, str], ...] = ()
    """In which month, counted from 0, the account moves to which plan, on the period's 12th day."""
    also: tuple[tuple[ComponentType, int], ...] = ()
    """What else it has, and how many."""
    holds: tuple[tuple[str, int], ...] = ()
    """What is in flight in the month that runs now: reference and micros."""


STORIES = (
    Story(
        account_id="0190c0de-0000-7000-8000-000000000001",
        name="Northwind Mail",
        anchor_day=1,
        component_type="mailbox",
        counts=(120, 180, 240, 310, 360, 420, 420),
        topups_eur=(250, 100, 150, 150, 150, 200, 200),
        first_plan="smtp_per_proxy",
        changes=((1, "smtp_per_mailbox"),),
        also=(("proxy", 3),),
        holds=(("campaign_autumn_sale", 8_300_000), ("campaign_newsletter_47", 4_212_500)),
    ),
    Story(
        account_id="0190c0de-0000-7000-8000-000000000002",
        name="Heron Logistics",
        anchor_day=1,
        component_type="proxy",
        counts=(4, 4, 5, 5, 6, 6, 6),
        topups_eur=(300, 200, 200, 200, 200, 200, 250),
        first_plan="smtp_per_proxy",
        also=(("mailbox", 900),),
    ),
    Story(
        account_id="0190c0de-0000-7000-8000-000000000003",
        name="Quill & Crane Studio",
        anchor_day=15,
        component_type="mailbox",
        counts=(40, 45, 60, 60, 75, 90, 90),
        topups_eur=(50, 50, 50, 40, 60, 0, 0),
        first_plan="smtp_per_mailbox",
    ),
)

Scene = tuple[datetime, Callable[["_Stage"], Awaitable[None]]]


async def seed_demo(
    store: Store,
    now: datetime,
    *,
    messages: int = MESSAGES,
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Live the past of the demo's accounts up to `now`. False when they are there already.

    The sender's is lived first, with about so many `messages`: when it is there alone, seeding was interrupted.
    Raises Refused with code `demo_incomplete` then.

    `progress` hears how many scenes are played, of how many.
    """
    async with store.read(now) as tx:
        begun = await tx.accounts.exists(SENDER.account_id)
        whole = [story for story in STORIES if await tx.invoices.count(story.account_id) >= MONTHS]
    if len(whole) == len(STORIES):
        return False
    if begun:
        raise Refused(
            "the demo's past in this database is incomplete: seeding it was interrupted",
            code="demo_incomplete",
            hint="Give another --database.",
        )
    scenes = sorted((scene for story in STORIES for scene in _scenes(story, now.date())), key=lambda s: s[0])
    traffic = sorted(_traffic(now, messages), key=lambda s: s[0])
    played = [scene for scene in [*traffic, *scenes] if scene[0] <= now]
    stage = _Stage(store)
    try:
        for done, (moment, act) in enumerate(played, start=1):
            stage.now = moment
            await act(stage)
            if progress is not None:
                progress(done, len(played))
    finally:
        await stage.executor.close()
    return True


class _Stage:
    """The store, and an executor whose clock is set to each scene."""

    def __init__(self, store: Store) -> None:
        self.now = datetime.min.replace(tzinfo=UTC)
        self.store = store
        self.catalog = default_catalog()
        self.executor = Executor(store, REGISTRY, self.catalog, lambda: self.now, Limits())


def _traffic(now: datetime, messages: int) -> Iterator[Scene]:
    """The sender's past: opened and paid for, then its messages day by day."""
    months = _period_starts(now.date(), 1)
    yield start_of(months[0]), lambda stage: open_sender(stage.store, SENDER, _CURRENCY, stage.now)
    for month in months:
        yield start_of(month) + timedelta(hours=7), lambda stage: pay_sender(stage.store, SENDER, stage.now)
    if messages:
        offered = start_of(months[-1]) + timedelta(days=1, hours=7, minutes=30)
        size = max(1, _OFFERED * messages // MESSAGES)
        yield offered, lambda stage: pause_a_campaign(stage.store, stage.catalog, SENDER, stage.now, size=size)
    for day in days_of(SENDER, months, now, messages):
        yield start_of(day.day) + timedelta(hours=7, minutes=59), _live(day, now)


def _live(day: Day, now: datetime) -> Callable[[_Stage], Awaitable[None]]:
    return lambda stage: live_day(stage.store, stage.catalog, SENDER, day, until=now)


def _scenes(story: Story, today: date) -> Iterator[Scene]:
    for month, start in enumerate(_period_starts(today, story.anchor_day)):
        midnight = start_of(start)
        if month == 0:
            yield midnight, _open(story)
        else:
            yield midnight, _close(story)
        yield midnight + timedelta(hours=8), _count(story, month)
        if story.topups_eur[month]:
            yield midnight + timedelta(hours=9, minutes=30), _pay(story, month)
        if month == 0:
            yield midnight + timedelta(hours=10), _choose(story, story.first_plan)
        if month == MONTHS and story.holds:
            yield midnight + timedelta(hours=9, minutes=45), _hold(story)
        for when, plan_id in story.changes:
            if when == month:
                yield midnight + timedelta(days=11, hours=14), _choose(story, plan_id)


def _period_starts(today: date, anchor_day: int) -> list[date]:
    starts = [period_of(today, anchor_day=anchor_day).start]
    for _ in range(MONTHS):
        starts.insert(0, period_of(starts[0] - timedelta(days=1), anchor_day=anchor_day).start)
    return starts


def _open(story: Story) -> Callable[[_Stage], Awaitable[None]]:
    async def act(stage: _Stage) -> None:
        async with stage.store.write(stage.now) as tx:
            await open_account(tx, story.account_id, story.name, _CURRENCY)
            for component_type, quantity in story.also:
                await count_components(tx, story.account_id, component_type, quantity, stage.now.date())

    return act


def _count(story: Story, month: int) -> Callable[[_Stage], Awaitable[None]]:
    async def act(stage: _Stage) -> None:
        async with stage.store.write(stage.now) as tx:
            quantity = story.counts[month]
            await count_components(tx, story.account_id, story.component_type, quantity, stage.now.date())

    return act


def _pay(story: Story, month: int) -> Callable[[_Stage], Awaitable[None]]:
    async def act(stage: _Stage) -> None:
        amount_micros = story.topups_eur[month] * MICROS_PER_UNIT
        async with stage.store.write(stage.now) as tx:
            await receive_payment(tx, story.account_id, amount_micros, provider="bank_transfer")

    return act


def _hold(story: Story) -> Callable[[_Stage], Awaitable[None]]:
    async def act(stage: _Stage) -> None:
        holds = PlatformHolds(stage.store, lambda: stage.now)
        for reference, amount_micros in story.holds:
            until = stage.now + timedelta(days=60)
            await holds.place(story.account_id, amount_micros, reference=reference, expires_at=until)

    return act


def _choose(story: Story, plan_id: str) -> Callable[[_Stage], Awaitable[None]]:
    async def act(stage: _Stage) -> None:
        call = SingleCall("billing.plan.change", {"account_id": story.account_id, "plan_id": plan_id})
        answer = await stage.executor.execute(Request(call, _SEEDER))
        if answer.error is not None:
            raise Internal(f"the past cannot be lived: {answer.error.code}: {answer.error.message}")

    return act


def _close(story: Story) -> Callable[[_Stage], Awaitable[None]]:
    async def act(stage: _Stage) -> None:
        async with stage.store.write(stage.now) as tx:
            await close_ended_period(tx, stage.catalog, story.account_id)

    return act
