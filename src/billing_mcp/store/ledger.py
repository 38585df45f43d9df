"""Owns the posting engine, through which all money moves, and reading the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, bindparam, func, insert, select, union, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain import ledger
from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.errors import Internal, NotFound
from billing_mcp.domain.ledger import Entry, LedgerTransaction, LineItem, Posting, Wallet
from billing_mcp.store.changes import ChangeLog, WalletChange
from billing_mcp.store.snapshot import Rows, fetch
from billing_mcp.store.tables import LedgerEntryRow, LedgerTransactionRow, WalletRow, table

_WALLETS = table(WalletRow)
_TRANSACTIONS = table(LedgerTransactionRow)
_ENTRIES = table(LedgerEntryRow)
WALLET = select(_WALLETS).where(_WALLETS.c.account_id == bindparam("account_id"))
"""One wallet, by `account_id`."""


class Ledger:
    """Postings and wallets, within one transaction."""

    def __init__(self, connection: AsyncConnection, changes: ChangeLog, now: datetime) -> None:
        self._connection = connection
        self._changes = changes
        self._now = now

    async def open_wallet(self, account_id: str, currency: str) -> Wallet:
        """Give a new account its empty wallet."""
        wallet = Wallet(account_id, currency)
        await self._connection.execute(insert(_WALLETS).values(**_wallet_values(wallet)))
        return wallet

    async def wallet(self, account_id: str) -> Wallet:
        """The wallet of an account. Raises NotFound."""
        (rows,) = await fetch(self._connection, WALLET, account_id=account_id)
        return wallet_of(rows, account_id)

    async def post(self, postings: Sequence[Posting]) -> tuple[LedgerTransaction, ...]:
        """Move money. Raises InsufficientFunds when available would fall below zero.

        A posting that does not sum to zero per currency raises Internal: it is a defect.
        """
        return tuple([await self._post(posting) for posting in postings])

    async def _post(self, posting: Posting) -> LedgerTransaction:
        # FOR UPDATE is left out of the statement on SQLite, where the writer is alone.
        (rows,) = await fetch(self._connection, WALLET.with_for_update(), account_id=posting.account_id)
        before = wallet_of(rows, posting.account_id)
        after, transaction = ledger.decide(before, posting, now=self._now)
        await self._connection.execute(insert(_TRANSACTIONS).values(**_transaction_values(transaction)))
        await self._connection.execute(insert(_ENTRIES), _entry_values(transaction))
        unchanged = (_WALLETS.c.account_id == before.account_id) & (_WALLETS.c.last_seq == before.last_seq)
        result = await self._connection.execute(update(_WALLETS).where(unchanged).values(**_wallet_values(after)))
        if result.rowcount != 1:
            raise Internal(f"wallet of {before.account_id} changed under a posting")
        self._changes.add(
            WalletChange(
                account_id=before.account_id,
                currency=before.currency,
                available_micros=after.available_micros - before.available_micros,
                reserved_micros=after.reserved_micros - before.reserved_micros,
            )
        )
        return transaction

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

    async def charges(self, account_id: str, *, since: datetime) -> list[tuple[LineItem, ...]]:
        """The lines of each charge that took effect at `since` or later, oldest first."""
        t = _TRANSACTIONS.c
        charges = (t.account_id == account_id) & (t.type == "charge") & (t.effective_at_us >= to_epoch_us(since))
        rows = await self._connection.execute(select(t.line_items_json).where(charges).order_by(t.seq))
        return [ledger.line_items_from_json(text) for (text,) in rows]

    async def account_ids(self) -> list[str]:
        """Every account that has a wallet, or anything in the ledger."""
        ids = union(*(select(t.c.account_id) for t in (_WALLETS, _TRANSACTIONS, _ENTRIES)))
        return sorted((await self._connection.execute(ids)).scalars())

    async def count_entries(self, account_id: str) -> int:
        """How many entries there are for an account, whether or not their transactions exist."""
        statement = select(func.count()).select_from(_ENTRIES).where(_ENTRIES.c.account_id == account_id)
        return (await self._connection.execute(statement)).scalar_one()

    async def history(self, account_id: str, *, batch: int = 1000) -> AsyncIterator[LedgerTransaction]:
        """Every transaction of an account with its entries, in order, as stored."""
        seq = 0
        while True:
            t, e = _TRANSACTIONS.c, _ENTRIES.c
            page = (
                select(_TRANSACTIONS).where((t.account_id == account_id) & (t.seq > seq)).order_by(t.seq).limit(batch)
            )
            rows = (await self._connection.execute(page)).mappings().all()
            if not rows:
                return
            within = (e.account_id == account_id) & (e.seq >= rows[0]["seq"]) & (e.seq <= rows[-1]["seq"])
            legs: dict[int, list[Entry]] = {}
            for leg in await self._connection.execute(select(_ENTRIES).where(within).order_by(e.seq, e.line)):
                legs.setdefault(leg.seq, []).append(Entry(leg.ledger_account, leg.amount_micros, leg.currency))
            for row in rows:
                yield _transaction(row, tuple(legs.get(row["seq"], ())))
            seq = rows[-1]["seq"]


def wallet_of(rows: Rows, account_id: str) -> Wallet:
    """The wallet that was selected. Raises NotFound."""
    for row in rows:
        return Wallet(**row._asdict())
    raise NotFound(f"account {account_id} does not exist", field="account_id")


def _wallet_values(wallet: Wallet) -> dict[str, Any]:
    return {
        "account_id": wallet.account_id,
        "currency": wallet.currency,
        "available_micros": wallet.available_micros,
        "reserved_micros": wallet.reserved_micros,
        "last_seq": wallet.last_seq,
        "last_txn_seq": wallet.last_txn_seq,
        "head_hash": wallet.head_hash,
    }


_SAME_COLUMNS = (
    "account_id", "seq", "txn_seq", "transaction_id", "type", "direction", "amount_micros", "currency",
    "status", "description", "balance_after_micros", "available_after_micros", "reserved_after_micros",
    "previous_hash", "hash",
)  # fmt: skip


def _transaction_values(transaction: LedgerTransaction) -> dict[str, Any]:
    return {name: getattr(transaction, name) for name in _SAME_COLUMNS} | {
        "effective_at_us": to_epoch_us(transaction.effective_at),
        "created_at_us": to_epoch_us(transaction.created_at),
        "line_items_json": ledger.line_items_to_json(transaction.line_items),
    }


def _entry_values(transaction: LedgerTransaction) -> list[dict[str, Any]]:
    return [
        {
            "account_id": transaction.account_id,
            "seq": transaction.seq,
            "line": line,
            "ledger_account": entry.ledger_account,
            "amount_micros": entry.amount_micros,
            "currency": entry.currency,
        }
        for line, entry in enumerate(transaction.entries, start=1)
    ]


def _transaction(row: RowMapping, entries: tuple[Entry, ...]) -> LedgerTransaction:
    return LedgerTransaction(
        **{name: row[name] for name in _SAME_COLUMNS},
        effective_at=from_epoch_us(row["effective_at_us"]),
        created_at=from_epoch_us(row["created_at_us"]),
        entries=entries,
        line_items=ledger.line_items_from_json(row["line_items_json"]),
    )
