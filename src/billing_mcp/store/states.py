"""Owns reading whole accounts: all that a decision about one needs, in one round trip."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.accrual import ComponentCount
from billing_mcp.domain.ledger import Wallet
from billing_mcp.domain.subscriptions import Subscription
from billing_mcp.store.accounts import ACCOUNT, AccountRecord, account_of
from billing_mcp.store.ledger import WALLET, wallet_of
from billing_mcp.store.reading.fetch import fetch
from billing_mcp.store.subscriptions import COUNTS, SUBSCRIPTION, counts_of, subscription_of


@dataclass(frozen=True, slots=True)
class AccountState:
    """An account with its wallet, its subscription if it ever had one, and its dated counts."""

    record: AccountRecord
    wallet: Wallet
    subscription: Subscription | None
    counts: list[ComponentCount]


class States:
    """Whole accounts within one transaction. A snapshot may remember them: in it nothing changes."""

    def __init__(self, connection: AsyncConnection, *, remember: bool) -> None:
        self._connection = connection
        self._known: dict[str, AccountState] | None = {} if remember else None

    async def get(self, account_id: str) -> AccountState:
        """One account. Raises NotFound."""
        if self._known is not None and account_id in self._known:
            return self._known[account_id]
        account, wallet, subscription, phases, counts = await fetch(
            self._connection, ACCOUNT, WALLET, *SUBSCRIPTION, COUNTS, account_id=account_id
        )
        state = AccountState(
            account_of(account, account_id),
            wallet_of(wallet, account_id),
            subscription_of(subscription, phases),
            counts_of(counts),
        )
        if self._known is not None:
            self._known[account_id] = state
        return state
