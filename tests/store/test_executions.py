"""Stored executions: whose they are, and which of them answers an idempotency key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from billing_mcp.domain.errors import Internal
from billing_mcp.store.executions import ExecutionRecord, StoredAnswer
from billing_mcp.store.store import Store
from tests.store.books import NOW, raw_connection

SCRIPT = "billing.wallet_balance.get(account_id='a')"


def record(principal_id: str, execution_id: str, answer_json: str = '{"status":"completed"}') -> ExecutionRecord:
    return ExecutionRecord(principal_id, execution_id, NOW, 1_500, "completed", False, SCRIPT, answer_json)


async def keep(store: Store, principal_id: str, key: str, *, execution_id: str, script: str = SCRIPT) -> None:
    async with store.write(NOW) as tx:
        await tx.executions.add([record(principal_id, execution_id, f'{{"id":"{execution_id}"}}')])
        await tx.executions.keep(principal_id, key, script, execution_id, NOW)


async def answered(store: Store, principal_id: str, key: str, script: str = SCRIPT) -> StoredAnswer | None:
    async with store.read(NOW) as tx:
        return await tx.executions.answered(principal_id, key, script)


@pytest.fixture
async def two_stores(postgresql: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two servers on one PostgreSQL database."""
    one, two = await Store.open(postgresql), await Store.open(postgresql)
    yield one, two
    await one.close()
    await two.close()


async def test_an_answer_is_found_by_its_principal_only(store: Store) -> None:
    async with store.write(NOW) as tx:
        await tx.executions.add([record("ann", "1", '{"of":"ann"}'), record("bob", "2", '{"of":"bob"}')])

    async with store.read(NOW) as tx:
        assert await tx.executions.answer("ann", "1") == '{"of":"ann"}'
        assert await tx.executions.answer("bob", "2") == '{"of":"bob"}'
        assert await tx.executions.answer("bob", "1") is None
        assert await tx.executions.answer("ann", "2") is None
        assert await tx.executions.answer("ann", "3") is None


async def test_two_principals_may_have_an_execution_of_the_same_id(store: Store) -> None:
    async with store.write(NOW) as tx:
        await tx.executions.add([record("ann", "1", '"a"'), record("bob", "1", '"b"')])

    async with store.read(NOW) as tx:
        assert (await tx.executions.answer("ann", "1"), await tx.executions.answer("bob", "1")) == ('"a"', '"b"')


async def test_all_of_an_execution_is_stored(store: Store, database: str) -> None:
    async with store.write(NOW) as tx:
        await tx.executions.add([record("ann", "1")])

    async with raw_connection(database) as run:
        rows = await run("SELECT principal_id, execution_id, duration_us, status, script, answer_json FROM executions")
    assert rows == [("ann", "1", 1_500, "completed", SCRIPT, '{"status":"completed"}')]


async def test_a_key_has_the_answer_of_the_execution_that_kept_it(store: Store) -> None:
    assert await answered(store, "ann", "key") is None

    await keep(store, "ann", "key", execution_id="1")

    assert await answered(store, "ann", "key") == StoredAnswer(same_script=True, answer_json='{"id":"1"}')


async def test_a_key_tells_another_script_from_its_own(store: Store) -> None:
    await keep(store, "ann", "key", execution_id="1")

    stored = await answered(store, "ann", "key", SCRIPT + " ")

    assert stored is not None
    assert not stored.same_script


async def test_principals_do_not_share_keys(store: Store) -> None:
    await keep(store, "ann", "key", execution_id="1")

    assert await answered(store, "bob", "key") is None
    await keep(store, "bob", "key", execution_id="2")
    assert await answered(store, "ann", "key") == StoredAnswer(same_script=True, answer_json='{"id":"1"}')
    assert await answered(store, "bob", "key") == StoredAnswer(same_script=True, answer_json='{"id":"2"}')


async def test_a_key_is_kept_once(store: Store) -> None:
    await keep(store, "ann", "key", execution_id="1")

    with capture_logs(), pytest.raises(Internal):
        await keep(store, "ann", "key", execution_id="2")

    assert await answered(store, "ann", "key") == StoredAnswer(same_script=True, answer_json='{"id":"1"}')
    async with store.read(NOW) as tx:
        assert await tx.executions.answer("ann", "2") is None


async def test_a_key_is_released_when_its_execution_is_undone(store: Store) -> None:
    async with store.write(NOW) as tx:
        await tx.executions.add([record("ann", "1")])
        await tx.executions.keep("ann", "key", SCRIPT, "1", NOW)
        assert await tx.executions.answered("ann", "key", SCRIPT) is not None
        tx.rollback_only = True

    assert await answered(store, "ann", "key") is None


async def test_neither_a_key_nor_a_script_is_stored_readable_with_its_key(store: Store, database: str) -> None:
    await keep(store, "ann", "a very secret key", execution_id="1")

    async with raw_connection(database) as run:
        ((key, script),) = await run("SELECT key_sha256, script_sha256 FROM idempotency_keys")
    assert len(bytes.fromhex(key)) == len(bytes.fromhex(script)) == 32


async def test_a_claim_on_a_key_is_granted_when_nobody_holds_it(store: Store) -> None:
    for _ in range(2):
        async with store.write(NOW + timedelta(seconds=1)) as tx:
            assert await tx.executions.claim("ann", "key")
            assert await tx.executions.claim("ann", "key")


async def test_a_claim_excludes_another_server_until_the_transaction_ends(two_stores: tuple[Store, Store]) -> None:
    one, two = two_stores
    async with two.write(NOW) as other:
        async with one.write(NOW) as tx:
            assert await tx.executions.claim("ann", "key")
            assert not await other.executions.claim("ann", "key")
        assert await other.executions.claim("ann", "key")


async def test_a_claim_ends_with_a_rollback_too(two_stores: tuple[Store, Store]) -> None:
    one, two = two_stores
    async with two.write(NOW) as other:
        async with one.write(NOW) as tx:
            assert await tx.executions.claim("ann", "key")
            tx.rollback_only = True
        assert await other.executions.claim("ann", "key")


async def test_a_claim_is_for_one_principal_and_one_key(two_stores: tuple[Store, Store]) -> None:
    one, two = two_stores
    async with one.write(NOW) as tx, two.write(NOW) as other:
        assert await tx.executions.claim("ann", "key")
        assert await other.executions.claim("bob", "key")
        assert await other.executions.claim("ann", "another key")
        assert not await tx.executions.claim("bob", "key")
