"""Owns what the platform does, and agents never see: opening accounts, counting, money in."""

from __future__ import annotations

from datetime import date
from typing import Literal

from billing_mcp.domain.accrual import ComponentCount
from billing_mcp.domain.errors import InvalidArgument, Refused
from billing_mcp.domain.ledger import AVAILABLE, Entry, LedgerTransaction, Posting, cash
from billing_mcp.domain.money import format_micros
from billing_mcp.store.accounts import AccountRecord
from billing_mcp.store.store import Transaction

ComponentType = Literal["mailbox", "proxy"]


async def open_account(tx: Transaction, account_id: str, name: str, currency: str) -> AccountRecord:
    """Open an account with an empty wallet.

    Raises InvalidArgument for an empty name, and Refused with code `account_exists`.
    """
    if not name.strip():
        raise InvalidArgument("the name of an account is not empty", field="name")
    if await tx.accounts.exists(account_id):
        raise Refused(f"account {account_id} is open already", code="account_exists")
    account = AccountRecord(account_id, name.strip(), "active", currency, tx.now)
    await tx.accounts.add(account)
    await tx.ledger.open_wallet(account_id, currency)
    return account


async def count_components(
    tx: Transaction, account_id: str, component_type: ComponentType, quantity: int, on: date
) -> None:
    """From a day on the account has so many units. Raises NotFound; Refused for a day already charged."""
    await tx.accounts.get(account_id, lock=True)
    await tx.subscriptions.set_count(account_id, ComponentCount(component_type, on, quantity))


async def receive_payment(tx: Transaction, account_id: str, amount_micros: int, *, provider: str) -> LedgerTransaction:
    """Credit the wallet with money that a provider has received. Raises InvalidArgument."""
    if amount_micros <= 0:
        raise InvalidArgument(f"a payment is positive; got {format_micros(amount_micros)}", field="amount")
    currency = (await tx.ledger.wallet(account_id)).currency
    posting = Posting(
        account_id=account_id,
        type="topup",
        description=f"Top-up of {format_micros(amount_micros)} {currency} by {provider.replace('_', ' ')}",
        entries=(Entry(AVAILABLE, amount_micros, currency), Entry(cash(provider), -amount_micros, currency)),
        effective_at=tx.now,
    )
    (transaction,) = await tx.ledger.post([posting])
    return transaction
