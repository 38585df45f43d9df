"""Owns the stored time of a database for demos and tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.store.cycle_tables import TestClockRow
from billing_mcp.store.tables import table

_CLOCKS = table(TestClockRow)
_C = _CLOCKS.c
_ONLY = "billing"
"""There is one clock in a database."""


@dataclass(frozen=True, slots=True)
class ClockMark:
    """That a database is for demos and tests: its clock stands at a moment, or follows the system's until advanced."""

    stands_at: datetime | None


class StoredClock:
    """The clock of a database, within one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self) -> ClockMark | None:
        """The database's own clock; None where it has none, and its time is the system's."""
        rows = await self._connection.execute(select(_C.now_us).where(_C.name == _ONLY))
        for (now_us,) in rows:
            return ClockMark(None if now_us is None else from_epoch_us(now_us))
        return None

    async def set(self, mark: ClockMark) -> None:
        """Have the database be one for tests, with a clock that stands there, or follows the system's."""
        now_us = None if mark.stands_at is None else to_epoch_us(mark.stands_at)
        await self._connection.execute(
            self._insert(now_us).on_conflict_do_update(index_elements=[_C.name], set_={"now_us": now_us})
        )

    async def advance(self, moment: datetime) -> datetime:
        """Have it stand at a moment, unless somebody has advanced it further already. Returns where it stands now."""
        now_us = to_epoch_us(moment)
        new = self._insert(now_us)
        earlier = _C.now_us.is_(None) | (_C.now_us < now_us)
        await self._connection.execute(
            new.on_conflict_do_update(index_elements=[_C.name], set_={"now_us": now_us}, where=earlier)
        )
        mark = await self.find()
        return moment if mark is None or mark.stands_at is None else mark.stands_at

    def _insert(self, now_us: int | None) -> sqlite.Insert | postgresql.Insert:
        if self._connection.dialect.name == "sqlite":
            return sqlite.insert(_CLOCKS).values(name=_ONLY, now_us=now_us)
        return postgresql.insert(_CLOCKS).values(name=_ONLY, now_us=now_us)
