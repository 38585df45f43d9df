"""Owns the demo's past: four accounts, lived through month by month with the real domain code.

Nothing is drawn by chance, and nothing is inserted as a result: a scene is what the platform or an agent does at its
moment, and between scenes the clock is advanced as a test clock is, so that what falls due happens by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from billing_mcp.catalog.loader import default_catalog
from billing_mcp.demo.payments import Agents
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
from billing_mcp.domain.errors import Refused
from billing_mcp.domain.money import MICROS_PER_UNIT
from billing_mcp.domain.periods import period_of
from billing_mcp.operations.platform import ComponentType, count_components, open_account, receive_payment
from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.payments.embedded import EmbeddedProvider
from billing_mcp.store.store import Store
from billing_mcp.store.test_clock import ClockMark
from billing_mcp.worker.advancing import Advance

MONTHS = 6
_CURRENCY = "EUR"
_OFFERED = 60
"""To how many customers the campaign goes that is paused."""


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
    pays_by: str | None = None
    """The token of the payment method that it tops up with; None: by bank transfer."""
    returned_eur: tuple[tuple[int, int], ...] = ()
    """In which month a SEPA debit of how much is tried from an account that the bank takes it back to."""
    wants: Mapping[str, Mapping[str, Any]] | None = None
    """What its agent sets in the month that runs now: functions with their arguments."""


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
        pays_by="tok_visa",
        wants={
            "billing.auto_reload.set": {"enabled": True, "threshold": "50.00", "target": "250.00", "monthly_cap": 500},
            "billing.alerts.set": {"amounts": ["100.00", "25.00"]},
        },
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
        pays_by="tok_sepa",
        returned_eur=((3, 60),),
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

DEMO_ACCOUNTS = frozenset({SENDER.account_id, *(story.account_id for story in STORIES)})

Scene = tuple[datetime, Callable[["_Stage"], Awaitable[None]]]


async def seed_demo(
    store: Store,
    now: datetime,
    *,
    messages: int = MESSAGES,
    stands: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Live the past of the demo's accounts up to `now`. False when they are there already.

    The sender has sent about so many `messages`. Raises Refused with code `demo_incomplete` where some of the accounts
    are there, and not all of their invoices: seeding was interrupted.

    A database that is the demo's alone gets a clock that can be advanced: it `stands` at `now`, or goes with the
    system's time until then. `progress` hears how many scenes are played, of how many.
    """
    async with store.read(now) as tx:
        there = {each.account_id for each in await tx.accounts.all()}
        alone = not there and await tx.test_clock.find() is None
        whole = [story for story in STORIES if await tx.invoices.count(story.account_id) >= MONTHS]
    if len(whole) == len(STORIES):
        return False
    if there & DEMO_ACCOUNTS:
        raise Refused(
            "the demo's past in this database is incomplete: seeding it was interrupted",
            code="demo_incomplete",
            hint="Give another --database.",
        )
    scenes = [*_traffic(now, messages), *(scene for story in STORIES for scene in _scenes(story, now.date()))]
    played = sorted((scene for scene in scenes if scene[0] <= now), key=lambda scene: scene[0])
    stage = await _Stage.open(store, played[0][0])
    try:
        for done, (moment, act) in enumerate(played, start=1):
            await stage.time.to(moment)
            await act(stage)
            if progress is not None:
                progress(done, len(played))
        await stage.time.to(now)
    finally:
        await stage.agents.close()
    if alone:
        async with store.write(now) as tx:
            await tx.test_clock.set(ClockMark(now if stands else None))
    return True


class _Stage:
    """The store, agents, and a clock with a worker for what falls due between two scenes."""

    agents: Agents
    time: Advance

    def __init__(self, store: Store, now: datetime) -> None:
        self.now = now
        self.store = store
        self.catalog = default_catalog()

    @classmethod
    async def open(cls, store: Store, now: datetime) -> _Stage:
        """The stage at the first scene, with a payment provider."""
        # What there may be of others in the database has its own time.
        stage = cls(store.of_accounts(DEMO_ACCOUNTS), now)
        provider = await EmbeddedProvider.open(stage.store, stage.clock)
        stage.agents = Agents(stage.store, stage.catalog, stage.clock, provider)
        stage.time = Advance(stage.store, stage.clock, stage.go, stage.agents.worker)
        return stage

    def clock(self) -> datetime:
        """The moment of the past that is being lived."""
        return self.now

    async def go(self, moment: datetime) -> None:
        """Time goes on."""
        self.now = moment


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
        yield midnight + timedelta(hours=8), _count(story, month)
        yield from _payments(story, month, midnight)
        if month == MONTHS and story.wants:
            yield midnight + timedelta(hours=9, minutes=40), _set(story, story.wants)
        if month == 0:
            yield midnight + timedelta(hours=10), _choose(story, story.first_plan)
        if month == MONTHS and story.holds:
            yield midnight + timedelta(hours=9, minutes=45), _hold(story)
        for when, plan_id in story.changes:
            if when == month:
                yield midnight + timedelta(days=11, hours=14), _choose(story, plan_id)


def _payments(story: Story, month: int, midnight: datetime) -> Iterator[Scene]:
    """What comes in, or is tried."""
    if story.topups_eur[month]:
        yield midnight + timedelta(hours=9, minutes=30), _pay(story, month)
    for when, euros in story.returned_eur:
        if when == month:
            yield midnight + timedelta(days=5, hours=11), _try(story, euros)


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
        euros = story.topups_eur[month]
        if story.pays_by is not None:
            await stage.agents.pay(story.account_id, story.pays_by, euros)
            return
        async with stage.store.write(stage.now) as tx:
            await receive_payment(tx, story.account_id, euros * MICROS_PER_UNIT, provider="bank_transfer")

    return act


def _try(story: Story, euros: int) -> Callable[[_Stage], Awaitable[None]]:
    return lambda stage: stage.agents.pay(story.account_id, "tok_sepa_returned", euros)


def _set(story: Story, wants: Mapping[str, Mapping[str, Any]]) -> Callable[[_Stage], Awaitable[None]]:
    async def act(stage: _Stage) -> None:
        for function, arguments in wants.items():
            await stage.agents.call(function, account_id=story.account_id, **arguments)

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
        await stage.agents.call("billing.plan.change", account_id=story.account_id, plan_id=plan_id)

    return act
