"""Reading the ledger: pages, charges and the whole history, exactly as posted."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from billing_mcp.domain.clock import to_epoch_us
from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.ledger import LineItem
from billing_mcp.store.store import Store
from tests.store.books import (
    ACCOUNT,
    LIFE,
    NOW,
    OTHER,
    charge,
    eur,
    history,
    hold,
    open_books,
    posting,
    raw_connection,
    release,
    topup,
)


async def test_pages_are_newest_first_with_the_total_and_empty_beyond_the_end(store: Store) -> None:
    await open_books(store, topup("100.00"), hold("5.00"), *(charge(f"{n}.00") for n in range(1, 5)), release())
    async with store.read(NOW) as tx:
        pages = [await tx.ledger.page(ACCOUNT, page=number, page_size=2) for number in (1, 2, 3, 4, 1000)]

    assert [[row.txn_seq for row in rows] for rows, _ in pages] == [[5, 4], [3, 2], [1], [], []]
    assert [total for _, total in pages] == [5] * 5
    assert [row.type for rows, _ in pages for row in rows] == ["charge"] * 4 + ["topup"]


async def test_a_page_larger_than_the_ledger_holds_it_all(store: Store) -> None:
    await open_books(store, *LIFE)
    async with store.read(NOW) as tx:
        rows, total = await tx.ledger.page(ACCOUNT, page=1, page_size=1000)

    assert [row.txn_seq for row in rows] == [4, 3, 2, 1]
    assert total == 4


async def test_an_account_without_movement_has_an_empty_first_page(store: Store) -> None:
    await open_books(store)
    async with store.read(NOW) as tx:
        assert await tx.ledger.page(ACCOUNT, page=1, page_size=10) == ([], 0)


async def test_an_unknown_account_has_no_wallet_and_no_pages(store: Store) -> None:
    async with store.read(NOW) as tx:
        with pytest.raises(NotFound) as no_wallet:
            await tx.ledger.wallet(ACCOUNT)
        with pytest.raises(NotFound):
            await tx.ledger.page(ACCOUNT, page=1, page_size=10)
        with pytest.raises(NotFound):
            await tx.accounts.get(ACCOUNT)
        assert [row async for row in tx.ledger.history(ACCOUNT)] == []
    assert no_wallet.value.field == "account_id"


async def test_accounts_do_not_see_each_others_ledger(store: Store) -> None:
    await open_books(store, topup("1.00"))
    await open_books(store, topup("2.00", OTHER), topup("3.00", OTHER), account_id=OTHER)

    assert [row.amount_micros for row in await history(store, ACCOUNT)] == [eur("1.00")]
    assert [row.amount_micros for row in await history(store, OTHER)] == [eur("2.00"), eur("3.00")]
    async with store.read(NOW) as tx:
        assert (await tx.ledger.page(OTHER, page=1, page_size=10))[1] == 2


async def test_a_history_read_in_batches_is_the_whole_history(store: Store) -> None:
    await open_books(store, *LIFE)
    async with store.read(NOW) as tx:
        for batch in (1, 2, 3, 6, 7):
            rows = [row async for row in tx.ledger.history(ACCOUNT, batch=batch)]
            assert rows == await history(store)


async def test_what_was_charged_is_told_once_however_often_periods_are_closed(store: Store) -> None:
    line = LineItem("mailbox", "Mailboxes", "2", "mailbox", 350_000, 700_000, "component_count", metadata={"days": "9"})
    legs = (("available", "-1.00"), ("revenue", "1.00"))
    march, april = NOW, NOW.replace(month=4)
    await open_books(store, topup("10.00"), posting("charge", *legs), hold("1.00"))
    async with store.write(april) as tx:
        await tx.ledger.post([posting("charge", *legs, lines=[line, line])])
    everything = april.replace(month=5)

    async def charged(since: datetime, until: datetime, through_seq: int) -> list[tuple[int, int, int]]:
        async with store.read(NOW) as tx:
            pages = tx.ledger.charged(ACCOUNT, since=since, until=until, through_seq=through_seq)
            return [(c.seq, c.revenue_micros, len(c.line_items)) async for page in pages for c in page]

    assert await charged(march, everything, 0) == [(2, 1_000_000, 0), (4, 1_000_000, 2)]
    assert await charged(march, april, 0) == [(2, 1_000_000, 0)]
    # March was closed when all of it was posted already: what is dated later is left to the next period.
    assert await charged(april, everything, 4) == [(4, 1_000_000, 2)]
    # It was closed before, and something of March came late: it is in the next one, too.
    assert await charged(april, everything, 1) == [(2, 1_000_000, 0), (4, 1_000_000, 2)]
    assert await charged(everything, everything.replace(month=6), 4) == []


async def test_amounts_and_moments_are_stored_as_whole_numbers(store: Store, database: str) -> None:
    moment = NOW.replace(microsecond=123_457)
    await open_books(store, replace(topup("900000000000.000001"), effective_at=moment))

    async with raw_connection(database) as run:
        rows = await run("SELECT amount_micros, effective_at_us FROM ledger_transactions")
    assert rows == [(900_000_000_000_000_001, to_epoch_us(moment))]
    assert (await history(store))[0].effective_at == moment


@pytest.mark.parametrize("then", ["wallet", "state", "keys"])
async def test_more_than_the_single_statement_that_was_announced_is_a_defect(store: Store, then: str) -> None:
    await open_books(store, topup("100.00"))
    async with store.read(NOW, single=True) as tx:
        await tx.ledger.wallet(ACCOUNT)
        more = {
            "wallet": tx.ledger.wallet(ACCOUNT),
            "state": tx.states.get(ACCOUNT),
            "keys": tx.keys.all(),
        }
        with pytest.raises(RuntimeError, match="single statement"):
            await more.pop(then)
        for other in more.values():
            other.close()
    async with store.read(NOW, single=True) as tx:
        with pytest.raises(RuntimeError, match="single statement"):
            await tx.states.get(ACCOUNT)  # five at once
