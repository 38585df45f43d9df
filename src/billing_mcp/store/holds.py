"""Owns reading stored holds. They are written by the posting engine alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import to_epoch_us
from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.holds import Hold, HoldStatus
from billing_mcp.store.among import Only, among
from billing_mcp.store.posting.rows import hold_of
from billing_mcp.store.reading.fetch import fetch_many
from billing_mcp.store.tables import HoldRow, table

_HOLDS = table(HoldRow)
_COUNT = select(func.count().label("holds")).where(_HOLDS.c.account_id == bindparam("account_id"))
_OPEN = _HOLDS.c.status == "open"


class Holds:
    """Holds, within one transaction."""

    def __init__(self, connection: AsyncConnection, only: Only = None) -> None:
        self._connection = connection
        self._only = only

    async def get(self, account_id: str, hold_id: str) -> Hold:
        """One hold. Raises NotFound."""
        c = _HOLDS.c
        statement = select(_HOLDS).where((c.account_id == account_id) & (c.hold_id == hold_id))
        for row in await self._connection.execute(statement):
            return hold_of(row)
        raise NotFound(f"hold {hold_id} does not exist", field="hold_id")

    async def older(self, account_id: str, *, than: str | None, status: HoldStatus | None, limit: int) -> list[Hold]:
        """Up to `limit` holds of an account, newest first; `than` is the last one that was seen."""
        c = _HOLDS.c
        within = c.account_id == account_id
        if status == "open":
            within &= _OPEN
        elif status is not None:
            within &= c.status == status
        if than is not None:
            within &= c.hold_id < than
        rows = await self._connection.execute(select(_HOLDS).where(within).order_by(c.hold_id.desc()).limit(limit))
        return [hold_of(row) for row in rows]

    async def due(
        self, now: datetime, *, limit: int, account_id: str | None = None, after: Hold | None = None
    ) -> list[Hold]:
        """Up to `limit` open holds whose time is over, of one account or of all, those that waited longest first.

        `after` is the last one that was seen.
        """
        c = _HOLDS.c
        order = (c.expires_at_us, c.account_id, c.hold_id)
        due = _due(now)
        if account_id is not None:
            due &= c.account_id == account_id
        if after is not None:
            due &= tuple_(*order) > tuple_(to_epoch_us(after.expires_at), after.account_id, after.hold_id)
        rows = await self._connection.execute(select(_HOLDS).where(due).order_by(*order).limit(limit))
        return [hold_of(row) for row in rows]

    async def due_account_ids(self, now: datetime) -> list[str]:
        """Every account that has an open hold whose time is over."""
        due = _due(now) & among(_HOLDS.c.account_id, self._only)
        found = select(_HOLDS.c.account_id).where(due).distinct()
        return list((await self._connection.execute(found)).scalars())

    async def named(self, account_id: str, hold_ids: Sequence[str]) -> dict[str, Hold]:
        """The holds with these ids, as far as there are any."""
        c = _HOLDS.c
        rows = await self._connection.execute(
            select(_HOLDS).where((c.account_id == account_id) & c.hold_id.in_(hold_ids))
        )
        return {hold.hold_id: hold for hold in map(hold_of, rows)}

    async def count(self, account_id: str) -> int:
        """How many holds of an account are stored, open or not."""
        (rows,) = await fetch_many(self._connection, _COUNT, account_id=account_id)
        return int(rows[0].holds)

    async def account_ids(self) -> list[str]:
        """Every account that has a hold."""
        return list((await self._connection.execute(select(_HOLDS.c.account_id).distinct())).scalars())


def _due(now: datetime) -> ColumnElement[bool]:
    return _OPEN & (_HOLDS.c.expires_at_us <= to_epoch_us(now))
