"""The outbox: one worker at a time has a piece of work, until its lease ends; what is dead can be revived."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.events import Event
from billing_mcp.store.outbox import Work
from billing_mcp.store.store import Store
from tests.store.books import ACCOUNT, NOW, OTHER, open_books

TOPIC = "test.topic"
LEASE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
async def _accounts(store: Store) -> None:
    await open_books(store)
    await open_books(store, account_id=OTHER)


async def add(store: Store, count: int = 1, *, topic: str = TOPIC, at: datetime = NOW) -> None:
    async with store.write(at) as tx:
        for number in range(count):
            await tx.outbox.add(Event(ACCOUNT, topic, {"number": str(number)}))


async def add_once(store: Store, *account_ids: str, at: datetime = NOW) -> int:
    async with store.write(at) as tx:
        return await tx.outbox.add_once(TOPIC, account_ids)


async def take(store: Store, *, at: datetime = NOW, lease: str = "mine", limit: int = 10) -> list[Work]:
    async with store.write(at) as tx:
        return await tx.outbox.take(TOPIC, lease=lease, until=at + LEASE, limit=limit)


async def finish(store: Store, work: Work, *, at: datetime = NOW) -> bool:
    async with store.write(at) as tx:
        return await tx.outbox.finish(work)


async def put_off(store: Store, work: Work, *, until: datetime) -> bool:
    async with store.write(NOW) as tx:
        return await tx.outbox.put_off(work, until=until, error="database_busy")


async def bury(store: Store, work: Work, *, at: datetime = NOW) -> bool:
    async with store.write(at) as tx:
        return await tx.outbox.bury(work, error="internal_error")


async def revive(store: Store, event_id: str | None = None, *, at: datetime = NOW) -> int:
    async with store.write(at) as tx:
        return await tx.outbox.revive(event_id)


async def stored(store: Store) -> list[Work]:
    async with store.read(NOW) as tx:
        return await tx.outbox.listed(None, limit=1000)


async def test_no_two_take_the_same_work(store: Store, second_store: Store) -> None:
    await add(store, 300)

    async def take_all(source: Store, name: str) -> list[str]:
        taken: list[str] = []
        while some := await take(source, lease=name, limit=7):
            assert {work.lease for work in some} == {name}
            taken += [work.event_id for work in some]
        return taken

    hands = ((store, "a"), (second_store, "b"), (store, "c"), (second_store, "d"))
    taken = [each for some in await asyncio.gather(*(take_all(*hand) for hand in hands)) for each in some]

    assert len(taken) == len(set(taken)) == 300


async def test_work_whose_lease_has_ended_is_taken_by_another_and_the_late_one_cannot_touch_it(store: Store) -> None:
    await add(store)
    (late,) = await take(store, lease="late")
    over = NOW + LEASE
    assert await take(store, at=over - timedelta(microseconds=1)) == []

    (taken,) = await take(store, at=over, lease="next")

    assert (taken.event_id, taken.attempts, late.attempts) == (late.event_id, 2, 1)
    assert not await finish(store, late)
    assert not await put_off(store, late, until=NOW)
    assert not await bury(store, late)
    assert await stored(store) == [taken]
    assert await finish(store, taken)
    assert await stored(store) == []
    assert not await finish(store, taken)


async def test_what_is_put_off_is_due_at_its_moment_and_without_a_lease(store: Store) -> None:
    await add(store)
    (work,) = await take(store)
    later = NOW + timedelta(seconds=90)

    assert await put_off(store, work, until=later)

    (waiting,) = await stored(store)
    assert (waiting.due_at, waiting.lease, waiting.last_error) == (later, None, "database_busy")
    assert await take(store, at=later - timedelta(microseconds=1)) == []
    (again,) = await take(store, at=later, lease="next")
    assert (again.event_id, again.attempts) == (work.event_id, 2)
    assert not await finish(store, work)


async def test_what_waited_longest_comes_first_and_other_topics_do_not(store: Store) -> None:
    for minutes in (2, 0, 3, 1):
        await add(store, at=NOW + timedelta(minutes=minutes))
    await add(store, topic="other.topic")

    taken = await take(store, at=NOW + timedelta(minutes=2), limit=2)
    taken += await take(store, at=NOW + timedelta(minutes=2), lease="next", limit=9)

    assert [work.due_at - work.created_at for work in taken] == [LEASE + timedelta(minutes=n) for n in (2, 1, 0)]
    async with store.read(NOW + timedelta(minutes=2, seconds=59)) as tx:
        assert not await tx.outbox.is_due(TOPIC)
        assert await tx.outbox.is_due("other.topic")
        assert len(await tx.outbox.of(ACCOUNT)) == 5


async def test_an_account_has_work_of_a_name_once_while_it_waits(store: Store, second_store: Store) -> None:
    added = await asyncio.gather(*(add_once(each, ACCOUNT, OTHER) for each in (store, second_store) * 3))

    assert sum(added) == 2
    mine, other = await take(store)
    assert {mine.account_id, other.account_id} == {ACCOUNT, OTHER}
    assert await add_once(store, ACCOUNT, OTHER) == 0
    assert await finish(store, mine)
    assert await add_once(store, ACCOUNT, OTHER) == 1


async def test_work_is_added_for_accounts_that_there_are(store: Store) -> None:
    assert await add_once(store, "0190c0de-0000-7000-8000-00000000dead", OTHER) == 1


async def test_what_is_dead_is_not_taken_until_it_is_revived_with_all_its_attempts(store: Store) -> None:
    await add(store, 2)
    dead, other = await take(store)
    assert await bury(store, dead, at=NOW + LEASE / 2)
    assert await finish(store, other)
    later = NOW + timedelta(days=400)
    assert await take(store, at=later) == []
    (shown,) = await stored(store)
    assert (shown.status, shown.last_error, shown.ended_at) == ("dead", "internal_error", NOW + LEASE / 2)

    assert await revive(store, dead.event_id, at=later) == 1

    (work,) = await take(store, at=later)
    assert (work.event_id, work.attempts, work.status, work.ended_at) == (dead.event_id, 1, "waiting", None)
    with pytest.raises(NotFound, match=dead.event_id):
        await revive(store, dead.event_id)


async def test_all_that_is_dead_is_revived_at_once(store: Store) -> None:
    await add(store, 3)
    for work in await take(store):
        await bury(store, work)
    await add(store)

    assert await revive(store) == 3
    assert await revive(store) == 0
    assert len(await take(store)) == 4


async def test_of_dead_work_of_one_name_one_stays_and_it_goes_when_the_same_is_done(store: Store) -> None:
    for day in range(3):
        at = NOW + timedelta(days=day)
        assert await add_once(store, ACCOUNT, at=at) == 1
        (work,) = await take(store, at=at)
        assert await bury(store, work, at=at)
    (dead,) = await stored(store)
    assert dead.ended_at == NOW + timedelta(days=2)

    await add_once(store, ACCOUNT, OTHER)
    for work in await take(store):
        assert await finish(store, work)

    assert await stored(store) == []


async def test_dead_work_is_deleted_when_it_is_revived_while_the_same_waits(store: Store) -> None:
    await add_once(store, ACCOUNT)
    (dead,) = await take(store)
    await bury(store, dead)
    await add_once(store, ACCOUNT, OTHER)

    assert await revive(store) == 1

    waiting = await stored(store)
    assert [(work.status, work.event_id == dead.event_id) for work in waiting] == [("waiting", False)] * 2


async def test_work_is_unsettled_while_it_waits_and_for_a_time_when_it_is_dead(store: Store) -> None:
    async def unsettled(since: datetime) -> set[str]:
        async with store.read(NOW) as tx:
            return await tx.outbox.unsettled(TOPIC, [ACCOUNT, OTHER], dead_since=since)

    await add(store, topic="other.topic")
    assert await unsettled(NOW) == set()
    await add_once(store, ACCOUNT, OTHER)
    assert await unsettled(NOW) == {ACCOUNT, OTHER}
    for work in await take(store):
        await (bury if work.account_id == ACCOUNT else finish)(store, work)

    assert await unsettled(NOW - timedelta(microseconds=1)) == {ACCOUNT}
    assert await unsettled(NOW) == set()
