"""Owns reading the books for an export: account by account and page by page, of one moment of the database."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial

from billing_mcp.domain.clock import iso, start_of, to_epoch_us
from billing_mcp.domain.errors import InvalidArgument, Refused
from billing_mcp.domain.ledger import LedgerTransaction, Wallet
from billing_mcp.exports import beancount, csv_rows
from billing_mcp.exports.invoiced import Invoiced
from billing_mcp.exports.names import customer_part
from billing_mcp.exports.positions import EQUITY, VERIFY, Position, Seller, of_customer
from billing_mcp.store.accounts import AccountRecord
from billing_mcp.store.spans import Span
from billing_mcp.store.store import Transaction

_ACCOUNTS_AT_A_TIME = 500
_REPORTED_EVERY = 1000
Progress = Callable[[int, int], None]
"""Hears how many transactions are done, of how many."""
_Writer = Callable[[LedgerTransaction, str | None], str]
"""The text of a transaction, which is on the invoice of that number if there is one."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is exported: all accounts or one, from the day `first` on and before the day `end` (UTC).

    Raises InvalidArgument when it ends before it begins.
    """

    account_id: str | None = None
    first: date | None = None
    end: date | None = None

    def __post_init__(self) -> None:
        if self.first is not None and self.end is not None and self.end <= self.first:
            raise InvalidArgument(
                f"--to must be later than --from: {self.end} ends before {self.first} begins",
                field="to",
                hint="--to is the day after the last: one whole day is --from 2030-01-31 --to 2030-02-01.",
            )

    @property
    def span(self) -> Span:
        """The moments of it."""
        first, end = self.first, self.end
        return Span(None if first is None else start_of(first), None if end is None else start_of(end))


class Export:
    """One export, of the moment of a transaction. Memory does not grow with what is in the ledger.

    Both formats raise NotFound before their first text for an account that is not there, and Refused with code
    `books_not_sound` when a row cannot be written down.
    """

    def __init__(self, tx: Transaction, wanted: Wanted, progress: Progress | None = None) -> None:
        self._tx = tx
        self._wanted = wanted
        self._progress = progress
        self._expected = self._passed = 0
        self.accounts = self.transactions = 0
        """How many are written by now."""

    async def csv(self) -> AsyncGenerator[str, None]:
        """Every entry in a row of its own."""
        await self._begin()
        yield csv_rows.header()
        async for account, wallet in self._customers():
            async for text in self._transactions(wallet, partial(csv_rows.rows, account.name)):
                yield text
            self.accounts += 1

    async def beancount(self) -> AsyncGenerator[str, None]:
        """Books that prove our balances: those of each customer, then the accounts of the seller."""
        yield self._heading(await self._begin())
        seller = Seller()
        async for account, wallet in self._customers():
            with _readable(wallet.account_id):
                moved = await self._tx.ledger.movements(wallet, self._wanted.span)
            opened = min(account.created_at, moved.first_at or account.created_at).date()
            end = self._wanted.end or self._day_after(moved.last_at)
            if opened >= end:
                continue
            part = customer_part(account.name, account.account_id)
            positions = of_customer(wallet, moved, part)
            yield beancount.opened(opened, _names(positions), id=account.account_id, name=account.name)
            yield self._opening(opened, account.name, positions)
            async for text in self._transactions(wallet, partial(beancount.entry, account.name, part)):
                yield text
            yield beancount.closing(end, positions)
            seller.add(moved, opened, end)
            self.accounts += 1
        if seller.opened is not None and seller.end is not None:
            positions = seller.positions()
            equity = [(EQUITY, currency) for currency in seller.opening_currencies]
            yield beancount.opened(seller.opened, [*_names(positions), *equity])
            yield self._opening(seller.opened, "The seller", positions)
            yield beancount.closing(seller.end, positions)

    async def _begin(self) -> list[str]:
        """The currencies of the wallets, once it is clear that there is something to export."""
        account_id = self._wanted.account_id
        if account_id is not None:
            await self._tx.accounts.get(account_id)
        lengths = await self._tx.ledger.lengths(account_id)
        self._expected = sum(lengths.values())
        return list(lengths)

    async def _customers(self) -> AsyncIterator[tuple[AccountRecord, Wallet]]:
        account_id = self._wanted.account_id
        if account_id is not None:
            yield await self._tx.accounts.get(account_id), await self._tx.ledger.wallet(account_id)
            return
        beyond = None
        while page := await self._tx.accounts.page(beyond=beyond, newest_first=False, limit=_ACCOUNTS_AT_A_TIME):
            for account, wallet in page:
                yield account, wallet
            beyond = to_epoch_us(account.created_at), account.account_id

    async def _transactions(self, wallet: Wallet, text_of: _Writer) -> AsyncIterator[str]:
        """The text of each transaction that is wanted of an account."""
        invoiced = Invoiced(await self._tx.invoices.issued(wallet.account_id))
        with _readable(wallet.account_id):
            async for transaction in self._tx.ledger.history(wallet.account_id, span=self._wanted.span):
                yield text_of(transaction, invoiced.number_of(transaction))
                self.transactions += 1
                if self.transactions % _REPORTED_EVERY == 0:
                    self._report(self._passed + transaction.seq)
        self._passed += wallet.last_seq
        self._report(self._passed)

    def _day_after(self, last_at: datetime | None) -> date:
        """The first one of which no ledger knows anything yet."""
        today = max(self._tx.now, last_at or self._tx.now).date()
        return max(today + timedelta(days=1), self._wanted.first or today)

    def _report(self, done: int) -> None:
        if self._progress is not None:
            self._progress(done, max(done, self._expected))

    def _heading(self, currencies: Iterable[str]) -> str:
        wanted = self._wanted
        what = "all accounts" if wanted.account_id is None else f"account {wanted.account_id}"
        when = [f"from {wanted.first} on"] if wanted.first else []
        when += [f"before {wanted.end}"] if wanted.end else []
        title = ", ".join([f"The ledger of {what}", " and ".join(when)]) if when else f"The ledger of {what}"
        notes = (
            f"{title}, as it is at {iso(self._tx.now)}. Days are UTC.",
            "bean-check proves its balances; docs/exports.md says what the accounts are.",
        )
        return beancount.heading(title, currencies, notes)

    def _opening(self, opened: date, payee: str, positions: Iterable[Position]) -> str:
        first = self._wanted.first
        return beancount.opening(first, payee, positions) if first is not None and opened < first else ""


@contextmanager
def _readable(account_id: str) -> Iterator[None]:
    """What no ledger of ours has is refused. Raises Refused with code `books_not_sound`."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        message = f"the ledger of account {account_id} cannot be read"
        raise Refused(message, code="books_not_sound", hint=VERIFY) from error


def _names(positions: Iterable[Position]) -> list[tuple[str, str]]:
    return [(each.account, each.currency) for each in positions]
