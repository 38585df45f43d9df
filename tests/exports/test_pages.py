"""An export of any length is read page by page, and one of nothing is none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from math import ceil
from typing import Any

import pytest
from sqlalchemy import text

from billing_mcp.exports import books
from billing_mcp.exports.books import Export, Wanted
from billing_mcp.store.pages import Page, pages
from billing_mcp.store.store import Store
from tests.exports.reading import books_of, rows_of, text_of
from tests.store.books import ACCOUNT, NOW, OTHER, eur, open_books, topup


async def test_an_empty_database_has_books_without_an_account_and_a_table_without_a_row(store: Store) -> None:
    found = await books_of(store, NOW)

    assert (found.entries, found.errors) == ([], [])
    assert (await text_of(store, NOW, "csv")).count("\r\n") == 1


async def test_a_page_is_read_when_the_one_before_is_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await open_books(store, *[topup("1.00")] * 25)
    await open_books(store, topup("1.00", OTHER), account_id=OTHER)
    read = 0

    async def counted(*arguments: Any, **named: Any) -> AsyncIterator[Page]:
        nonlocal read
        async for page in pages(*arguments, **named | {"size": 10}):
            read += 1
            yield page

    monkeypatch.setattr("billing_mcp.store.ledger.pages", counted)
    monkeypatch.setattr(books, "_REPORTED_EVERY", 10)
    heard: list[tuple[int, int]] = []
    for texts in (Export.csv, Export.beancount):
        read = written = 0
        async with store.read(NOW) as tx:
            async for piece in texts(Export(tx, Wanted(ACCOUNT), lambda done, of: heard.append((done, of)))):
                written += 'type: "topup"' in piece or ",topup," in piece
                assert len(piece) < 2000
                assert read <= ceil(max(1, written) / 10)
        assert (written, read) == (25, 3)
    assert heard == [(10, 25), (20, 25), (25, 25)] * 2


async def test_amounts_keep_every_micro(store: Store) -> None:
    most = "999999999999.999999"
    await open_books(store, topup(most))

    assert f"  -{most} EUR" in await text_of(store, NOW, "beancount")
    assert [row["debit"] for row in await rows_of(store, NOW)] == ["", most]
    found = await books_of(store, NOW)
    assert (found.errors, found.balances()["Assets:Cash:Test", "EUR"]) == ([], eur(most))


async def test_who_is_slow_to_take_an_export_is_waited_for(postgresql: str) -> None:
    store = await Store.open(postgresql)
    timeout = text("SHOW idle_in_transaction_session_timeout")
    found = []
    for unhurried in (True, False):  # one after the other, on the same connection
        async with store.read(NOW, unhurried=unhurried) as tx:
            found.append((await tx._connection.execute(timeout)).scalar_one())
    await store.close()

    assert found == ["0", "20s"]
