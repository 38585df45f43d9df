"""Owns the ledger within one transaction: posting to it through the engine, and reading it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, bindparam, func, insert, literal_column, select, tuple_, union
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain import ledger
from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.errors import Internal, NotFound
from billing_mcp.domain.instructions import Instruction
from billing_mcp.domain.ledger import AVAILABLE, RESERVED, Entry, LedgerTransaction, Posting, Wallet
from billing_mcp.domain.reconciliation import CashMovement
from billing_mcp.domain.tally import Charged
from billing_mcp.store.changes import ChangeLog, WalletChange
from billing_mcp.store.pages import PAGE_SIZE, Page, pages
from billing_mcp.store.posting.program import Done, carry_out
from billing_mcp.store.posting.running import run_on_connection
from billing_mcp.store.posting.sql import words_for
from billing_mcp.store.reading.fetch import fetch, fetch_many
from billing_mcp.store.reading.query import Rows
from billing_mcp.store.spans import Movements, Span, movements, seqs_within
from billing_mcp.store.tables import InvoiceRow, LedgerEntryRow, LedgerTransactionRow, WalletRow, table

_WALLETS = table(WalletRow)
_TRANSACTIONS = table(LedgerTransactionRow)
_ENTRIES = table(LedgerEntryRow)
_INVOICES = table(InvoiceRow)
WALLET = select(*[_WALLETS.c[each.name] for each in fields(Wallet)]).where(
    _WALLETS.c.account_id == bindparam("account_id")
)
"""One wallet, by `account_id`."""
_HASH = select(_TRANSACTIONS.c.hash).where(
    (_TRANSACTIONS.c.account_id == bindparam("account_id")) & (_TRANSACTIONS.c.seq == bindparam("seq"))
)
_TRANSACTION = select(_TRANSACTIONS).where(
    (_TRANSACTIONS.c.account_id == bindparam("account_id"))
    & (_TRANSACTIONS.c.transaction_id == bindparam("transaction_id"))
)
_LEGS = (
    select(_ENTRIES.c.ledger_account, _ENTRIES.c.amount_micros, _ENTRIES.c.currency)
    .join(
        _TRANSACTIONS,
        (_TRANSACTIONS.c.account_id == _ENTRIES.c.account_id) & (_TRANSACTIONS.c.seq == _ENTRIES.c.seq),
    )
    .where(
        (_TRANSACTIONS.c.account_id == bindparam("account_id"))
        & (_TRANSACTIONS.c.transaction_id == bindparam("transaction_id"))
    )
    .order_by(_ENTRIES.c.line)
)
# Written out, so that every plan can use the index that has these rows only.
_RECEIVABLE: ColumnElement[str] = literal_column(f"'{ledger.RECEIVABLE}'")
_ALL = Span()
_COUNT_ENTRIES = select(func.count().label("entries")).where(_ENTRIES.c.account_id == bindparam("account_id"))


class Ledger:
    """Postings and wallets, within one transaction."""

    def __init__(self, connection: AsyncConnection, changes: ChangeLog, now: datetime, *, writable: bool) -> None:
        self._connection = connection
        self._writable = writable
        self._changes = changes
        self._now = now

    async def open_wallet(self, account_id: str, currency: str) -> Wallet:
        """Give a new account its empty wallet."""
        wallet = Wallet(account_id, currency)
        await self._connection.execute(insert(_WALLETS).values(**asdict(wallet)))
        return wallet

    async def wallet(self, account_id: str) -> Wallet:
        """The wallet of an account. Raises NotFound."""
        (rows,) = await fetch(self._connection, WALLET, account_id=account_id)
        return wallet_of(rows, account_id)

    async def post(self, postings: Sequence[Posting]) -> tuple[LedgerTransaction, ...]:
        """Move money. Raises InsufficientFunds when available would fall below zero.

        A posting that does not sum to zero per currency raises Internal: it is a defect.
        """
        asked = [Instruction(posting.account_id, posting, self._now) for posting in postings]
        return tuple([transaction for done in await self.carry_out(asked) for transaction in done.transactions])

    async def carry_out(self, instructions: Sequence[Instruction]) -> list[Done]:
        """Carry out all instructions in this transaction. The first that is refused raises; none is then."""
        if not instructions:
            return []
        if not self._writable:
            raise Internal("nothing is posted in a snapshot")
        words = words_for(self._connection.dialect.name)
        program = carry_out(instructions, words, together=True)
        outcomes = cast("list[Done]", await run_on_connection(self._connection, program))
        for transaction in (each for done in outcomes for each in done.transactions):
            self._changes.add(_change_of(transaction))
        return outcomes

    async def get(self, account_id: str, transaction_id: str) -> LedgerTransaction:
        """One transaction with its entries. Raises NotFound."""
        asked = {"account_id": account_id, "transaction_id": transaction_id}
        rows, legs = await fetch(self._connection, _TRANSACTION, _LEGS, **asked)
        for row in rows:
            return _transaction(row._asdict(), tuple([Entry(*leg) for leg in legs]))
        raise NotFound(
            f"transaction {transaction_id} does not exist",
            field="transaction_id",
            hint="billing.ledger.list lists all of them.",
        )

    async def page(self, account_id: str, *, page: int, page_size: int) -> tuple[list[LedgerTransaction], int]:
        """A page of what changed the wallet's total, newest first, and how many there are.

        `txn_seq` is dense, so a page is a range of it: any page costs the same.
        """
        total = (await self.wallet(account_id)).last_txn_seq
        last = total - (page - 1) * page_size
        t = _TRANSACTIONS.c
        within = (t.account_id == account_id) & (t.txn_seq <= last) & (t.txn_seq > last - page_size)
        rows = await self._connection.execute(select(_TRANSACTIONS).where(within).order_by(t.txn_seq.desc()))
        return [_transaction(row, ()) for row in rows.mappings()], total

    async def older(
        self,
        account_id: str,
        *,
        than: tuple[int, int] | None,
        since: datetime | None,
        until: datetime | None,
        limit: int,
    ) -> list[LedgerTransaction]:
        """Up to `limit` ledger transactions posted from `since` on and before `until`, newest first.

        `than` is the last one that was seen, by its moment in microseconds and its `seq`. Its place does
        not move, whatever is posted meanwhile.
        """
        t = _TRANSACTIONS.c
        within = t.account_id == account_id
        if since is not None:
            within &= t.created_at_us >= to_epoch_us(since)
        if until is not None:
            within &= t.created_at_us < to_epoch_us(until)
        if than is not None:
            within &= tuple_(t.created_at_us, t.seq) < than
        newest_first = select(_TRANSACTIONS).where(within).order_by(t.created_at_us.desc(), t.seq.desc()).limit(limit)
        rows = await self._connection.execute(newest_first)
        return [_transaction(row, ()) for row in rows.mappings()]

    async def charged(
        self, account_id: str, *, since: datetime, until: datetime, through_seq: int, after_seq: int = 0
    ) -> AsyncIterator[list[Charged]]:
        """What moved revenue before `until` and is on no invoice, page by page: of those that were posted since the
        last period was closed, at `through_seq`, and of those before that which are dated `since` its end.

        `after_seq` is the last one that was seen.
        """
        t, before = _TRANSACTIONS.c, _TRANSACTIONS.c.created_at_us < to_epoch_us(until)
        late = (t.seq <= through_seq) & (t.created_at_us >= to_epoch_us(since)) & before
        for condition, seen in ((late, after_seq), ((t.seq > through_seq) & before, max(after_seq, through_seq))):
            last: int | None = seen
            while last is not None:
                page = await self._charged_page(account_id, condition, last)
                if page:
                    yield page
                last = page[-1].seq if len(page) == PAGE_SIZE else None

    async def _charged_page(self, account_id: str, condition: ColumnElement[bool], after_seq: int) -> list[Charged]:
        t, e = _TRANSACTIONS.c, _ENTRIES.c
        posted = select(_INVOICES.c.posting_seq).where(
            (_INVOICES.c.account_id == account_id) & _INVOICES.c.posting_seq.is_not(None)
        )
        # Plus nothing: else SQLite takes what it knows of the one for the other, and goes through all later entries.
        same = (e.account_id == t.account_id) & (e.seq == t.seq + 0)
        found = (
            select(t.seq, t.description, e.amount_micros, t.line_items_json)
            .join_from(_TRANSACTIONS, _ENTRIES, same)
            .where((t.account_id == account_id) & condition & (t.seq > after_seq))
            .where((e.ledger_account == ledger.REVENUE) & t.seq.not_in(posted))
            .order_by(t.seq)
            .limit(PAGE_SIZE)
        )
        rows = await self._connection.execute(found)
        return [Charged(*row[:3], ledger.line_items_from_json(row.line_items_json)) for row in rows]

    async def receivable_micros(self, account_id: str) -> int:
        """What the account owes beyond its wallet: zero or less."""
        e = _ENTRIES.c
        owed = (e.account_id == account_id) & (e.ledger_account == _RECEIVABLE)
        found = select(func.coalesce(func.sum(e.amount_micros), 0)).where(owed)
        return int((await self._connection.execute(found)).scalar_one())

    async def cash_movements(self, account_id: str, provider: str, since: datetime) -> list[CashMovement]:
        """What an account's ledger has moved at a provider since a moment, oldest first."""
        t, e = _TRANSACTIONS.c, _ENTRIES.c
        found = (
            select(t.transaction_id, t.type, t.description, e.amount_micros, e.currency, t.created_at_us)
            .join_from(_TRANSACTIONS, _ENTRIES, (e.account_id == t.account_id) & (e.seq == t.seq))
            .where((t.account_id == account_id) & (t.created_at_us >= to_epoch_us(since)))
            .where(e.ledger_account == ledger.cash(provider))
            .order_by(t.seq, e.line)
        )
        return [
            CashMovement(account_id, *row[:5], created_at=from_epoch_us(row.created_at_us))
            for row in await self._connection.execute(found)
        ]

    async def account_ids(self) -> list[str]:
        """Every account that has a wallet, or anything in the ledger."""
        ids = union(*(select(t.c.account_id) for t in (_WALLETS, _TRANSACTIONS, _ENTRIES)))
        return sorted((await self._connection.execute(ids)).scalars())

    async def heads(self) -> list[tuple[str, int, str]]:
        """Where the ledger of each account ends, as its wallet says: account, `seq` and hash."""
        w = _WALLETS.c
        rows = await self._connection.execute(select(w.account_id, w.last_seq, w.head_hash).order_by(w.account_id))
        return [(account_id, seq, head) for account_id, seq, head in rows]

    async def hash_at(self, account_id: str, seq: int) -> str | None:
        """The stored hash of one transaction; None when there is no such transaction."""
        (rows,) = await fetch(self._connection, _HASH, account_id=account_id, seq=seq)
        return rows[0].hash if rows else None

    async def count_entries(self, account_id: str) -> int:
        """How many entries there are for an account, whether or not their transactions exist."""
        (rows,) = await fetch_many(self._connection, _COUNT_ENTRIES, account_id=account_id)
        return int(rows[0].entries)

    async def movements(self, wallet: Wallet, span: Span) -> Movements:
        """What each ledger account of a wallet's account moved before a span, in it and after it."""
        return await movements(self._connection, wallet.account_id, span, last_seq=wallet.last_seq)

    async def lengths(self, account_id: str | None = None) -> dict[str, int]:
        """How many transactions there are in each currency that is a wallet's: of all accounts, or of one."""
        w = _WALLETS.c
        found = select(w.currency, func.sum(w.last_seq)).group_by(w.currency).order_by(w.currency)
        if account_id is not None:
            found = found.where(w.account_id == account_id)
        return {currency: int(length) for currency, length in await self._connection.execute(found)}

    def pages(
        self, account_id: str, *, size: int = PAGE_SIZE, within: tuple[int, int] | None = None
    ) -> AsyncIterator[Page]:
        """All stored transactions of an account with their entries, in order; `within` some `seq` alone."""
        return pages(self._connection, account_id, size=size, within=within)

    async def history(
        self, account_id: str, *, batch: int = PAGE_SIZE, span: Span = _ALL
    ) -> AsyncIterator[LedgerTransaction]:
        """Every transaction of an account that was posted in a span, with its entries, in order, as stored."""
        within = None if span.whole else await seqs_within(self._connection, account_id, span)
        if within is None and not span.whole:
            return
        async for page in self.pages(account_id, size=batch, within=within):
            for row in page.transactions:
                entries = tuple([Entry(*leg) for leg in page.legs_of(row.seq)])
                transaction = _transaction({**row._asdict(), "account_id": account_id}, entries)
                if span.has(transaction.created_at):
                    yield transaction


def wallet_of(rows: Rows, account_id: str) -> Wallet:
    """The wallet that was selected. Raises NotFound."""
    for row in rows:
        return Wallet(**row._asdict())
    raise NotFound(f"account {account_id} does not exist", field="account_id")


def _change_of(transaction: LedgerTransaction) -> WalletChange:
    moved = dict.fromkeys((AVAILABLE, RESERVED), 0)
    for entry in transaction.entries:
        if entry.ledger_account in moved:
            moved[entry.ledger_account] += entry.amount_micros
    return WalletChange(transaction.account_id, transaction.currency, moved[AVAILABLE], moved[RESERVED])


_SAME_COLUMNS = (
    "account_id", "seq", "txn_seq", "transaction_id", "type", "direction", "amount_micros", "currency",
    "status", "description", "balance_after_micros", "available_after_micros", "reserved_after_micros",
    "previous_hash", "hash", "hold_id",
)  # fmt: skip


def _transaction(row: Mapping[Any, Any], entries: tuple[Entry, ...]) -> LedgerTransaction:
    return LedgerTransaction(
        **{name: row[name] for name in _SAME_COLUMNS},
        effective_at=from_epoch_us(row["effective_at_us"]),
        created_at=from_epoch_us(row["created_at_us"]),
        entries=entries,
        line_items=ledger.line_items_from_json(row["line_items_json"]),
    )
