"""Owns looking at where accounts stand, all of them at once, and at what has been posted since."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import from_epoch_us
from billing_mcp.domain.plans import AccountStatus
from billing_mcp.domain.standings import AccountStanding
from billing_mcp.store.among import Only, among
from billing_mcp.store.cycle_tables import CreditGrantRow
from billing_mcp.store.message_tables import ChannelStateRow
from billing_mcp.store.tables import AccountRow, InvoiceRow, LedgerEntryRow, WalletRow, table

_ACCOUNTS = table(AccountRow).c
_WALLETS = table(WalletRow)
_W = _WALLETS.c
_INVOICES = table(InvoiceRow).c
_GRANTS = table(CreditGrantRow).c
_STATES = table(ChannelStateRow).c
_ENTRIES = table(LedgerEntryRow).c


class Standings:
    """Where accounts stand, within one transaction."""

    def __init__(self, connection: AsyncConnection, only: Only = None) -> None:
        self._connection = connection
        self._only = only

    async def all(self) -> list[AccountStanding]:
        """Every account that the store looks for work of, oldest first; without its tiers."""
        invoices = (
            select(_INVOICES.account_id, func.max(_INVOICES.invoice_seq).label("last"))
            .group_by(_INVOICES.account_id)
            .subquery()
        )
        grants = (
            select(_GRANTS.account_id, func.sum(_GRANTS.expired_micros).label("expired_micros"))
            .group_by(_GRANTS.account_id)
            .subquery()
        )
        found = (
            select(
                _ACCOUNTS.account_id,
                _ACCOUNTS.name,
                _ACCOUNTS.currency,
                _ACCOUNTS.status,
                _ACCOUNTS.status_since_us,
                _ACCOUNTS.reminders,
                _W.available_micros,
                (_W.available_micros + _W.reserved_micros).label("total_micros"),
                _W.last_seq,
                func.coalesce(invoices.c.last, 0).label("invoices"),
                func.coalesce(grants.c.expired_micros, 0).label("expired_micros"),
            )
            .join(_WALLETS, _W.account_id == _ACCOUNTS.account_id)
            .join(invoices, invoices.c.account_id == _ACCOUNTS.account_id, isouter=True)
            .join(grants, grants.c.account_id == _ACCOUNTS.account_id, isouter=True)
            .where(among(_ACCOUNTS.account_id, self._only))
            .order_by(_ACCOUNTS.created_at_us, _ACCOUNTS.account_id)
        )
        return [
            AccountStanding(
                account_id=row.account_id,
                name=row.name,
                currency=row.currency,
                status=cast("AccountStatus", row.status),
                status_since=_moment(row.status_since_us),
                reminders=row.reminders,
                available_micros=row.available_micros,
                total_micros=row.total_micros,
                last_seq=row.last_seq,
                invoices=row.invoices,
                credits_expired_micros=int(row.expired_micros),
            )
            for row in await self._connection.execute(found)
        ]

    async def with_tiers(self) -> list[str]:
        """The accounts that have ever used a channel, or were granted a tier of one."""
        found = select(_STATES.account_id).where(among(_STATES.account_id, self._only)).distinct()
        return sorted((await self._connection.execute(found)).scalars())

    async def moved(self, account_id: str, *, after_seq: int) -> dict[str, int]:
        """What was posted to each ledger account after a transaction of an account, in micros with their signs."""
        since = (_ENTRIES.account_id == account_id) & (_ENTRIES.seq > after_seq)
        found = select(_ENTRIES.ledger_account, func.sum(_ENTRIES.amount_micros)).where(since)
        rows = await self._connection.execute(found.group_by(_ENTRIES.ledger_account))
        return {name: int(micros) for name, micros in rows}


def _moment(us: int | None) -> datetime | None:
    return None if us is None else from_epoch_us(us)
