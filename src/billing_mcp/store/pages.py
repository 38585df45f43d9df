"""Owns reading whole ledgers: page by page, as rows, for whoever verifies or copies each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import iso_of_epoch_us
from billing_mcp.domain.ledger import canonical_facts
from billing_mcp.store.reading.fetch import Snapshot, fetch_many
from billing_mcp.store.reading.query import Rows
from billing_mcp.store.tables import LedgerEntryRow, LedgerTransactionRow, table

PAGE_SIZE = 1000
Leg = tuple[str, int, str]
"""A stored entry: ledger account, amount, currency."""

_T = table(LedgerTransactionRow).c
_E = table(LedgerEntryRow).c
_LEAST, _GREATEST = -(2**63), 2**63 - 1
_NEXT = select(func.min(_T.seq).label("seq")).where(
    (_T.account_id == bindparam("account_id")) & (_T.seq > bindparam("after"))
)
_PAGE = (
    select(*(column for column in _T if column.name != "account_id"))
    .where((_T.account_id == bindparam("account_id")) & _T.seq.between(bindparam("first"), bindparam("last")))
    .order_by(_T.seq)
)
_LEGS = (
    select(_E.seq, _E.ledger_account, _E.amount_micros, _E.currency)
    .where((_E.account_id == bindparam("account_id")) & _E.seq.between(bindparam("first"), bindparam("last")))
    .order_by(_E.seq, _E.line)
)


@dataclass(frozen=True, slots=True)
class Page:
    """Some transactions in order, in the columns of their table but for the account, and their entries."""

    transactions: Rows
    _legs: dict[int, list[Leg]]

    def legs_of(self, seq: int) -> Sequence[Leg]:
        """The entries of a transaction, in order."""
        return self._legs.get(seq, ())


async def pages(
    connection: AsyncConnection | Snapshot, account_id: str, *, size: int, within: tuple[int, int] | None = None
) -> AsyncIterator[Page]:
    """All that is stored of an account's ledger, whatever numbers somebody has given to it.

    `within` is the first and the last `seq` that are wanted.
    """
    least, greatest = within or (_LEAST + 1, _GREATEST)
    first = await _next(connection, account_id, after=least - 1)
    while first is not None and first <= greatest:
        last = min(first + size - 1, greatest)
        rows, entries = await fetch_many(connection, _PAGE, _LEGS, account_id=account_id, first=first, last=last)
        legs: dict[int, list[Leg]] = {}
        for seq, name, amount, currency in entries:
            legs.setdefault(seq, []).append((name, amount, currency))
        yield Page(rows, legs)
        if last == greatest:
            return
        first = last + 1 if len(rows) == size else await _next(connection, account_id, after=last)


async def _next(connection: AsyncConnection | Snapshot, account_id: str, *, after: int) -> int | None:
    (rows,) = await fetch_many(connection, _NEXT, account_id=account_id, after=after)
    seq: int | None = rows[0].seq
    return seq


def facts_of(account_id: str, row: Any, legs: Sequence[Leg]) -> str:
    """The canonical facts of a stored transaction. Raises TypeError, ValueError or OverflowError for what is none."""
    (
        seq, txn_seq, transaction_id, type_, direction, amount, currency, status, description, effective_us,
        created_us, balance_after, available_after, reserved_after, line_items, _, _, hold_id,
    ) = row  # fmt: skip
    created_at = iso_of_epoch_us(created_us)
    return canonical_facts(
        account_id=account_id,
        seq=seq,
        txn_seq=txn_seq,
        transaction_id=transaction_id,
        type_=type_,
        direction=direction,
        amount_micros=amount,
        currency=currency,
        status=status,
        description=description,
        effective_at=created_at if effective_us == created_us else iso_of_epoch_us(effective_us),
        created_at=created_at,
        balance_after_micros=balance_after,
        available_after_micros=available_after,
        reserved_after_micros=reserved_after,
        entries=legs,
        line_items=line_items,
        hold_id=hold_id,
    )
