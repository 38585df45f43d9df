"""What the tests of the store share: an account's books, and hands that reach past the store."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from billing_mcp.domain.holds import CaptureHold, PlaceHold, ReleaseHold
from billing_mcp.domain.instructions import Instruction
from billing_mcp.domain.ledger import Entry, LedgerTransaction, LineItem, Posting, TransactionType, Wallet
from billing_mcp.domain.money import parse_micros
from billing_mcp.operations.platform import open_account
from billing_mcp.store.audit import AuditReport, verify_books
from billing_mcp.store.store import Store, Transaction

NOW = datetime(2026, 3, 12, 10, 0, tzinfo=UTC)
ACCOUNT = "0190c0de-0000-7000-8000-0000000000a1"
OTHER = "0190c0de-0000-7000-8000-0000000000b2"

Run = Callable[..., Awaitable[list[tuple[Any, ...]]]]


def eur(text: str) -> int:
    """The micros of an amount as people write it."""
    return parse_micros(text)


def posting(
    type_: TransactionType, *legs: tuple[str, str], account_id: str = ACCOUNT, lines: Sequence[LineItem] = ()
) -> Posting:
    entries = tuple(Entry(name, eur(amount), "EUR") for name, amount in legs)
    return Posting(account_id, type_, type_.title(), entries, NOW, tuple(lines))


def topup(amount: str, account_id: str = ACCOUNT) -> Posting:
    return posting("topup", ("available", amount), ("cash:test", f"-{amount}"), account_id=account_id)


def charge(amount: str, account_id: str = ACCOUNT) -> Posting:
    line = LineItem(
        "message", "Messages", "1", "message", eur(amount), eur(amount), "usage", "2026-03-01", "2026-03-12"
    )
    legs = (("available", f"-{amount}"), ("revenue", amount))
    return posting("charge", *legs, account_id=account_id, lines=[line])


def hold(amount: str) -> PlaceHold:
    return PlaceHold(eur(amount), "msg_1", NOW + timedelta(days=7))


def capture(amount: str) -> CaptureHold:
    """Of the hold that was placed last."""
    return CaptureHold(_THE_LAST, eur(amount))


def release() -> ReleaseHold:
    """Of the hold that was placed last."""
    return ReleaseHold(_THE_LAST)


_THE_LAST = ""
Act = Posting | PlaceHold | CaptureHold | ReleaseHold
LIFE: tuple[Act, ...] = (topup("100.00"), hold("10.00"), capture("6.00"), release(), charge("20.50"), topup("5.25"))


async def open_books(store: Store, *acts: Act, account_id: str = ACCOUNT) -> tuple[LedgerTransaction, ...]:
    """A new account, and what is done on it."""
    async with store.write(NOW) as tx:
        await open_account(tx, account_id, "Books", "EUR")
        return await carry_out(tx, *acts, account_id=account_id)


async def post(store: Store, *acts: Act) -> tuple[LedgerTransaction, ...]:
    """Do it in one transaction."""
    async with store.write(NOW) as tx:
        return await carry_out(tx, *acts)


async def carry_out(tx: Transaction, *acts: Act, account_id: str | None = None) -> tuple[LedgerTransaction, ...]:
    """Do one after the other, each by the engine; postings on the account that they name, if none is given."""
    posted: list[LedgerTransaction] = []
    for act in acts:
        if isinstance(act, Posting):
            posted += await tx.ledger.post([replace(act, account_id=account_id or act.account_id)])
            continue
        if not isinstance(act, PlaceHold):
            (last,) = await tx.holds.older(account_id or ACCOUNT, than=None, status="open", limit=1)
            act = replace(act, hold_id=last.hold_id)
        (done,) = await tx.ledger.carry_out([Instruction(account_id or ACCOUNT, act, NOW)])
        posted += done.transactions
    return tuple(posted)


async def history(store: Store, account_id: str = ACCOUNT) -> list[LedgerTransaction]:
    """The whole ledger of an account, as stored."""
    async with store.read(NOW) as tx:
        return [transaction async for transaction in tx.ledger.history(account_id)]


async def wallet(store: Store, account_id: str = ACCOUNT) -> Wallet:
    """The stored wallet of an account."""
    async with store.read(NOW) as tx:
        return await tx.ledger.wallet(account_id)


async def audit(store: Store) -> AuditReport:
    """The books, verified."""
    async with store.read(NOW) as tx:
        return await verify_books(tx)


async def add_the_next_amount(tx: Transaction) -> None:
    """Read, compute, write: the n-th of these posts the amount n, so one that is lost shows."""
    await tx.accounts.get(ACCOUNT, lock=True)
    number = (await tx.ledger.wallet(ACCOUNT)).last_seq + 1
    await tx.ledger.post([topup(f"{number}.00")])


async def assert_none_was_lost(store: Store, count: int) -> None:
    """`count` times `add_the_next_amount` happened one after the other."""
    amounts = [transaction.amount_micros for transaction in await history(store)]
    assert amounts == [eur(f"{number}.00") for number in range(1, count + 1)]
    assert (await wallet(store)).available_micros == sum(amounts)
    assert (await audit(store)).findings == ()


def sums_by_ledger_account(transactions: Sequence[LedgerTransaction]) -> dict[str, int]:
    """What all the entries of an account say, added up."""
    sums: Counter[str] = Counter()
    for transaction in transactions:
        for entry in transaction.entries:
            sums[entry.ledger_account] += entry.amount_micros
    return dict(sums)


@asynccontextmanager
async def raw_connection(database: str) -> AsyncIterator[Run]:
    """SQL on a connection of the driver itself, with parameters `$1`, `$2` on both databases."""
    if "://" in database:
        connection = await asyncpg.connect(database)

        async def run(sql: str, *values: Any) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in await connection.fetch(sql, *values)]

        try:
            yield run
        finally:
            await connection.close()
    else:
        file = sqlite3.connect(database, isolation_level=None)

        async def run_sqlite(sql: str, *values: Any) -> list[tuple[Any, ...]]:
            return file.execute(sql, {str(n): value for n, value in enumerate(values, start=1)}).fetchall()

        try:
            yield run_sqlite
        finally:
            file.close()


@asynccontextmanager
async def forger(database: str) -> AsyncIterator[Run]:
    """A raw connection of somebody who has removed what protects the ledger."""
    async with raw_connection(database) as run:
        if "://" in database:
            for table in ("ledger_transactions", "ledger_entries"):
                await run(f"ALTER TABLE {table} DISABLE TRIGGER USER")
                for (name,) in await run(
                    "SELECT conname FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype = 'f'", table
                ):
                    await run(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        else:
            for (name,) in await run("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
                await run(f"DROP TRIGGER {name}")
        yield run
