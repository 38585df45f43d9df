"""Exports of lived accounts: Beancount proves our balances, whatever time is cut out, and CSV says the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from itertools import combinations, pairwise

import pytest
import pytest_asyncio

from billing_mcp.domain.clock import start_of
from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.ledger import LedgerTransaction
from billing_mcp.domain.money import format_micros, parse_micros
from tests.exports.lives import DOLLARS, HOSTILE, live
from tests.exports.reading import Of, Row, books_of, ledgers, rows_of, sums, text_of
from tests.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

CUTS = tuple(
    date.fromisoformat(f"2026-{day}")
    for day in ("03-01", "03-12", "04-01", "04-02", "04-12", "05-13", "05-14", "12-31")
)
NEW = {"balance_after": "0.00", "available_after": "0.00", "reserved_after": "0.00"}
OF_THE_TIME = ("Income:", "Expenses:", "Equity:")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lived(_lasting_world: World) -> AsyncIterator[World]:
    """Accounts with a past."""
    await live(_lasting_world)
    assert (await _lasting_world.audit()).findings == ()
    yield _lasting_world


@pytest.fixture
def now(lived: World) -> datetime:
    """The end of that past."""
    return lived.clock()


async def test_bean_check_accepts_the_books_and_finds_what_every_customers_ledger_says(
    lived: World, now: datetime
) -> None:
    books = await books_of(lived.app.store, now)
    every = await ledgers(lived.app.store, now)

    assert books.errors == []
    assert books.balances() == sums(books, every)
    kinds = {name.rpartition(":")[2] for (name, _), micros in books.balances().items() if micros}
    assert {"Revenue", "Rounding", "Credits", "VAT", "Test", "Wire", "Available", "Reserved"} <= kinds
    assert {each.type for each in every} >= {"topup", "charge", "credit", "refund", "reversal", "adjustment", "hold"}
    assert {tuple(each.meta[fact] for fact in ("id", "seq", "type", "hash")) for each in books.transactions} == {
        (each.transaction_id, each.seq, each.type, each.hash) for each in every
    }
    assert {(each.account, each.amount.currency) for each in books.asserted} >= set(books.balances())
    assert {each.date for each in books.asserted} == {date(2026, 5, 14)}
    assert all(each.tolerance == 0 for each in books.asserted)


async def test_what_customers_have_is_what_the_seller_owes(lived: World, now: datetime) -> None:
    books = await books_of(lived.app.store, now)
    async with lived.app.store.read(now) as tx:
        wallet = await tx.ledger.wallet(DOLLARS)
        receivable = [await tx.ledger.receivable_micros(each.account_id) for each in await tx.accounts.all()]

    found, part = books.balances(), books.part_of(DOLLARS)
    assert part.startswith("Müller-Söhne-1-1-0190c0de-")
    assert format_micros(wallet.available_micros) == "40.01"
    assert found[f"Liabilities:Customers:{part}:Available", "USD"] == parse_micros("-40.01")
    assert found["Assets:Cash:Wire", "USD"] == parse_micros("70.00")
    assert found["Expenses:Credits", "USD"] == parse_micros("0.01")
    owed = [amount for (name, _), amount in found.items() if name.startswith("Assets:Receivable:")]
    assert sum(owed) == -sum(receivable) > 0


async def test_any_time_cut_out_opens_with_what_was_before_it_and_ends_with_what_is_ours(
    lived: World, now: datetime
) -> None:
    every = await ledgers(lived.app.store, now)
    for first, end in combinations(CUTS, 2):
        books = await books_of(lived.app.store, now, first=first, end=end)

        assert books.errors == [], (first, end)
        before, within = _between(every, None, first), _between(every, first, end)
        assert {each.meta["id"] for each in books.transactions} == {each.transaction_id for each in within}
        assert _lasting(books.balances(first)) == _lasting(sums(books, before)), (first, end)
        assert _lasting(books.balances()) == _lasting(sums(books, [*before, *within])), (first, end)
        assert _of("Income:", books.balances()) == _of("Income:", sums(books, within))
        assert _of("Expenses:", books.balances()) == _of("Expenses:", sums(books, within))
        assert _of("Equity:", books.balances()) == _of(("Income:", "Expenses:"), sums(books, before))
        dates = {each.date for each in books.asserted}
        assert dates <= {first, end}
        assert (first in dates) == (first > CUTS[1])


async def test_days_follow_each_other_without_a_gap(lived: World, now: datetime) -> None:
    parts = [await books_of(lived.app.store, now, first=first, end=end) for first, end in pairwise(CUTS)]
    rows = [await rows_of(lived.app.store, now, first=first, end=end) for first, end in pairwise(CUTS)]

    ids = [each.meta["id"] for books in parts for each in books.transactions]
    assert sorted(ids) == sorted({each.transaction_id for each in await ledgers(lived.app.store, now)})
    assert Counter(row["transaction_id"] for part in rows for row in part).keys() == set(ids)
    for (one, following), first in zip(pairwise(parts), CUTS[1:], strict=False):
        assert _lasting(one.balances()) == _lasting(following.balances(first))


async def test_an_open_end_is_the_day_after_the_last_one(lived: World, now: datetime) -> None:
    later = await books_of(lived.app.store, now + timedelta(days=30), first=date(2026, 5, 1))
    earlier = await books_of(lived.app.store, now - timedelta(days=30), first=date(2026, 5, 1))
    nothing_yet = await books_of(lived.app.store, now, first=date(9999, 12, 31))

    for books, last in ((later, date(2026, 6, 13)), (earlier, date(2026, 5, 13)), (nothing_yet, date(9999, 12, 31))):
        assert books.errors == []
        assert max(each.date for each in books.asserted) == last
    assert _lasting(later.balances()) == _lasting(earlier.balances()) == _lasting(nothing_yet.balances())
    assert nothing_yet.transactions == []


async def test_one_account_is_exported_alone(lived: World, now: datetime) -> None:
    books = await books_of(lived.app.store, now, account_id=DOLLARS)
    rows = await rows_of(lived.app.store, now, account_id=DOLLARS)

    assert books.errors == []
    assert {each.payee for each in books.transactions} == {HOSTILE}
    assert {of[1] for of in books.balances()} == {"USD"}
    assert {(row["account_id"], row["account_name"]) for row in rows} == {(DOLLARS, HOSTILE)}
    for format_ in ("csv", "beancount"):
        with pytest.raises(NotFound, match="does not exist"):
            await text_of(lived.app.store, now, format_, account_id=DOLLARS.replace("d", "e"))


async def test_the_rows_of_a_transaction_come_to_nothing_and_all_of_them_to_the_wallets(
    lived: World, now: datetime
) -> None:
    rows = await rows_of(lived.app.store, now)
    by_transaction: dict[tuple[str, str], int] = defaultdict(int)
    by_account: Counter[tuple[str, str]] = Counter()
    last: dict[str, Row] = {}
    for row in rows:
        by_transaction[row["transaction_id"], row["currency"]] += _credit(row)
        by_account[row["account_id"], row["ledger_account"]] += _credit(row)
        last[row["account_id"]] = row

    assert by_transaction
    assert set(by_transaction.values()) == {0}
    assert len(rows) == sum(len(each.entries) for each in await ledgers(lived.app.store, now))
    async with lived.app.store.read(now) as tx:
        for account in await tx.accounts.all():
            wallet = await tx.ledger.wallet(account.account_id)
            row = last.get(account.account_id, NEW)
            assert by_account[account.account_id, "available"] == wallet.available_micros
            assert by_account[account.account_id, "reserved"] == wallet.reserved_micros
            said = [row[f"{name}_after"] for name in ("balance", "available", "reserved")]
            amounts = (wallet.total_micros, wallet.available_micros, wallet.reserved_micros)
            assert said == [format_micros(amount) for amount in amounts]


async def test_the_cash_that_came_in_is_a_debit_and_what_is_owed_for_it_a_credit(lived: World, now: datetime) -> None:
    rows = [row for row in await rows_of(lived.app.store, now, account_id=DOLLARS) if row["seq"] == "1"]

    assert [(row["ledger_account"], row["debit"], row["credit"]) for row in rows] == [
        ("available", "", "70.00"),
        ("cash:wire", "70.00", ""),
    ]
    assert rows[0]["date"] == rows[0]["effective_date"] == "2026-03-20"
    assert rows[0]["created_at"] == rows[0]["effective_at"] == "2026-03-20T00:00:00Z"


async def test_both_name_the_invoice_that_a_charge_is_on(lived: World, now: datetime) -> None:
    rows, books = await rows_of(lived.app.store, now), await books_of(lived.app.store, now)
    charged: Counter[str] = Counter()
    for row in rows:
        if row["ledger_account"] in ("revenue", "rounding"):
            charged[row["invoice_number"]] += _credit(row)
    async with lived.app.store.read(now) as tx:
        issued = [
            invoice
            for account in await tx.accounts.all()
            for invoice in (await tx.invoices.page(account.account_id, page=1, page_size=100))[0]
        ]

    assert len(issued) >= 6
    assert {each.kind for each in issued} == {"invoice", "credit_note"}
    assert charged.pop("") > 0  # of periods that are still open
    assert charged == {each.number: each.amount_micros for each in issued}
    assert {each.meta["id"]: each.meta["invoice"] for each in books.transactions if "invoice" in each.meta} == {
        row["transaction_id"]: row["invoice_number"] for row in rows if row["invoice_number"]
    }


def _between(every: list[LedgerTransaction], first: date | None, end: date) -> list[LedgerTransaction]:
    begins = None if first is None else start_of(first)
    return [each for each in every if (begins is None or begins <= each.created_at) and each.created_at < start_of(end)]


def _lasting(balances: Counter[Of]) -> Counter[Of]:
    """Those that go over from one time to the next."""
    return Counter({of: amount for of, amount in balances.items() if not of[0].startswith(OF_THE_TIME)})


def _of(kinds: str | tuple[str, ...], balances: Counter[Of]) -> Counter[str]:
    """What the accounts of some kinds come to in each currency."""
    found: Counter[str] = Counter()
    for (account, currency), micros in balances.items():
        if account.startswith(kinds):
            found[currency] += micros
    return found


def _credit(row: Row) -> int:
    """What a row adds to what the seller owes."""
    debit, credit = (parse_micros(row[side] or "0") for side in ("debit", "credit"))
    assert (row["debit"] == "") != (row["credit"] == "")
    return credit - debit
