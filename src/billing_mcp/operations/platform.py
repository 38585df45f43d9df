"""Owns what the platform does, and agents never see: opening accounts, counting, money in, keys."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Literal

from billing_mcp.domain.accrual import ComponentCount
from billing_mcp.domain.clock import iso, start_of
from billing_mcp.domain.errors import InvalidArgument, Refused
from billing_mcp.domain.ledger import AVAILABLE, Entry, LedgerTransaction, Posting, cash
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.periods import period_of
from billing_mcp.kernel.keys import mint_key
from billing_mcp.kernel.principal import Permission
from billing_mcp.store.accounts import AccountRecord
from billing_mcp.store.cycles import BillingCycle
from billing_mcp.store.keys import KeyRecord
from billing_mcp.store.store import Transaction

MAX_NAME_CHARS = 200

ComponentType = Literal["mailbox", "proxy"]


async def open_account(tx: Transaction, account_id: str, name: str, currency: str) -> AccountRecord:
    """Open an account with an empty wallet.

    Raises InvalidArgument for what is no name, and Refused with code `account_exists`.
    """
    account = AccountRecord(account_id, storable_name(name), "active", currency, tx.now)
    if not await tx.accounts.add(account):
        raise Refused(f"account {account_id} is open already", code="account_exists", field="account_id")
    await tx.ledger.open_wallet(account_id, currency)
    today = tx.now.date()
    first = period_of(today, anchor_day=today.day)
    await tx.cycles.begin(BillingCycle(account_id, today), due=start_of(first.end))
    return account


def storable_name(name: str) -> str:
    """A name that people give things. Raises InvalidArgument for an empty or long one, or control characters."""
    clean = name.encode("utf-8", "replace").decode().strip()
    if not clean or clean != name.strip() or not clean.isprintable():
        message = f"{clean!r} is not a name: it is empty, or has characters that cannot be shown"
        raise InvalidArgument(message, field="name")
    if len(clean) > MAX_NAME_CHARS:
        message = f"a name has at most {MAX_NAME_CHARS} characters, this one {len(clean)}"
        raise InvalidArgument(message, field="name")
    return clean


async def count_components(
    tx: Transaction, account_id: str, component_type: ComponentType, quantity: int, on: date
) -> None:
    """From a day on the account has so many units. Raises NotFound; Refused for a day already charged."""
    await tx.accounts.get(account_id, lock=True)
    await tx.subscriptions.set_count(account_id, ComponentCount(component_type, on, quantity))


async def make_agent_key(
    tx: Transaction,
    name: str,
    *,
    account_ids: Iterable[str],
    permissions: Iterable[Permission],
    read_only: bool = False,
    default_account_id: str | None = None,
    expires_at: datetime | None = None,
) -> tuple[str, KeyRecord]:
    """A new key for an agent: its text, which is shown once, and what it grants.

    Raises InvalidArgument, and NotFound for an account that is not there.
    """
    granted = tuple(dict.fromkeys(account_ids))
    if not granted:
        raise InvalidArgument(
            "an agent's key is granted at least one account", field="account_ids", hint="Name those it may use."
        )
    if default_account_id is not None and default_account_id not in granted:
        raise InvalidArgument(
            f"the default account {default_account_id} is not among those that are granted",
            field="default_account_id",
            hint="Grant it, too.",
        )
    for account_id in granted:
        await tx.accounts.get(account_id)
    text, record = mint_key(
        storable_name(name),
        permissions=permissions,
        account_ids=granted,
        read_only=read_only,
        expires_at=_later(tx, expires_at),
        now=tx.now,
        default_account_id=default_account_id,
    )
    await tx.keys.add(record)
    return text, record


async def make_platform_key(tx: Transaction, name: str, *, expires_at: datetime | None = None) -> tuple[str, KeyRecord]:
    """A new key for the platform itself: its text, which is shown once, and its record. Raises InvalidArgument."""
    text, record = mint_key(
        storable_name(name),
        permissions=(),
        account_ids=(),
        read_only=False,
        expires_at=_later(tx, expires_at),
        now=tx.now,
        kind="platform",
    )
    await tx.keys.add(record)
    return text, record


def _later(tx: Transaction, expires_at: datetime | None) -> datetime | None:
    if expires_at is not None and expires_at <= tx.now:
        raise InvalidArgument(
            f"expires_at must be later than now, {iso(tx.now)}; got {iso(expires_at)}", field="expires_at"
        )
    return expires_at


async def receive_payment(tx: Transaction, account_id: str, amount_micros: int, *, provider: str) -> LedgerTransaction:
    """Credit the wallet with money that a provider has received. Raises InvalidArgument."""
    currency = (await tx.ledger.wallet(account_id)).currency
    (transaction,) = await tx.ledger.post([payment(account_id, amount_micros, currency, provider, tx.now)])
    return transaction


def payment(account_id: str, amount_micros: int, currency: str, provider: str, now: datetime) -> Posting:
    """The posting of money that a provider has received. Raises InvalidArgument."""
    if amount_micros <= 0:
        raise InvalidArgument(f"a payment is positive; got {format_micros(amount_micros)}", field="amount")
    return Posting(
        account_id=account_id,
        type="topup",
        description=f"Top-up of {format_micros(amount_micros)} {currency} by {provider.replace('_', ' ')}",
        entries=(Entry(AVAILABLE, amount_micros, currency), Entry(cash(provider), -amount_micros, currency)),
        effective_at=now,
    )
