"""Owns how far accounts are billed: what is closed, what is due next, and the numbers of invoices."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime

from sqlalchemy import insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import to_epoch_us
from billing_mcp.domain.errors import NotFound
from billing_mcp.store.among import Only, among
from billing_mcp.store.cycle_tables import BillingCycleRow, InvoiceNumberRow
from billing_mcp.store.tables import table

_CYCLES = table(BillingCycleRow)
_NUMBERS = table(InvoiceNumberRow)
_C = _CYCLES.c


@dataclass(frozen=True, slots=True)
class BillingCycle:
    """How far an account is billed. Every period before `closed_through` is closed; the next begins on that day."""

    account_id: str
    closed_through: date
    through_seq: int = 0
    """Where the ledger ended when the last one was closed."""
    credits_seq: int = 0
    """Up to which ledger transaction it is settled what credits have paid."""
    credits_used_micros: int = 0
    """How much of that is on no invoice yet."""


class Cycles:
    """Billing cycles, within one transaction."""

    def __init__(self, connection: AsyncConnection, only: Only = None) -> None:
        self._connection = connection
        self._only = only

    async def begin(self, cycle: BillingCycle, *, due: datetime) -> None:
        """Store the cycle of a new account."""
        values = asdict(cycle) | {"next_due_us": to_epoch_us(due)}
        await self._connection.execute(insert(_CYCLES).values(**values))

    async def get(self, account_id: str) -> BillingCycle:
        """How far an account is billed. Raises NotFound."""
        rows = await self._connection.execute(select(_CYCLES).where(_C.account_id == account_id))
        for row in rows:
            return BillingCycle(**{name: getattr(row, name) for name in BillingCycle.__slots__})
        raise _not_found(account_id)

    async def save(self, cycle: BillingCycle) -> None:
        """Store how far it is billed now."""
        values = asdict(cycle)
        matching = _C.account_id == values.pop("account_id")
        await self._connection.execute(update(_CYCLES).where(matching).values(**values))

    async def due_next(self, account_id: str, due: datetime) -> None:
        """When something of its calendar is due next: the end of its period, or an earlier expiry."""
        values = {"next_due_us": to_epoch_us(due)}
        await self._connection.execute(update(_CYCLES).where(_C.account_id == account_id).values(**values))

    async def due_sooner(self, account_id: str, due: datetime) -> None:
        """Something of its calendar is due at a moment; what is due before that stays so."""
        due_us = to_epoch_us(due)
        later = (_C.account_id == account_id) & (_C.next_due_us > due_us)
        await self._connection.execute(update(_CYCLES).where(later).values(next_due_us=due_us))

    async def is_due(self, account_id: str, now: datetime) -> bool:
        """Whether anything of an account's calendar is due. Raises NotFound."""
        rows = await self._connection.execute(select(_C.next_due_us).where(_C.account_id == account_id))
        for row in rows:
            return bool(row.next_due_us <= to_epoch_us(now))
        raise _not_found(account_id)

    async def due_account_ids(self, now: datetime) -> list[str]:
        """Accounts of which something is due, those that wait longest first."""
        due = select(_C.account_id).where((_C.next_due_us <= to_epoch_us(now)) & among(_C.account_id, self._only))
        return list((await self._connection.execute(due.order_by(_C.next_due_us, _C.account_id))).scalars())

    async def next_number(self, series: str, year: int) -> int:
        """The next number of a seller's invoices in a year. Nobody else gets one until this transaction has ended.

        Numbers have no gaps: what is rolled back gives its number back.
        """
        dialect = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        taken = (
            dialect.insert(_NUMBERS)
            .values(series=series, year=year, last=1)
            .on_conflict_do_update(index_elements=["series", "year"], set_={"last": _NUMBERS.c.last + 1})
            .returning(_NUMBERS.c.last)
        )
        return int((await self._connection.execute(taken)).scalar_one())


def _not_found(account_id: str) -> NotFound:
    return NotFound(f"account {account_id} does not exist", field="account_id")
