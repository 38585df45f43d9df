"""Customers for the tests of money in, and all that is told of them."""

from __future__ import annotations

import pytest

from billing_mcp.domain.events import Event
from billing_mcp.store.outbox import Outbox
from billing_mcp.store.store import Store
from tests.conftest import Clock
from tests.operations.crediting import Desk
from tests.operations.paying import Customer
from tests.worker.till import EUR
from tests.world import World


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """Every event that is written into an outbox, in order, whoever has done it since."""
    found: list[Event] = []
    add = Outbox.add

    async def add_and_tell(self: Outbox, event: Event) -> None:
        await add(self, event)
        found.append(event)

    monkeypatch.setattr(Outbox, "add", add_and_tell)
    return found


@pytest.fixture
async def customer(world: World, told: list[Event]) -> Customer:
    """A customer whose account is empty, and who has no way to pay yet."""
    return Customer(world, await world.account(), told)


@pytest.fixture
async def payer(customer: Customer) -> Customer:
    """A customer with a card that is good."""
    await customer.add("tok_visa")
    return customer


@pytest.fixture
async def desk(store: Store, clock: Clock) -> Desk:
    """An account with 10.00 of its own, which is given credits."""
    opened = await Desk.open(store, clock)
    assert isinstance(opened, Desk)
    opened.account_id = await opened.account(funds=10 * EUR)
    return opened
