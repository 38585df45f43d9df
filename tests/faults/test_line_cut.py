"""A line to PostgreSQL that is cut at the worst moment, or goes dead: what nobody knows is found out by its key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import pytest
from structlog.testing import capture_logs

from billing_mcp.domain.clock import system_clock
from billing_mcp.domain.errors import Unavailable
from billing_mcp.store.store import Store
from tests.faults.ground import (
    BOUND_S,
    EUR,
    account,
    assert_sound,
    descriptions,
    holds_on,
    open_accounts,
    outcomes,
    pay,
    placed,
    until,
)
from tests.faults.servers import Line, Server
from tests.store.books import raw_connection

LOST = {"outcome_unknown", "database_unavailable", "database_busy"}
Part = Literal["answer", "question"]


@pytest.fixture
async def line(server: Server) -> AsyncIterator[Line]:
    """A line to a server."""
    async with Line.open(server.socket) as opened:
        yield opened


@pytest.fixture
async def store(line: Line, impatient: None) -> AsyncIterator[Store]:
    """A store at the other end of the line."""
    assert impatient is None
    opened = await Store.open(line.url)
    await open_accounts(opened, 4)
    yield opened
    async with asyncio.timeout(20):
        await opened.close()


@pytest.mark.parametrize("part", ["answer", "question"])
async def test_a_commit_of_holds_that_is_cut_off_is_unknown_and_sending_them_again_places_each_once(
    server: Server, line: Line, store: Store, part: Part
) -> None:
    holds = holds_on(store)

    def send() -> list[object]:
        keyed = ((account(n % 4), f"cut-{n}") for n in range(8))
        return [holds.place(where, EUR, reference=name, idempotency_key=name) for where, name in keyed]

    line.cut_at_commit(part)
    unknown = await outcomes(send())  # type: ignore[arg-type]
    committed = len(await placed(server.database, "cut-"))
    receipts = await outcomes(send())  # type: ignore[arg-type]

    assert line.cuts == 1
    told = unknown.count("outcome_unknown")
    assert told > 0
    assert {code for code in unknown if isinstance(code, str)} == {"outcome_unknown"}
    assert committed == (8 if part == "answer" else 8 - told)
    assert sum(receipt.replayed for receipt in receipts) == committed
    assert await placed(server.database, "cut-") == {f"cut-{n}": 1 for n in range(8)}
    await assert_sound(store, server.database)


@pytest.mark.parametrize("part", ["answer", "question"])
async def test_a_commit_of_a_transaction_that_is_cut_off_is_unknown(
    server: Server, line: Line, store: Store, part: Part
) -> None:
    line.cut_at_commit(part)

    with pytest.raises(Unavailable) as cut:
        await pay(store, account(0), "once")

    assert cut.value.code == "outcome_unknown"
    assert (await descriptions(server.database)).get("once", 0) == (part == "answer")
    await pay(store, account(0), "twice")
    await assert_sound(store, server.database)


@pytest.mark.parametrize("part", ["answer", "question"])
async def test_the_cut_off_commit_of_a_hold_that_waited_for_its_account_is_unknown_and_happens_once(
    server: Server, line: Line, store: Store, part: Part
) -> None:
    holds = holds_on(store)

    async def place() -> object:
        return await holds.place(account(0), EUR, reference="waited", idempotency_key="waited")

    async with raw_connection(server.database) as other:
        await other("BEGIN")
        await other("SELECT 1 FROM wallets WHERE account_id = $1 FOR UPDATE", account(0))
        waiting = asyncio.create_task(place())
        async with asyncio.timeout(BOUND_S):
            while not await other("SELECT pg_sleep(0.01) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
                pass
        line.cut_at_commit(part)
        await other("ROLLBACK")
        (unknown,) = await outcomes([waiting])

    assert unknown == "outcome_unknown"
    (again,) = await outcomes([place()])
    assert again.replayed == (part == "answer")
    assert await placed(server.database, "waited") == {"waited": 1}
    await assert_sound(store, server.database)


async def test_a_line_that_goes_dead_is_noticed_in_bounded_time_and_the_store_works_when_it_is_back(
    server: Server, line: Line, store: Store
) -> None:
    holds = holds_on(store)

    def hold(n: int) -> object:
        return holds.place(account(n % 4), EUR, reference=f"dead-{n}", idempotency_key=f"dead-{n}")

    await outcomes([*(hold(n) for n in range(8)), *(pay(store, account(n % 4), "before") for n in range(10))])  # type: ignore[list-item]
    line.go_dead()
    asked = [hold(n) for n in range(8, 16)]
    told = await outcomes([*asked, *(pay(store, account(n), "dead") for n in range(4)), holds.get(account(0), "x")])  # type: ignore[list-item]
    line.come_back()

    assert set(told) <= LOST
    assert "outcome_unknown" not in told[-1]
    again = [hold(n) for n in range(16)]
    while "database_unavailable" in (receipts := await outcomes(again)):  # type: ignore[arg-type]
        again = [hold(n) for n in range(16)]
    assert [receipt.replayed for receipt in receipts[:8]] == [True] * 8
    assert await placed(server.database, "dead-") == {f"dead-{n}": 1 for n in range(16)}
    after = await outcomes([pay(store, account(n % 4), "after") for n in range(10)])
    assert not LOST & set(after), "a connection that died with the line is still given out"
    assert (await descriptions(server.database))["after"] == 10
    await assert_sound(store, server.database)


async def test_a_connection_that_the_server_has_ended_is_replaced_before_its_end_is_seen(
    server: Server, line: Line, store: Store
) -> None:
    """Its last word has come, and that it has hung up has not: the driver then raises what it calls a defect."""
    holds = holds_on(store)
    await holds.place(account(0), EUR)
    await pay(store, account(0), "before")
    line.hangs_up = False
    with capture_logs() as logs:
        await server.terminate_backends()
        await until(lambda: line.hung_up >= 2, "the end of both connections")
        receipts = await outcomes([holds.place(account(0), EUR, reference=f"ended-{n}") for n in range(4)])
        await pay(store, account(0), "after")

    assert [receipt.account_id for receipt in receipts] == [account(0)] * 4
    assert [log for log in logs if log["log_level"] == "error"] == []
    await assert_sound(store, server.database)


@pytest.mark.parametrize("at_commit", [False, True])
async def test_a_transaction_whose_connection_the_server_has_ended_is_told_so_before_its_end_is_seen(
    server: Server, line: Line, store: Store, at_commit: bool
) -> None:
    async def write() -> None:
        async with store.write(system_clock()) as tx:
            await tx.accounts.get(account(0), lock=True)
            line.hangs_up = False
            await server.terminate_backends()
            await until(lambda: line.hung_up >= 1, "the end of the connection")
            if not at_commit:
                await tx.accounts.get(account(1))

    with capture_logs() as logs:
        (code,) = await outcomes([write()])
        line.hangs_up = True
        await pay(store, account(0), "after")

    assert code == ("outcome_unknown" if at_commit else "database_unavailable")
    assert [log for log in logs if log["log_level"] == "error"] == []
    await assert_sound(store, server.database)


async def test_a_line_that_goes_dead_within_a_transaction_ends_it_in_bounded_time(
    server: Server, line: Line, store: Store
) -> None:
    async def write() -> None:
        async with store.write(system_clock()) as tx:
            await tx.accounts.get(account(0), lock=True)
            line.go_dead()
            await tx.accounts.get(account(1))

    (code,) = await outcomes([write()])
    line.come_back()

    assert code == "database_unavailable"
    hold = holds_on(store).place
    async with asyncio.timeout(20):
        while isinstance((await outcomes([hold(account(0), EUR, idempotency_key="k")]))[0], str):
            pass
    await assert_sound(store, server.database)
