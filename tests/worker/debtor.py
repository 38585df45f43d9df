"""An account that owes: how it came to, what pays it, and what the world hears of it day by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from billing_mcp.domain.invoices import Invoice
from billing_mcp.operations.platform import open_account, receive_payment
from billing_mcp.operations.platform_money import PlatformMoney
from billing_mcp.store.store import Store
from tests.conftest import Clock
from tests.worker.till import EUR, Till, amounts
from tests.world import World

_numbers = count(1)
_NEWS = ("billing.account.", "billing.invoice.paid")


@dataclass
class Debtor:
    """One account, what is done to it, and a worker."""

    till: Till
    clock: Clock
    account_id: str
    since: datetime

    @classmethod
    async def of(cls, store: Store, clock: Clock, *, funds: int = 5, owes: int = 0) -> Debtor:
        """On a new account with so much money, all of which a charge has taken, and more than that."""
        debtor = await cls.named(await Till.open(store, clock), clock, funds)
        if owes:
            await debtor.overrun(owes)
        return debtor

    @classmethod
    async def named(cls, till: Till, clock: Clock, funds: int = 0) -> Debtor:
        account_id = f"0190c0de-0000-7000-a000-{next(_numbers):012d}"
        async with till.store.write(clock()) as tx:
            await open_account(tx, account_id, "Debtor", "EUR")
            if funds:
                await receive_payment(tx, account_id, funds * EUR, provider="bank")
        return cls(till, clock, account_id, clock())

    async def overrun(self, owes: int) -> None:
        """All that there is was held, and the receipt says that it cost so much more."""
        free = (await self.till.wallet(self.account_id)).available_micros
        hold = (await self.till.app.holds.place(self.account_id, free)).hold
        assert hold is not None
        await self.till.app.holds.capture(self.account_id, hold.hold_id, free + owes * EUR)

    async def closed(self, day: str) -> None:
        """The period that ends on a day is closed in its first hour."""
        self.clock.now = datetime.fromisoformat(f"{day}T01:00:00+00:00")
        await World(self.till.app, self.clock).close_period(self.account_id)

    async def pay(self, amount: int, way: str = "by the desk") -> None:
        """Money comes in, and then a worker."""
        if way == "by the desk":
            await self.money.receive(self.account_id, amount * EUR, provider="manual")
        elif way == "as a gift":
            await self.money.credit(self.account_id, amount * EUR, reason="Goodwill")
        elif way == "in a transaction":
            async with self.till.store.write(self.clock()) as tx:
                await receive_payment(tx, self.account_id, amount * EUR, provider="bank")
        else:
            await self.till.method(self.account_id, "tok_visa")
            await self.till.must("topups.create", self.account_id, amount=f"{amount}.00")
        await self.work()

    @property
    def money(self) -> PlatformMoney:
        return PlatformMoney(self.till.store, self.clock)

    async def work(self) -> None:
        await self.till.worker().run_once()

    async def day(self, number: float) -> list[tuple[str, dict[str, Any]]]:
        """What is new in what the world has heard, once a worker has worked on a day since the account was opened."""
        before = {event.event_id for event in await self.till.events(self.account_id)}
        self.clock.now = self.since + timedelta(days=number)
        await self.work()
        new = [event for event in await self.till.events(self.account_id) if event.event_id not in before]
        return [(event.event, dict(event.payload)) for event in new if event.event.startswith(_NEWS)]

    async def told(self) -> list[str]:
        """All that the world has heard of the debt, by name."""
        told = [event.event for event in await self.till.events(self.account_id)]
        return sorted(name.removeprefix("billing.") for name in told if name.startswith(_NEWS))

    async def standing(self) -> tuple[str, int, int]:
        """The status, what is available, and what is owed, in whole cents."""
        wallet = await self.till.wallet(self.account_id)
        async with self.till.store.read(self.clock()) as tx:
            owed = -await tx.ledger.receivable_micros(self.account_id)
        return await self.till.status(self.account_id), wallet.available_micros // 10_000, owed // 10_000

    async def invoices(self) -> Sequence[Invoice]:
        """All of them, oldest first."""
        async with self.till.store.read(self.clock()) as tx:
            found, _ = await tx.invoices.page(self.account_id, page=1, page_size=100)
        return found[::-1]

    async def paid(self) -> list[tuple[str, int]]:
        """The status of each invoice, oldest first, and what is paid of it, in whole cents."""
        return [(each.status, each.paid_micros // 10_000) for each in await self.invoices()]

    async def settled(self) -> list[int]:
        """What went off the debt, each time, in whole cents."""
        found = [amounts(each) for each in await self.till.ledger(self.account_id) if each.type == "charge"]
        return [each["receivable"] // 10_000 for each in found if each.get("receivable", 0) > 0]
