"""A key of the platform is free, leased or answered, and every server on the database knows which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from billing_mcp.domain.errors import Conflict, InvalidArgument
from billing_mcp.store.platform_requests import KeyedRequest
from billing_mcp.store.store import Store
from tests.store.books import NOW, raw_connection

ASKED = KeyedRequest.of("platform_1", "k1", "POST /accounts\n{}")
OTHER_BODY = KeyedRequest.of("platform_1", "k1", 'POST /accounts\n{"name":"X"}')
OTHER_PLATFORM = KeyedRequest.of("platform_2", "k1", "POST /accounts\n{}")
UNTIL = NOW + timedelta(seconds=60)


async def ask(store: Store, request: KeyedRequest = ASKED, *, after_s: float = 0) -> str | None:
    """What a request is told, some time after NOW."""
    async with store.write(NOW + timedelta(seconds=after_s)) as tx:
        return await tx.platform_requests.answered(request)


async def lease(store: Store, *, after_s: float = 0) -> None:
    async with store.write(NOW + timedelta(seconds=after_s)) as tx:
        assert await tx.platform_requests.answered(ASKED) is None
        await tx.platform_requests.lease(ASKED, UNTIL + timedelta(seconds=after_s))


async def settle(store: Store, answer: str, *, after_s: float = 0) -> bool:
    async with store.write(NOW) as tx:
        return await tx.platform_requests.settle(ASKED, UNTIL + timedelta(seconds=after_s), answer)


async def refused(store: Store, request: KeyedRequest = ASKED, *, after_s: float = 0) -> str:
    """The code that a request is refused with."""
    with pytest.raises((Conflict, InvalidArgument)) as refusal:
        await ask(store, request, after_s=after_s)
    return refusal.value.code


async def test_what_was_answered_is_known_to_every_server(store: Store, second_store: Store) -> None:
    assert await ask(store) is None
    async with store.write(NOW) as tx:
        assert await tx.platform_requests.answered(ASKED) is None
        await tx.platform_requests.keep(ASKED, "done")

    assert await ask(store) == await ask(second_store) == "done"
    assert await refused(second_store, OTHER_BODY) == "idempotency_key_reused"
    assert await ask(second_store, OTHER_PLATFORM) is None


async def test_a_transaction_that_fails_keeps_no_answer(store: Store) -> None:
    async def fail() -> None:
        async with store.write(NOW) as tx:
            await tx.platform_requests.keep(ASKED, "done")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert await ask(store, OTHER_BODY) is None


async def test_what_is_leased_is_in_use_until_the_lease_lapses(store: Store, second_store: Store) -> None:
    await lease(store)

    assert await refused(second_store, after_s=59.999) == "idempotency_key_in_use"
    assert await ask(second_store, after_s=60) is None
    assert await refused(second_store, OTHER_BODY, after_s=1000) == "idempotency_key_reused"


async def test_only_who_holds_the_lease_can_answer(store: Store, second_store: Store) -> None:
    await lease(store)
    await lease(second_store, after_s=60)

    assert not await settle(store, "late")
    assert await settle(second_store, "in time", after_s=60)
    assert not await settle(second_store, "again", after_s=60)
    assert await ask(store) == "in time"


async def test_a_lease_that_is_ended_is_for_the_same_request_at_once(store: Store) -> None:
    await lease(store)
    async with store.write(NOW) as tx:
        await tx.platform_requests.end_lease(ASKED, UNTIL)

    assert await ask(store) is None
    assert await refused(store, OTHER_BODY) == "idempotency_key_reused"


async def test_a_key_that_is_forgotten_is_free_but_never_one_that_was_answered(store: Store) -> None:
    await lease(store)
    async with store.write(NOW) as tx:
        await tx.platform_requests.forget(ASKED, UNTIL)
    assert await ask(store, OTHER_BODY) is None

    await lease(store)
    await settle(store, "done")
    async with store.write(NOW) as tx:
        await tx.platform_requests.forget(ASKED, UNTIL)
        await tx.platform_requests.end_lease(ASKED, UNTIL)
    assert await ask(store) == "done"


@pytest.fixture
async def another_postgresql_store(postgresql: str, postgresql_store: Store) -> AsyncIterator[Store]:
    """Another server on the database of `postgresql_store`."""
    assert postgresql_store.url.database
    second = await Store.open(postgresql)
    yield second
    await second.close()


async def test_of_two_servers_at_once_one_has_the_key(postgresql_store: Store, another_postgresql_store: Store) -> None:
    async with postgresql_store.write(NOW) as tx:
        assert await tx.platform_requests.answered(ASKED) is None
        assert await refused(another_postgresql_store) == "idempotency_key_in_use"
        assert await ask(another_postgresql_store, OTHER_PLATFORM) is None
        await tx.platform_requests.keep(ASKED, "done")

    assert await ask(another_postgresql_store) == "done"


async def test_who_takes_over_waits_for_an_answer_that_is_being_kept(
    postgresql_store: Store, another_postgresql_store: Store
) -> None:
    """Otherwise it would write its lease over the answer."""
    await lease(postgresql_store)
    async with postgresql_store.write(NOW) as settling:
        assert await settling.platform_requests.settle(ASKED, UNTIL, "done")
        taking = asyncio.create_task(ask(another_postgresql_store, after_s=60))
        assert await asyncio.wait({taking}, timeout=0.3) == (set(), {taking})

    assert await taking == "done"


async def test_neither_key_nor_request_is_stored_in_clear(store: Store, database: str) -> None:
    secret = KeyedRequest.of("platform_1", "k_secret", "POST /keys\nk_secret")
    async with store.write(NOW) as tx:
        await tx.platform_requests.keep(secret, "done")

    async with raw_connection(database) as run:
        assert "k_secret" not in str(await run("SELECT * FROM platform_requests"))
