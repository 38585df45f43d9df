"""Owns reading an account as plan decisions need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.plans import Account
from billing_mcp.domain.subscriptions import Subscription

if TYPE_CHECKING:
    from billing_mcp.store.accounts import AccountRecord
    from billing_mcp.store.store import Transaction


async def load_account(tx: Transaction, catalog: Catalog, account_id: str) -> tuple[AccountRecord, Account]:
    """The stored account, and all that a plan operation needs to know of it. Raises NotFound."""
    state = await tx.states.get(account_id)
    today = tx.now.date()
    return state.record, Account(
        status=state.record.status,
        wallet=state.wallet,
        subscription=state.subscription or Subscription(account_id, anchor_day=today.day, settled_through=today),
        counts=state.counts,
        plans=catalog.plans,
    )
