"""What tests read out of exports: Beancount's own loader finds the books' errors, and we add them up again."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast

from beancount import loader
from beancount.core import data
from beancount.core.amount import Amount

from billing_mcp.domain.ledger import LedgerTransaction
from billing_mcp.exports.books import Export, Wanted
from billing_mcp.store.store import Store

Row = Mapping[str, str]
Of = tuple[str, str]
"""An account of Beancount, and a currency."""
SHARED = {
    "revenue": "Income:Revenue",
    "rounding": "Income:Rounding",
    "credits": "Expenses:Credits",
    "tax": "Liabilities:VAT",
}
OF_CUSTOMERS = {
    "available": "Liabilities:Customers:{}:Available",
    "reserved": "Liabilities:Customers:{}:Reserved",
    "receivable": "Assets:Receivable:{}",
}


@dataclass(frozen=True)
class Books:
    """Books as Beancount has loaded them."""

    text: str
    entries: list[Any]
    errors: list[str]

    @property
    def opened(self) -> list[Any]:
        return [each for each in self.entries if isinstance(each, data.Open)]

    @property
    def transactions(self) -> list[Any]:
        """Ours: those that have an id."""
        return [each for each in self.entries if isinstance(each, data.Transaction) and "id" in each.meta]

    @property
    def asserted(self) -> list[Any]:
        return [each for each in self.entries if isinstance(each, data.Balance)]

    def balances(self, before: date = date.max) -> Counter[Of]:
        """What each account has when a day begins, in micros."""
        found: Counter[Of] = Counter()
        for each in self.entries:
            if isinstance(each, data.Transaction) and each.date < before:
                for account, units in [(leg.account, cast("Amount", leg.units)) for leg in each.postings]:
                    found[account, units.currency] += exact_micros(units)
        return found

    def part_of(self, account_id: str) -> str:
        """A customer's part of account names."""
        (name,) = [each.account for each in self.opened if each.meta.get("id") == account_id]
        return str(name.split(":")[2])


def exact_micros(amount: Amount) -> int:
    """An amount of Beancount's as we count."""
    micros = cast("Decimal", amount.number) * 1_000_000
    assert micros == int(micros)
    return int(micros)


def load(text: str) -> Books:
    """Load books as bean-check does."""
    entries, errors, _ = loader.load_string(text)
    return Books(text, entries, [each.message for each in errors])


async def text_of(store: Store, now: datetime, format_: str, **wanted: Any) -> str:
    """An export, whole."""
    async with store.read(now) as tx:
        return "".join([each async for each in _texts(Export(tx, Wanted(**wanted)), format_)])


def _texts(export: Export, format_: str) -> AsyncIterator[str]:
    return export.csv() if format_ == "csv" else export.beancount()


async def books_of(store: Store, now: datetime, **wanted: Any) -> Books:
    """Beancount's books, loaded."""
    return load(await text_of(store, now, "beancount", **wanted))


async def rows_of(store: Store, now: datetime, **wanted: Any) -> list[Row]:
    """The rows of the CSV, by their columns."""
    return list(csv.DictReader(io.StringIO(await text_of(store, now, "csv", **wanted), newline=""), strict=True))


async def ledgers(store: Store, now: datetime) -> list[LedgerTransaction]:
    """Every transaction of every account."""
    async with store.read(now) as tx:
        ids = [account.account_id for account in await tx.accounts.all()]
        return [transaction for account_id in ids async for transaction in tx.ledger.history(account_id)]


def sums(books: Books, transactions: Iterable[LedgerTransaction]) -> Counter[Of]:
    """What transactions come to on the accounts of books: the ledger's amounts with the other sign."""
    parts = {each.meta["id"]: each.account.split(":")[2] for each in books.opened if "id" in each.meta}
    found: Counter[Of] = Counter()
    for transaction in transactions:
        for entry in transaction.entries:
            name = entry.ledger_account
            if name in OF_CUSTOMERS:
                account = OF_CUSTOMERS[name].format(parts[transaction.account_id])
            else:
                account = SHARED.get(name) or f"Assets:Cash:{name.removeprefix('cash:').capitalize()}"
            found[account, entry.currency] -= entry.amount_micros
    return found
