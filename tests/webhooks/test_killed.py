"""Workers that are killed while they tell somebody: the next one tells it again, as the same message."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import timedelta

import pytest

from billing_mcp.store.store import Store
from tests.conftest import Clock
from tests.faults.test_worker import start
from tests.store.books import ACCOUNT, open_books, raw_connection
from tests.webhooks.receiver import EVENT, Heard, Post, receiving, reply

EVENTS = 60
KILLS = 3
LOCAL = {"BILLING_MCP_WEBHOOKS_TO_LOOPBACK": "true"}


async def _prepared(database: str, *urls: str, events: int) -> None:
    store = await Store.open(database)
    try:
        await open_books(store)
        post = Post(store, Clock())
        for url in urls:
            await post.endpoint(url)
        for number in range(events):
            await post.event(number=number)
    finally:
        await store.close()


async def test_a_worker_killed_in_the_middle_of_a_delivery_leaves_it_to_the_next_as_the_same_message(
    database: str, clock: Clock
) -> None:
    hanging = True

    async def answer(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        if hanging:
            await asyncio.Event().wait()
        await reply(writer, 200)

    async with receiving(answer) as receiver:
        await _prepared(database, receiver.url, events=1)
        worker = await start(database, now=clock.now, **LOCAL)
        await receiver.until(1)
        worker.kill()
        await worker.communicate()
        hanging = False
        soon = await start(database, "--once", now=clock.now, **LOCAL)  # the lease of the one that is gone holds still
        await soon.communicate()
        assert len(receiver.heard) == 1
        later = await start(database, "--once", now=clock.now + timedelta(minutes=5), **LOCAL)
        await later.communicate()

    first, second = receiver.heard
    assert (first.message_id, first.body) == (second.message_id, second.body)
    async with raw_connection(database) as run:
        assert await run("SELECT status, attempts FROM webhook_deliveries") == [("delivered", 1)]
        assert await run("SELECT * FROM outbox") == []


@pytest.mark.timeout(300)
async def test_workers_killed_again_and_again_fan_each_event_out_once_and_tell_all_of_it(
    database: str, clock: Clock
) -> None:
    async with receiving() as one, receiving() as other:
        await _prepared(database, one.url, other.url, events=EVENTS)
        now = clock.now
        for kill in range(1, KILLS + 1):
            worker = await start(database, now=now, **LOCAL)
            try:
                await _fanned_out(database, min(EVENTS, EVENTS * kill // (KILLS + 1)))
            finally:
                with suppress(ProcessLookupError):
                    worker.kill()
                await worker.communicate()
            assert worker.returncode == -9
            now += timedelta(minutes=5)  # its leases have ended by then
        last = await start(database, "--once", "--json", now=now, **LOCAL)
        said, errors = await last.communicate()
        assert last.returncode == 0, errors
        assert b'"dead": 0' in said

    async with raw_connection(database) as run:
        told = await run("SELECT endpoint_id, event_id, status FROM webhook_deliveries WHERE account_id = $1", ACCOUNT)
        assert await run("SELECT * FROM outbox") == []
    assert Counter(status for *_, status in told) == {"delivered": 2 * EVENTS}
    assert len({(endpoint_id, event_id) for endpoint_id, event_id, _ in told}) == 2 * EVENTS
    for receiver in (one, other):
        assert {heard.message_id for heard in receiver.heard} == {event_id for _, event_id, _ in told}


async def _fanned_out(database: str, events: int) -> None:
    async with asyncio.timeout(60):
        while True:
            async with raw_connection(database) as run:
                ((left,),) = await run("SELECT COUNT(*) FROM outbox WHERE event = $1", EVENT)
            if EVENTS - left >= events:
                return
            await asyncio.sleep(0.002)


async def test_two_workers_at_once_tell_each_endpoint_of_each_event_once(database: str, clock: Clock) -> None:
    async with receiving() as receiver:
        await _prepared(database, receiver.url, events=40)
        workers = [await start(database, "--once", now=clock.now, **LOCAL) for _ in range(2)]
        await asyncio.gather(*(worker.communicate() for worker in workers))
        rest = await start(database, "--once", now=clock.now, **LOCAL)
        await rest.communicate()

    assert [worker.returncode for worker in (*workers, rest)] == [0, 0, 0]
    assert Counter(heard.message_id for heard in receiver.heard).most_common(1)[0][1] == 1
    assert len(receiver.heard) == 40
