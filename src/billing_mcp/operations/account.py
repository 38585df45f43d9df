"""Owns reading an account as plan decisions need it."""

from __future__ import annotations

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.plans import Account, Subscription
from billing_mcp.store.accounts import AccountRecord
from billing_mcp.store.store import Transaction


async def load_account(tx: Transaction, catalog: Catalog, account_id: str) -> tuple[AccountRecord, Account]:
    """The stored account, and all that a plan operation needs to know of it. Raises NotFound."""
    record = await tx.accounts.get(account_id)
    today = tx.now.date()
    subscription = await tx.subscriptions.find(account_id)
    return record, Account(
        status=record.status,
        wallet=await tx.ledger.wallet(account_id),
        subscription=subscription or Subscription(account_id, anchor_day=today.day, settled_through=today),
        counts=await tx.subscriptions.counts(account_id),
        plans=catalog.plans,
    )
