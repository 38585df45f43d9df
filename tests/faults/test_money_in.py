"""Workers that are killed between a charge and its record, and processes that cross a threshold together."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from billing_mcp.store.store import Store
from tests.conftest import Clock
from tests.faults import SOAK
from tests.faults.cashiers import PLACES
from tests.store.books import raw_connection
from tests.worker.till import EUR, Till

PROJECT = Path(__file__).parents[2]
KILLS = 300 if SOAK else 30
CROSSINGS = 100 if SOAK else 10
LEASE = timedelta(minutes=5)


@pytest.fixture
async def till(store: Store, clock: Clock) -> Till:
    return await Till.open(store, clock)


async def started(module: str, database: str, now: datetime, *words: str) -> str:
    """What a module says that runs to its end."""
    command = (sys.executable, "-m", f"tests.faults.{module}", database, str(int(now.timestamp())), *words)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, cwd=PROJECT)
    said, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return said.decode()


async def killed(database: str, now: datetime, places: list[str], *, every: timedelta = timedelta()) -> None:
    """As many workers as places are killed, each at its own."""
    said = await started("cashiers", database, now, str(int(every.total_seconds())), *places)
    assert said.splitlines() == [f"{place} -9" for place in places]


@pytest.mark.timeout(600)
async def test_a_worker_that_is_killed_between_charge_and_record_charges_once_and_credits_once(
    till: Till, database: str, clock: Clock
) -> None:
    places = [list(PLACES)[number % len(PLACES)] for number in range(KILLS)]
    accounts = [await till.account() for _ in places]
    for account_id in accounts:
        await till.topup(account_id)

    await killed(database, clock.now, places)

    async with raw_connection(database) as run:
        assert await run("SELECT COUNT(*) FROM outbox WHERE lease IS NOT NULL") == [(KILLS,)]
        assert await run("SELECT COUNT(*) FROM ledger_transactions") == [(places.count("recorded"),)]
    stored = [topup.payment_id is not None for each in accounts for topup in await till.topups(each)]
    assert stored.count(False) == places.count("registered")
    taken = [each for each in await till.payments() if each.facts.received_micros]
    assert len(taken) == places.count("confirmed") + places.count("recording") + places.count("recorded")
    for account_id in accounts[::2]:
        await till.told(account_id)  # and these webhooks are lost
    clock.now += LEASE
    await till.worker().run_once()
    for account_id in accounts:
        await till.assert_charged_and_credited_once(account_id)
        assert await till.told(account_id) == []
    await till.assert_sound()


async def test_a_charge_whose_worker_is_killed_again_and_again_is_made_once(
    till: Till, database: str, clock: Clock
) -> None:
    account_id = await till.account()
    await till.topup(account_id)
    await killed(database, clock.now, list(PLACES), every=LEASE)
    clock.now += len(PLACES) * LEASE
    await till.worker().run_once()
    await till.assert_charged_and_credited_once(account_id)
    await till.assert_sound()


@pytest.mark.timeout(300)
async def test_two_processes_that_cross_the_threshold_together_make_one_charge(
    till: Till, database: str, clock: Clock
) -> None:
    accounts = [await till.account(funds=30 * EUR) for _ in range(CROSSINGS)]
    for account_id in accounts:
        await till.must("auto_reload.set", account_id, enabled=True, threshold="20.00", amount="50.00")

    await started("crossers", database, clock.now, *accounts)

    clock.now += LEASE
    await till.worker().run_once()
    for account_id in accounts:
        (reload,) = await till.topups(account_id)
        assert (reload.origin, reload.status, reload.net_micros) == ("auto_reload", "succeeded", 50 * EUR)
        assert (await till.wallet(account_id)).available_micros == (30 - 22 + 50) * EUR
        await till.assert_charged_and_credited_once(account_id)
    await till.assert_sound()


async def test_fifty_holds_that_cross_it_at_a_time_make_one_charge(till: Till) -> None:
    account_id = await till.account(funds=70 * EUR)
    await till.must("auto_reload.set", account_id, enabled=True, threshold="50.00", amount="60.00")

    await asyncio.gather(*(till.app.holds.place(account_id, EUR) for _ in range(50)))
    assert len(await till.events(account_id, "billing.balance.moved")) == 1
    await till.worker().run_once()

    assert (await till.wallet(account_id)).available_micros == (70 - 50 + 60) * EUR
    await till.assert_charged_and_credited_once(account_id)
