"""Owns stored credits: what is left of each grant, and what an account has spent since somebody looked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, bindparam, func, insert, literal_column, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.credits import Grant
from billing_mcp.domain.ledger import RECEIVABLE, REVENUE, ROUNDING
from billing_mcp.store.cycle_tables import CreditGrantRow
from billing_mcp.store.reading.fetch import fetch, fetch_many
from billing_mcp.store.tables import LedgerEntryRow, table

_GRANTS = table(CreditGrantRow)
_ENTRIES = table(LedgerEntryRow)
_G, _E = _GRANTS.c, _ENTRIES.c
# Written out, so that every plan can use the index that has these rows only.
_OPEN = (
    select(_GRANTS)
    .where((_G.account_id == bindparam("account_id")) & (_G.remaining_micros > literal_column("0")))
    .order_by(_G.grant_id)
)
_EARNED: list[ColumnElement[str]] = [literal_column(f"'{name}'") for name in (REVENUE, ROUNDING)]
_OTHER = _ENTRIES.alias("other")
_BESIDE: Select[Any] = select(literal_column("1")).where(
    (_OTHER.c.account_id == _E.account_id) & (_OTHER.c.seq == _E.seq) & _OTHER.c.ledger_account.in_(_EARNED)
)
_SPENT = select(func.sum(_E.amount_micros).label("micros")).where(
    (_E.account_id == bindparam("account_id"))
    & (_E.seq > bindparam("seq"))
    & or_(
        _E.ledger_account.in_(_EARNED),
        (_E.ledger_account == literal_column(f"'{RECEIVABLE}'")) & _BESIDE.exists(),
    )
)
_SAVED = (
    update(_GRANTS)
    .where((_G.account_id == bindparam("of_account")) & (_G.grant_id == bindparam("of_grant")))
    .values(remaining_micros=bindparam("remaining"), expired_micros=bindparam("expired"))
)
_SAME = ("account_id", "grant_id", "reason", "priority", "amount_micros", "remaining_micros", "expired_micros")


class Credits:
    """Credits of accounts, within one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, grant: Grant) -> None:
        """Store a new grant."""
        values = {name: getattr(grant, name) for name in _SAME}
        until = None if grant.expires_at is None else to_epoch_us(grant.expires_at)
        moments = {"granted_at_us": to_epoch_us(grant.granted_at), "expires_at_us": until}
        await self._connection.execute(insert(_GRANTS).values(**values, **moments))

    async def save(self, grants: Iterable[Grant]) -> None:
        """Store what is left of grants, and what has expired."""
        rows = [
            {
                "of_account": each.account_id,
                "of_grant": each.grant_id,
                "remaining": each.remaining_micros,
                "expired": each.expired_micros,
            }
            for each in grants
        ]
        if rows:
            await self._connection.execute(_SAVED, rows)

    async def open(self, account_id: str) -> list[Grant]:
        """The grants of which something is left, as it is settled, oldest first."""
        (rows,) = await fetch(self._connection, _OPEN, account_id=account_id)
        return [_grant(row) for row in rows]

    async def all(self, account_id: str) -> list[Grant]:
        """All grants of an account, as they are settled, newest first."""
        asked = select(_GRANTS).where(_G.account_id == account_id).order_by(_G.grant_id.desc())
        return [_grant(row) for row in await self._connection.execute(asked)]

    async def page(
        self, account_id: str, *, beyond: str | None = None, newest_first: bool = True, limit: int
    ) -> list[Grant]:
        """Up to `limit` grants in the order of time, as they are settled; `beyond` is the id of the last one seen."""
        asked = select(_GRANTS).where(_G.account_id == account_id)
        if beyond is not None:
            asked = asked.where(_G.grant_id < beyond if newest_first else _G.grant_id > beyond)
        ordered = asked.order_by(_G.grant_id.desc() if newest_first else _G.grant_id)
        return [_grant(row) for row in await self._connection.execute(ordered.limit(limit))]

    async def spent_since(self, account_id: str, seq: int) -> int:
        """What charges and rounding took out of the wallet after a ledger transaction, less what reversals gave back.

        That is what revenue, rounding and receivable got, which is no more than the wallet gave: what stayed unpaid
        is minus on receivable. Money of payments, its VAT and credits are on none of them; and what pays a debt, by
        receivable alone, is no use.
        """
        (rows,) = await fetch_many(self._connection, _SPENT, account_id=account_id, seq=seq)
        return int(rows[0].micros or 0)


def _grant(row: Row[Any]) -> Grant:
    return Grant(
        **{name: getattr(row, name) for name in _SAME},
        granted_at=from_epoch_us(row.granted_at_us),
        expires_at=None if row.expires_at_us is None else from_epoch_us(row.expires_at_us),
    )
