"""What an answer tells of payments: what is known within its bound, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

from billing_mcp.app import App
from billing_mcp.domain.events import Event
from billing_mcp.payments.embedded import EmbeddedProvider
from billing_mcp.payments.port import Payment
from billing_mcp.settings import Settings
from billing_mcp.store.store import Store
from tests.conftest import Clock
from tests.operations.paying import Customer
from tests.world import World


class _Hanging(EmbeddedProvider):
    """A provider that takes a charge and never answers, until it is let go."""

    def __init__(self, store: Store, clock: Clock, secret: str) -> None:
        super().__init__(store, clock, secret)
        self.released = asyncio.Event()

    async def confirm_payment(self, payment_id: str, *, key: str) -> Payment:
        """Charge it, and do not say so."""
        payment = await super().confirm_payment(payment_id, key=key)
        await self.released.wait()
        return payment


@asynccontextmanager
async def hanging(database: str, clock: Clock, told: list[Event]) -> AsyncIterator[tuple[Customer, asyncio.Event]]:
    """A customer whose provider hangs, at a server that waits no time for it."""
    settings = Settings(database=database, workers=1, followups_s=0.01)
    async with App.open(settings, clock=clock) as app:
        world = World(app, clock)
        customer = Customer(world, await world.account(), told)
        await customer.must("payment_methods.add", token="tok_visa")
        await app.followups.settle(timeout_s=60)
        provider = _Hanging(app.store, clock, "a secret")
        app.charging.provider = provider
        try:
            yield customer, provider.released
        finally:
            provider.released.set()


async def test_a_provider_that_hangs_keeps_nobody_waiting_and_is_heard_later(
    database: str, clock: Clock, told: list[Event]
) -> None:
    async with hanging(database, clock, told) as (customer, released):
        answer = await customer.must("topups.create", amount="50.00")
        (followup,) = answer.followups
        between = await customer.free()
        released.set()
        await customer.world.app.followups.settle(timeout_s=60)
        ended = await customer.ask("topups.get", topup_id=answer.result["topup_id"])

        assert (answer.status, answer.changed) == ("completed", True)
        assert (followup["topup"]["status"], between) == ("pending", Decimal(0))
        assert (ended["status"], await customer.free()) == ("succeeded", Decimal("50.00"))
        assert len(await customer.charged()) == 1
