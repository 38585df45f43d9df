"""Owns stored accounts."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, Select, bindparam, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.ledger import Wallet
from billing_mcp.domain.plans import AccountStatus
from billing_mcp.domain.tax import Customer
from billing_mcp.store.changes import ChangeLog, SettingChange
from billing_mcp.store.reading.fetch import fetch
from billing_mcp.store.reading.query import Rows
from billing_mcp.store.tables import AccountRow, WalletRow, table

_ACCOUNTS = table(AccountRow)
_WALLETS = table(WalletRow)
_WALLET = tuple(each.name for each in fields(Wallet))
_BOOKS = [_WALLETS.c[name] for name in _WALLET if name not in _ACCOUNTS.c]
ACCOUNT = select(_ACCOUNTS).where(_ACCOUNTS.c.account_id == bindparam("account_id"))
"""One account, by `account_id`."""


_NOTHING_SAID = Customer()


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """A customer account, and who it is for VAT: without a country, the seller's."""

    account_id: str
    name: str
    status: AccountStatus
    currency: str
    created_at: datetime
    customer: Customer = _NOTHING_SAID


class Accounts:
    """Accounts, within one transaction."""

    def __init__(self, connection: AsyncConnection, changes: ChangeLog) -> None:
        self._connection = connection
        self._changes = changes

    async def add(self, account: AccountRecord) -> bool:
        """Store a new account. False: there is one with its id, perhaps since a moment ago."""
        values = {
            "account_id": account.account_id,
            "name": account.name,
            "status": account.status,
            "currency": account.currency,
            "created_at_us": to_epoch_us(account.created_at),
            **_columns(account.customer),
        }
        dialect = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        new = dialect.insert(_ACCOUNTS).values(**values).on_conflict_do_nothing()
        return (await self._connection.execute(new)).rowcount == 1

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

    async def page(
        self, *, beyond: tuple[int, str] | None, newest_first: bool, limit: int
    ) -> list[tuple[AccountRecord, Wallet]]:
        """Up to `limit` accounts with their wallets, by the moment that they were opened at, then by id.

        `beyond` is the last one that was seen, by its moment in microseconds and its id.
        """
        c = _ACCOUNTS.c
        place = tuple_(c.created_at_us, c.account_id)
        statement = select(_ACCOUNTS, *_BOOKS).join(_WALLETS, _WALLETS.c.account_id == c.account_id)
        if beyond is not None:
            statement = statement.where(place < beyond if newest_first else place > beyond)
        columns = [c.created_at_us, c.account_id]
        ordered = statement.order_by(*[each.desc() if newest_first else each.asc() for each in columns])
        rows = await self._connection.execute(ordered.limit(limit))
        return [(_record(row), Wallet(*[getattr(row, name) for name in _WALLET])) for row in rows]

    async def set_status(self, account: AccountRecord, status: AccountStatus) -> None:
        """Change the status of an account; nothing is written when it is the same."""
        if status == account.status:
            return
        matching = _ACCOUNTS.c.account_id == account.account_id
        await self._connection.execute(update(_ACCOUNTS).where(matching).values(status=status))
        self._changes.add(SettingChange(account.account_id, "account_status", account.status, status))

    async def set_customer(self, account: AccountRecord, customer: Customer) -> None:
        """Say who an account is for VAT; what was received before stays taxed as it was."""
        matching = _ACCOUNTS.c.account_id == account.account_id
        await self._connection.execute(update(_ACCOUNTS).where(matching).values(**_columns(customer)))
        before = account.customer
        for setting, was, now in (
            ("country", before.country, customer.country),
            ("vat_id", before.vat_id, customer.vat_id),
            ("tax_exempt", _yes_or_no(before.exempt), _yes_or_no(customer.exempt)),
        ):
            if was != now:
                self._changes.add(SettingChange(account.account_id, setting, was, now))

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
        customer=Customer(row.country, row.vat_id, row.tax_exempt),
    )


def _columns(customer: Customer) -> dict[str, Any]:
    return {"country": customer.country, "vat_id": customer.vat_id, "tax_exempt": customer.exempt}


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
