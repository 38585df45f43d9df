"""Owns stored accounts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, Select, bindparam, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.ledger import Wallet
from billing_mcp.domain.parties import BillingDetails
from billing_mcp.domain.plans import AccountStatus
from billing_mcp.domain.tax import Customer
from billing_mcp.store.among import Only, among
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
    """A customer account: who it is for VAT (without a country, the seller's) and on invoices; since when it owes.

    `status_since` is when it got its status, or while it is suspended, when the debt began that it is suspended for.
    """

    account_id: str
    name: str
    status: AccountStatus
    currency: str
    created_at: datetime
    customer: Customer = _NOTHING_SAID
    details: BillingDetails | None = None
    status_since: datetime | None = None
    dunning_due: datetime | None = None
    reminders: int = 0


class Accounts:
    """Accounts, within one transaction."""

    def __init__(self, connection: AsyncConnection, changes: ChangeLog, now: datetime, only: Only = None) -> None:
        self._connection = connection
        self._changes = changes
        self._now = now
        self._only = only

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
        values = status_columns(status, self._now)
        if (account.status, status) == ("past_due", "suspended"):  # the same debt: its age and reminders stay
            values = {"status": status, "dunning_due_us": None}
        await self._connection.execute(update(_ACCOUNTS).where(matching).values(**values))
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

    async def set_details(self, account: AccountRecord, details: BillingDetails) -> None:
        """Say who its invoices are addressed to from now on; those that are issued stay as they are."""
        matching = _ACCOUNTS.c.account_id == account.account_id
        text = json.dumps(asdict(details), ensure_ascii=False)
        await self._connection.execute(update(_ACCOUNTS).where(matching).values(details_json=text))

    async def dun_next(self, account_id: str, due: datetime | None, *, reminders: int) -> None:
        """When the next step of dunning is due, if there is one, and how many reminders were sent."""
        values = {"dunning_due_us": None if due is None else to_epoch_us(due), "reminders": reminders}
        await self._connection.execute(update(_ACCOUNTS).where(_ACCOUNTS.c.account_id == account_id).values(**values))

    async def due_for_dunning(self, now: datetime) -> list[str]:
        """Accounts of which a step of dunning is due."""
        due = (_ACCOUNTS.c.dunning_due_us <= to_epoch_us(now)) & among(_ACCOUNTS.c.account_id, self._only)
        found = await self._connection.execute(
            select(_ACCOUNTS.c.account_id).where(due).order_by(_ACCOUNTS.c.account_id)
        )
        return list(found.scalars())

    async def owing(self) -> list[AccountRecord]:
        """Accounts that are frozen by a debt, those that owe longest first."""
        c = _ACCOUNTS.c
        frozen = c.status.in_(["past_due", "suspended"])
        return await self._select(select(_ACCOUNTS).where(frozen).order_by(c.status_since_us, c.account_id))

    async def _select(self, statement: Select[Any]) -> list[AccountRecord]:
        rows = await self._connection.execute(statement)
        return [_record(row) for row in rows]


def status_columns(status: AccountStatus, now: datetime) -> dict[str, Any]:
    """What is stored with a new status: since when it is so, and that dunning begins when it owes."""
    now_us = to_epoch_us(now)
    return {
        "status": status,
        "status_since_us": now_us,
        "dunning_due_us": now_us if status == "past_due" else None,
        "reminders": 0,
    }


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
        details=_details(row.details_json),
        status_since=_moment(row.status_since_us),
        dunning_due=_moment(row.dunning_due_us),
        reminders=row.reminders,
    )


def _details(text: str | None) -> BillingDetails | None:
    if text is None:
        return None
    facts = json.loads(text)
    return BillingDetails(**facts | {"address": tuple(facts["address"])})


def _moment(value_us: int | None) -> datetime | None:
    return None if value_us is None else from_epoch_us(value_us)


def _columns(customer: Customer) -> dict[str, Any]:
    return {"country": customer.country, "vat_id": customer.vat_id, "tax_exempt": customer.exempt}


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
