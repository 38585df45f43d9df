"""Owns an account's ledger cut by time: which part of it is of a span, and what was moved before, in and after it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, case, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.store.reading.fetch import Snapshot, fetch_many
from billing_mcp.store.tables import LedgerEntryRow, LedgerTransactionRow, table

_AT_A_TIME = 20_000
"""How many transactions a statement adds up: a long history is no reason for a database to give up."""
_LEAST, _GREATEST = -(2**63), 2**63 - 1
_TRANSACTIONS, _ENTRIES = table(LedgerTransactionRow), table(LedgerEntryRow)
_T, _E = _TRANSACTIONS.c, _ENTRIES.c
_ZERO: ColumnElement[int] = literal_column("0")
_BEFORE = _T.created_at_us < bindparam("since")
_AFTER = _T.created_at_us >= bindparam("until")
_WITHIN = ~_BEFORE & ~_AFTER


def _total(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, _E.amount_micros), else_=_ZERO))


_SEQS = select(func.min(_T.seq).label("first"), func.max(_T.seq).label("last")).where(
    (_T.account_id == bindparam("account_id")) & _WITHIN
)
_SUMS = (
    select(
        _E.ledger_account,
        _E.currency,
        _total(_BEFORE).label("before"),
        _total(_WITHIN).label("within"),
        _total(_AFTER).label("after"),
        func.min(_T.created_at_us).label("first_us"),
        func.max(_T.created_at_us).label("last_us"),
    )
    .join_from(_TRANSACTIONS, _ENTRIES, (_E.account_id == _T.account_id) & (_E.seq == _T.seq))
    .where((_T.account_id == bindparam("account_id")) & _T.seq.between(bindparam("first"), bindparam("last")))
    .group_by(_E.ledger_account, _E.currency)
)

Of = tuple[str, str]
"""A ledger account and a currency."""


@dataclass(frozen=True, slots=True)
class Span:
    """From `since` on and before `until`: by when transactions were posted. None: from the first, to the last."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def whole(self) -> bool:
        """Whether it is all there is."""
        return self.since is None and self.until is None

    def has(self, moment: datetime) -> bool:
        """Whether a moment is within it."""
        return (self.since is None or self.since <= moment) and (self.until is None or moment < self.until)

    @property
    def parameters(self) -> dict[str, int]:
        """The same for a statement."""
        return {
            "since": _LEAST if self.since is None else to_epoch_us(self.since),
            "until": _GREATEST if self.until is None else to_epoch_us(self.until),
        }


@dataclass(slots=True)
class Movements:
    """The sums of an account's entries, in micros with the ledger's signs; when the first and the last was posted."""

    before: Counter[Of] = field(default_factory=Counter)
    within: Counter[Of] = field(default_factory=Counter)
    after: Counter[Of] = field(default_factory=Counter)
    first_at: datetime | None = None
    last_at: datetime | None = None


async def seqs_within(connection: AsyncConnection | Snapshot, account_id: str, span: Span) -> tuple[int, int] | None:
    """The first and the last `seq` within a span; None if there is none.

    What lies between them may yet be out of it: servers' clocks differ a little.
    """
    (rows,) = await fetch_many(connection, _SEQS, account_id=account_id, **span.parameters)
    return None if rows[0].first is None else (rows[0].first, rows[0].last)


async def movements(connection: AsyncConnection | Snapshot, account_id: str, span: Span, *, last_seq: int) -> Movements:
    """What each ledger account moved, up to `last_seq`."""
    moved = Movements()
    seen: list[int] = []
    for first in range(1, last_seq + 1, _AT_A_TIME):
        bounds = {"first": first, "last": min(last_seq, first + _AT_A_TIME - 1)}
        (rows,) = await fetch_many(connection, _SUMS, account_id=account_id, **bounds, **span.parameters)
        for row in rows:
            of = row.ledger_account, row.currency
            for sums, amount in ((moved.before, row.before), (moved.within, row.within), (moved.after, row.after)):
                sums[of] += int(amount)
            seen += row.first_us, row.last_us
    if seen:
        moved.first_at, moved.last_at = from_epoch_us(min(seen)), from_epoch_us(max(seen))
    return moved
