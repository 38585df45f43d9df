"""A PostgreSQL server that dies under writers: bounded errors, nothing lost, and the store works again by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from billing_mcp.store.store import Store
from tests.faults import SOAK
from tests.faults.ground import EUR, Crowd, account, holds_on, open_accounts, outcomes, pay
from tests.faults.servers import Server

LOST = {"outcome_unknown", "database_unavailable"}
ROUNDS = 10 if SOAK else 2


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Store]:
    """A store on a server that may be killed."""
    opened = await Store.open(server.database)
    yield opened
    await opened.close()


@pytest.fixture
async def crowd(store: Store) -> AsyncIterator[Crowd]:
    """Writers who are at work. That a server is gone is no defect of ours: nothing is logged as one."""
    crowd = Crowd(store, await open_accounts(store, 4))
    with capture_logs() as logs:
        crowd.start()
        yield crowd
        await crowd.stop()
    assert [log for log in logs if log["log_level"] == "error"] == []


async def test_a_server_that_is_killed_under_writers_is_missed_and_works_again(
    server: Server, store: Store, crowd: Crowd
) -> None:
    for _ in range(ROUNDS):
        await crowd.more(50)
        told = len(crowd.codes)
        await server.kill()
        await crowd.errors(told + 16)
        holds = holds_on(store)
        refused = await outcomes([holds.place(account(0), EUR), pay(store, account(1), "down"), holds.get("a", "b")])
        assert refused == ["database_unavailable"] * 3
        await server.start()
        await crowd.more(50)

    await crowd.stop()
    assert set(crowd.codes) <= LOST
    await crowd.assert_all_happen_once(server.database)


async def test_a_server_that_restarts_since_a_process_of_it_was_killed_loses_nothing(
    server: Server, crowd: Crowd
) -> None:
    for _ in range(ROUNDS):
        await crowd.more(50)
        told = len(crowd.codes)
        await server.kill_a_backend()
        await crowd.errors(told + 1)
        await crowd.more(50)

    await crowd.stop()
    assert set(crowd.codes) <= LOST
    await crowd.assert_all_happen_once(server.database)


async def test_connections_that_the_server_ends_under_writers_are_replaced(server: Server, crowd: Crowd) -> None:
    for _ in range(5 * ROUNDS):
        await crowd.more(25)
        await server.terminate_backends()
    await crowd.more(50)

    await crowd.stop()
    assert set(crowd.codes) <= LOST
    await crowd.assert_all_happen_once(server.database)
