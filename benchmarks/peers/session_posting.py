"""Holds with a SQLModel session for each request, as a careful web service would write it.

The same rows, keys and chain as billing-mcp's: the wallet is read and locked, changed, and committed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from benchmarks.peers.bare_posting import Order
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing_mcp.domain.clock import to_epoch_us
from billing_mcp.domain.holds import PlaceHold, place
from billing_mcp.domain.ledger import LedgerTransaction, Wallet
from billing_mcp.store.tables import HoldRow, LedgerEntryRow, LedgerTransactionRow, PostingKeyRow, WalletRow


async def place_one(engine: AsyncEngine, order: Order) -> None:
    """Place one hold in a transaction of its own."""
    account_id, amount, reference, key = order
    key_hash = sha256(key.encode()).hexdigest()[:32]
    now = datetime.now(UTC)
    async with AsyncSession(engine) as session:
        statement = select(WalletRow).where(WalletRow.account_id == account_id).with_for_update()
        row = (await session.exec(statement)).one()
        if await session.get(PostingKeyRow, (account_id, key_hash)):
            raise RuntimeError("a key is used already")
        before = Wallet(**row.model_dump())
        decision = place(before, "active", PlaceHold(amount, reference, now + timedelta(days=7)), now=now)
        (transaction,), hold, after = decision.transactions, decision.hold, decision.wallet
        if hold is None:
            raise RuntimeError("nothing was held")
        session.add(_transaction_row(transaction))
        await session.flush()
        for line, entry in enumerate(transaction.entries, start=1):
            session.add(
                LedgerEntryRow(
                    account_id=account_id,
                    seq=transaction.seq,
                    line=line,
                    ledger_account=entry.ledger_account,
                    amount_micros=entry.amount_micros,
                    currency=entry.currency,
                )
            )
        session.add(
            HoldRow(
                account_id=account_id,
                hold_id=hold.hold_id,
                reference=reference,
                amount_micros=amount,
                captured_micros=0,
                released_micros=0,
                status="open",
                expires_at_us=to_epoch_us(hold.expires_at),
                created_at_us=to_epoch_us(now),
                closed_at_us=None,
            )
        )
        session.add(
            PostingKeyRow(
                account_id=account_id,
                key_hash=key_hash,
                request_hash=key_hash,
                receipt_json=f'[["{hold.hold_id}"]]',
                created_at_us=to_epoch_us(now),
            )
        )
        row.available_micros, row.reserved_micros = after.available_micros, after.reserved_micros
        row.last_seq, row.last_txn_seq, row.head_hash = after.last_seq, after.last_txn_seq, after.head_hash
        await session.commit()


async def place_each(engine: AsyncEngine, orders: Sequence[Order], callers: int) -> float:
    """Place all, by so many callers. Returns how many a second."""
    waiting = iter(orders)

    async def call() -> None:
        for order in waiting:
            await place_one(engine, order)

    started = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    return len(orders) / (time.perf_counter() - started)


def _transaction_row(transaction: LedgerTransaction) -> LedgerTransactionRow:
    return LedgerTransactionRow(
        account_id=transaction.account_id,
        seq=transaction.seq,
        txn_seq=transaction.txn_seq,
        transaction_id=transaction.transaction_id,
        type=transaction.type,
        direction=transaction.direction,
        amount_micros=transaction.amount_micros,
        currency=transaction.currency,
        status=transaction.status,
        description=transaction.description,
        effective_at_us=to_epoch_us(transaction.effective_at),
        created_at_us=to_epoch_us(transaction.created_at),
        balance_after_micros=transaction.balance_after_micros,
        available_after_micros=transaction.available_after_micros,
        reserved_after_micros=transaction.reserved_after_micros,
        line_items_json="[]",
        previous_hash=transaction.previous_hash,
        hash=transaction.hash,
        hold_id=transaction.hold_id,
    )
