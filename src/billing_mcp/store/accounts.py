"""Owns stored accounts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, Select, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.plans import AccountStatus
from billing_mcp.store.changes import ChangeLog, SettingChange
from billing_mcp.store.snapshot import Rows, fetch
from billing_mcp.store.tables import AccountRow, table

_ACCOUNTS = table(AccountRow)
ACCOUNT = select(_ACCOUNTS).where(_ACCOUNTS.c.account_id == bindparam("account_id"))
"""One account, by `account_id`."""


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """A customer account."""

    account_id: str
    name: str
    status: AccountStatus
    currency: str
    created_at: datetime


class Accounts:
    """Accounts, within one transaction."""

    def __init__(self, connection: AsyncConnection, changes: ChangeLog) -> None:
        self._connection = connection
        self._changes = changes

    async def add(self, account: AccountRecord) -> None:
        """Store a new account."""
        values = {
            "account_id": account.account_id,
            "name": account.name,
            "status": account.status,
            "currency": account.currency,
            "created_at_us": to_epoch_us(account.created_at),
        }
        await self._connection.execute(insert(_ACCOUNTS).values(**values))

    async def get(self, account_id: str, *, lock: bool = False) -> AccountRecord:
        """One account; `lock` keeps others from writing to it until this transaction ends.

        Raises NotFound.
        """
        statement = ACCOUNT.with_for_update() if lock else ACCOUNT
        (rows,) = await fetch(self._connection, statement, account_id=account_id)
        return account_of(rows, account_id)

    async def exists(self, account_id: str) -> bool:
        """Whether there is such an account."""
        return bool(await self._select(select(_ACCOUNTS).where(_ACCOUNTS.c.account_id == account_id)))

    async def all(self) -> list[AccountRecord]:
        """Every account, oldest first."""
        return await self._select(select(_ACCOUNTS).order_by(_ACCOUNTS.c.created_at_us, _ACCOUNTS.c.account_id))

    async def set_status(self, account: AccountRecord, status: AccountStatus) -> None:
        """Change the status of an account; nothing is written when it is the same."""
        if status == account.status:
            return
        matching = _ACCOUNTS.c.account_id == account.account_id
        await self._connection.execute(update(_ACCOUNTS).where(matching).values(status=status))
        self._changes.add(SettingChange(account.account_id, "account_status", account.status, status))

    async def _select(self, statement: Select[Any]) -> list[AccountRecord]:
        rows = await self._connection.execute(statement)
        return [_record(row) for row in rows]


def account_of(rows: Rows, account_id: str) -> AccountRecord:
    """The account that was selected. Raises NotFound."""
    for row in rows:
        return _record(row)
    raise NotFound(f"account {account_id} does not exist", field="account_id")


def _record(row: Row[Any]) -> AccountRecord:
    return AccountRecord(
        account_id=row.account_id,
        name=row.name,
        status=cast("AccountStatus", row.status),
        currency=row.currency,
        created_at=from_epoch_us(row.created_at_us),
    )
