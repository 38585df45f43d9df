"""A till whose platform gives credits to one account, which spends them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from billing_mcp.domain.credits import Grant
from billing_mcp.domain.instructions import Receipt
from billing_mcp.domain.invoices import Invoice
from billing_mcp.domain.ledger import Posting
from billing_mcp.operations.closing import close_ended
from billing_mcp.operations.credits import expire_credits, next_expiry, settle_credits
from billing_mcp.operations.platform_money import PlatformMoney
from billing_mcp.store.cycles import BillingCycle
from tests.store.books import eur
from tests.worker.till import Till

DAY = timedelta(days=1)


class Desk(Till):
    """A till whose platform gives credits to one account, and whose account spends."""

    account_id: str

    async def give(self, amount: str, *, reason: str = "r", days: int | None = None, **more: Any) -> Receipt:
        """A credit, which expires so many days from now."""
        until = None if days is None else self.clock() + days * DAY
        money = PlatformMoney(self.store, self.clock)
        return await money.credit(self.account_id, eur(amount), reason=reason, expires_at=until, **more)

    async def hold(self, amount: str) -> str:
        held = (await self.app.holds.place(self.account_id, eur(amount))).hold
        assert held is not None
        return held.hold_id

    async def spend(self, amount: str) -> None:
        """It is held, and charged."""
        await self.app.holds.capture(self.account_id, await self.hold(amount))

    async def post(self, *postings: Posting) -> None:
        async with self.store.write(self.clock()) as tx:
            await tx.ledger.post(postings)

    async def settle(self) -> int:
        async with self.store.write(self.clock()) as tx:
            await tx.accounts.get(self.account_id, lock=True)
            return await settle_credits(tx, self.account_id)

    async def expire(self, **until: datetime) -> int:
        async with self.store.write(self.clock()) as tx:
            await tx.accounts.get(self.account_id, lock=True)
            return await expire_credits(tx, self.account_id, **until)

    async def close(self) -> list[Invoice]:
        """All that the account's calendar makes due is done, in order of time."""
        async with self.store.write(self.clock()) as tx:
            return await close_ended(tx, self.app.catalog, self.account_id)

    async def next_expiry(self) -> datetime | None:
        async with self.store.read(self.clock()) as tx:
            return await next_expiry(tx, self.account_id)

    async def grants(self) -> dict[str, Grant]:
        """What is stored of each, by its reason."""
        async with self.store.read(self.clock()) as tx:
            return {each.reason: each for each in await tx.credits.all(self.account_id)}

    async def cycle(self) -> BillingCycle:
        async with self.store.read(self.clock()) as tx:
            return await tx.cycles.get(self.account_id)

    async def seen(self) -> dict[str, str]:
        """What an agent sees to be left of each, by its reason, the next to be used first."""
        found = await self.must("credits.list", self.account_id)
        return {each["reason"]: each["remaining"] for each in found["items"]}

    async def due(self, moment: datetime) -> bool:
        """Whether something of the account's calendar is due at a moment."""
        async with self.store.read(self.clock()) as tx:
            return self.account_id in await tx.cycles.due_account_ids(moment)
