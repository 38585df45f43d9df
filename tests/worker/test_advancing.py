"""A clock that is advanced: what would have happened meanwhile has, each at its moment, and nothing before its time."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from billing_mcp.app import App, clock_on
from billing_mcp.cli.serve import _remarks
from billing_mcp.domain.advancing import Due
from billing_mcp.domain.clock import system_clock
from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.operations.topup_start import CHARGE
from billing_mcp.settings import Settings
from billing_mcp.store.clocks import DatabaseClock
from billing_mcp.store.store import Store
from billing_mcp.store.test_clock import ClockMark
from billing_mcp.worker.advancing import Advance, stored
from billing_mcp.worker.expiry import EXPIRE_HOLDS
from tests.conftest import fresh_database
from tests.faults.ground import until
from tests.store.books import raw_connection
from tests.worker.till import EUR, Till, amounts

START = datetime(2026, 1, 30, 12, tzinfo=UTC)
HOLD_LASTS = timedelta(days=7)
DAY = timedelta(days=1)


@pytest.fixture
async def clock(store: Store) -> DatabaseClock:
    """The database's own clock, which stands at START."""
    return await started(store)


@pytest.fixture
async def till(store: Store, clock: DatabaseClock) -> Till:
    return await Till.open(store, clock)


async def started(store: Store) -> DatabaseClock:
    async with store.write(START) as tx:
        await tx.test_clock.set(ClockMark(START))
    return DatabaseClock(ClockMark(START))


def advance(till: Till, *, patience_s: float = 0, of: list[str] | None = None) -> Advance:
    """Of some accounts, or of all; it leaves the events that accounts hear of where a test can read them."""
    assert isinstance(till.clock, DatabaseClock)
    store = till.store if of is None else till.store.of_accounts(of)
    limited = Till(store, till.clock, type(till.provider)(store, till.clock, till.provider._secret))
    return Advance(store, till.clock, stored(store, till.clock), limited.worker(), patience_s=patience_s)


async def hold(till: Till, account_id: str, *, expires_at: datetime | None = None, micros: int = EUR) -> str:
    receipt = await PlatformHolds(till.store, till.clock).place(account_id, micros, expires_at=expires_at)
    assert receipt.hold is not None
    return receipt.hold.hold_id


async def moments(till: Till, account_id: str) -> dict[str, datetime]:
    """When each type of transaction was posted last."""
    return {each.type: each.created_at for each in await till.ledger(account_id)}


async def stands_at(store: Store) -> datetime | None:
    async with store.read(START) as tx:
        mark = await tx.test_clock.find()
    assert mark is not None
    return mark.stands_at


async def test_holds_expire_and_payments_settle_and_are_taken_back_each_at_its_moment(till: Till) -> None:
    sepa, returned = await till.account("tok_sepa", funds=5 * EUR), await till.account("tok_sepa_returned")
    expires_at = START + timedelta(days=2, hours=1)
    await hold(till, sepa, expires_at=expires_at)
    for each in (sepa, returned):
        await till.topup(each)

    await advance(till).to(START + 2 * DAY)
    assert "release" not in await moments(till, sepa)
    await advance(till).to(START + 40 * DAY)

    assert (await moments(till, sepa))["release"] == expires_at
    assert (await moments(till, sepa))["topup"] == START + 3 * DAY
    assert (await moments(till, returned))["topup"] == START + 3 * DAY
    assert (await moments(till, returned))["reversal"] == START + 10 * DAY
    assert [each.status for each in await till.topups(returned)] == ["reversed"]
    assert await stands_at(till.store) == till.clock() == START + 40 * DAY
    await till.assert_sound()


async def test_a_wallet_rests_after_a_decline_and_is_tried_again_when_it_has(till: Till) -> None:
    account_id = await till.account("tok_declined", funds=100 * EUR)
    await till.must("auto_reload.set", account_id, enabled=True, threshold="50.00", amount="60.00")
    await hold(till, account_id, micros=60 * EUR, expires_at=START + 90 * DAY)

    await advance(till).to(START + 10 * DAY)

    tried = [each.created_at for each in await till.topups(account_id)]
    assert len(tried) == 3
    assert tried[0] == START
    assert tried == sorted(set(tried))
    async with till.store.read(till.clock()) as tx:
        reload = await tx.watches.reload(account_id)
    assert (reload.enabled, reload.declines) == (False, 3)


async def furnished(store: Store) -> Till:
    """Accounts with a bit of everything that time makes due, the same in each database."""
    till = await Till.open(store, await started(store))
    for number, token in enumerate(("tok_sepa_returned", "tok_webhooks_unordered")):
        account_id = f"0190c0de-0000-7000-a000-{number:012d}"
        await till.open_account(account_id, token, funds=100 * EUR)
        for days in (9, 32):
            await hold(till, account_id, expires_at=START + timedelta(days=days, hours=number))
        await till.topup(account_id)
        await till.must("auto_reload.set", account_id, enabled=True, threshold="99.00", amount="60.00")
    return till


async def past(till: Till) -> dict[str, Any]:
    """The ledger and the events of all accounts, without what is drawn by chance."""
    async with till.store.read(till.clock()) as tx:
        accounts = [each.account_id for each in await tx.accounts.all()]
        told = await tx.outbox.listed(None, limit=1000)
    return {
        account_id: (
            [(each.type, each.created_at, each.description, amounts(each)) for each in await till.ledger(account_id)],
            sorted(
                (each.created_at, each.topic, str(each.payload.get("amount")))
                for each in told
                if each.account_id == account_id
            ),
        )
        for account_id in accounts
    }


@pytest.fixture
async def other(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> AsyncIterator[Store]:
    """A second fresh database of the same kind."""
    if "://" in database:
        url = await fresh_database(request.getfixturevalue("postgresql_server"))
    else:
        url = str(shutil.copyfile(request.getfixturevalue("migrated_sqlite"), tmp_path / "other.db"))
    opened = await Store.open(url)
    yield opened
    await opened.close()


async def test_in_steps_and_cut_off_in_each_of_them_it_comes_to_the_same_as_in_one_go(
    store: Store, other: Store
) -> None:
    in_one_go, in_steps = await furnished(store), await furnished(other)
    clock = in_steps.clock
    assert isinstance(clock, DatabaseClock)
    end = START + 35 * DAY
    await advance(in_one_go).to(end)

    for days in (1, 3, 9, 10, 30, 35):
        cut_at: list[datetime] = []
        task = asyncio.create_task(advance(in_steps).to(START + days * DAY, on_stop=cut_at.append))
        await until(lambda cut_at=cut_at, task=task: bool(cut_at) or task.done(), "a stop")  # type: ignore[misc]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        at = await stands_at(other)
        assert at == clock() <= START + days * DAY
        await advance(in_steps).to(START + days * DAY)

    lived = await past(in_one_go)
    assert lived == await past(in_steps)
    kinds = {transaction[0] for ledger, _ in lived.values() for transaction in ledger}
    assert kinds >= {"topup", "hold", "release", "reversal"}
    for ledger, _ in lived.values():
        assert [each[1] for each in ledger] == sorted(each[1] for each in ledger)
    await in_steps.assert_sound()


async def test_what_one_account_has_due_is_done_without_the_others_and_theirs_is_caught_up_later(
    till: Till, database: str
) -> None:
    mine, theirs = await till.account("tok_sepa", funds=9 * EUR), await till.account("tok_sepa", funds=9 * EUR)
    for each in (mine, theirs):
        await hold(till, each)
        await till.topup(each)
        await till.must("auto_reload.set", each, enabled=True, threshold="8.50", amount="60.00")
    before = await past(till)

    await advance(till, of=[mine]).to(START + 20 * DAY)

    after = await past(till)
    assert after[theirs] == before[theirs]
    async with raw_connection(database) as run:
        met = await run("SELECT DISTINCT account_id FROM provider_objects WHERE kind = 'payment'")
    assert met == [(mine,)]
    assert (await moments(till, mine))["release"] == START + HOLD_LASTS
    await advance(till).to(START + 30 * DAY)
    assert (await moments(till, theirs))["release"] == START + 20 * DAY
    assert (await moments(till, theirs))["topup"] == START + 23 * DAY
    await till.assert_sound()


async def test_what_can_never_be_done_does_not_hold_the_clock_back(till: Till, database: str) -> None:
    broken, sound = await till.account(funds=9 * EUR), await till.account(funds=9 * EUR)
    for each in (broken, sound):
        await hold(till, each)
    async with raw_connection(database) as run:
        await run("UPDATE wallets SET reserved_micros = 0 WHERE account_id = $1", broken)
    stops: list[datetime] = []

    await advance(till).to(START + 10 * DAY, on_stop=stops.append)

    assert till.clock() == START + 10 * DAY
    assert (await moments(till, sound))["release"] == START + HOLD_LASTS
    assert "release" not in await moments(till, broken)
    assert stops == sorted(set(stops))
    assert len(stops) < 60


async def test_what_a_killed_process_had_begun_is_done_at_its_moment_all_the_same(till: Till) -> None:
    account_id = await till.account("tok_visa")
    await till.topup(account_id)
    async with till.store.write(till.clock()) as tx:
        assert await tx.outbox.take(CHARGE, lease="of the dead", until=START + timedelta(seconds=105), limit=9)

    await advance(till).to(START + DAY)

    assert (await moments(till, account_id))["topup"] == START
    await till.assert_charged_and_credited_once(account_id)


async def test_what_another_worker_has_begun_is_left_to_it_for_a_while(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = await till.account(funds=9 * EUR)
    await hold(till, account_id, expires_at=START + timedelta(seconds=50))
    async with till.store.write(till.clock()) as tx:
        await tx.outbox.add_once(EXPIRE_HOLDS, [account_id])
    async with till.store.write(till.clock()) as tx:
        (work,) = await tx.outbox.take(EXPIRE_HOLDS, lease="alive", until=START + timedelta(seconds=105), limit=9)
    waiting = advance(till, patience_s=30)
    look, looked = waiting._look, asyncio.Event()

    async def looking() -> Due:
        looked.set()
        return await look()

    monkeypatch.setattr(waiting, "_look", looking)
    going = asyncio.create_task(waiting.to(START + DAY))
    await looked.wait()
    async with till.store.write(till.clock()) as tx:
        assert await tx.outbox.finish(work)
    await going

    assert (await moments(till, account_id))["release"] == START + timedelta(seconds=50)
    assert waiting._worker.outcomes == {"done": 1}  # that of its moment: what the other had begun was its own


async def test_two_that_advance_one_clock_at_once_do_everything_once_and_neither_takes_it_back(store: Store) -> None:
    one = await furnished(store)
    two = await Till.open(store, DatabaseClock(ClockMark(START)))

    await asyncio.gather(
        advance(one, patience_s=5).to(START + 30 * DAY), advance(two, patience_s=5).to(START + 50 * DAY)
    )

    assert await stands_at(store) == START + 50 * DAY
    await one.assert_sound()
    for ledger, _ in (await past(two)).values():
        assert [each[0] for each in ledger].count("release") == 2


async def test_a_running_app_follows_an_advance_of_another_process(store: Store, database: str) -> None:
    await started(store)
    async with App.open(Settings(database=database, workers=1)) as app:
        assert app.clock() == START
        assert any("its clock stands at 2026-01-30T12:00:00Z" in each for each in await _remarks(app))
        async with store.write(START) as tx:
            assert await tx.test_clock.advance(START + DAY) == START + DAY
        await until(lambda: app.clock() == START + DAY, "the advance", within_s=5)


async def test_a_clock_never_goes_back(store: Store, clock: DatabaseClock) -> None:
    async with store.write(START) as tx:
        assert await tx.test_clock.advance(START + DAY) == START + DAY
        assert await tx.test_clock.advance(START) == START + DAY
    assert await stands_at(store) == START + DAY

    clock.set(ClockMark(START + DAY))
    assert clock() == START + DAY
    for earlier in (START, None):  # as a backup that is put back may say
        clock.set(ClockMark(earlier))
        assert clock() >= START + DAY


async def test_a_clock_that_goes_with_the_systems_stands_once_it_is_advanced(store: Store) -> None:
    async with store.write(START) as tx:
        await tx.test_clock.set(ClockMark(None))
    clock = await clock_on(store, Settings(database="unused"))
    before = system_clock()
    assert before <= clock() <= clock() <= system_clock()

    far = before + 400 * DAY
    async with store.write(before) as tx:
        await tx.test_clock.advance(far)

    assert (await clock_on(store, Settings(database="unused")))() == far
    assert (await clock_on(store, Settings(database="unused", now=START)))() == START


async def test_a_database_without_a_clock_has_the_systems_time(store: Store) -> None:
    assert await clock_on(store, Settings(database="unused")) is system_clock
