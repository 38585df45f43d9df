"""What a customer does about money in: adds ways to pay, tops up, spends, and lets time pass."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from billing_mcp.domain.events import Event
from billing_mcp.domain.money import parse_micros
from billing_mcp.domain.plans import AccountStatus
from billing_mcp.kernel.answer import Answer
from billing_mcp.payments.embedded import EmbeddedProvider
from tests.world import MANAGER, World


class Customer:
    """One account, what is asked of it, and what it was `told`: every event that was written."""

    def __init__(self, world: World, account_id: str, told: list[Event]) -> None:
        self.world = world
        self.account_id = account_id
        self._told = told

    @property
    def provider(self) -> EmbeddedProvider:
        """The provider, which tests also play the world at."""
        assert isinstance(self.world.app.provider, EmbeddedProvider)
        return self.world.app.provider

    @property
    def told(self) -> list[str]:
        """The names of what this account was told, in order."""
        return [each.event.removeprefix("billing.") for each in self.events()]

    def events(self, name: str = "") -> list[Event]:
        """What this account was told, all of it or by name."""
        mine = [each for each in self._told if each.account_id == self.account_id]
        return [each for each in mine if each.event.removeprefix("billing.") == name] if name else mine

    async def call(self, function: str, **arguments: Any) -> Answer:
        """Call a function as the account's manager; what belongs to the execution goes there."""
        of_execution = {name: arguments.pop(name) for name in ("preview", "idempotency_key") if name in arguments}
        named = {"account_id": self.account_id, **arguments}
        return await self.world.app.call(MANAGER, f"billing.{function}", named, **of_execution)

    async def must(self, function: str, **arguments: Any) -> Answer:
        """The same, and it works."""
        answer = await self.call(function, **arguments)
        assert answer.error is None, answer.error
        return answer

    async def refused(self, function: str, **arguments: Any) -> str:
        """The same, and it does not: the code, and nothing was changed."""
        answer = await self.call(function, **arguments)
        assert answer.error is not None, answer.result
        assert (answer.changed, answer.followups) == (False, [])
        return answer.error.code

    async def ask(self, function: str, **arguments: Any) -> Any:
        """What a function that reads answers."""
        named = {"account_id": self.account_id, **arguments}
        return await self.world.app.read(MANAGER, f"billing.{function}", named)

    async def add(self, token: str | None = None, **more: Any) -> dict[str, Any]:
        """Add a payment method; what is known of it a moment later. No two are added at the same one."""
        self.world.clock.now += timedelta(seconds=1)
        (followup,) = (await self.must("payment_methods.add", token=token, **more)).followups
        found: dict[str, Any] = followup["payment_method"]
        return found

    async def methods(self) -> list[dict[str, Any]]:
        """All payment methods."""
        found: list[dict[str, Any]] = (await self.ask("payment_methods.list"))["items"]
        return found

    async def top_up(self, amount: str = "50.00", **more: Any) -> dict[str, Any]:
        """Top up; what is known of it a moment later."""
        (followup,) = (await self.must("topups.create", amount=amount, **more)).followups
        found: dict[str, Any] = followup["topup"]
        return found

    async def pass_time(self, **time: float) -> None:
        """Time passes, and the worker does what is due by then."""
        self.world.clock.now += timedelta(**time)
        await self.world.app.worker().run_once()

    async def spend(self, amount: str) -> None:
        """The platform charges the wallet, and the worker sees to what that makes due."""
        receipt = await self.world.app.holds.place(self.account_id, parse_micros(amount))
        assert receipt.hold is not None
        await self.world.app.holds.capture(self.account_id, receipt.hold.hold_id)
        await self.pass_time()

    async def free(self) -> Decimal:
        """What can be spent."""
        return Decimal((await self.ask("balance.get"))["free"])

    async def charged(self) -> list[int]:
        """What the provider has received of this account, in cents."""
        now = self.world.clock()
        found = self.provider.payments(now - timedelta(days=999), now + timedelta(days=1))
        mine = [each async for each in found if each.account_id == self.account_id]
        return [each.facts.received_micros // 10_000 for each in mine if each.facts.received_micros]

    async def becomes(self, status: AccountStatus) -> None:
        """The account is given a status."""
        async with self.world.app.store.write(self.world.clock()) as tx:
            await tx.accounts.set_status(await tx.accounts.get(self.account_id), status)

    async def status_of_account(self) -> str:
        """Such as active, or past_due."""
        async with self.world.app.store.read(self.world.clock()) as tx:
            return (await tx.accounts.get(self.account_id)).status

    async def assert_sound(self) -> None:
        """The books agree with each other."""
        assert (await self.world.audit()).findings == ()


def cents(amount: str) -> int:
    """An amount in cents."""
    return int(Decimal(amount) * 100)
