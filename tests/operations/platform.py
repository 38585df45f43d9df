"""What the platform does to messages: sends them, tells what became of them, and grants tiers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from billing_mcp.domain.instructions import Receipt
from billing_mcp.domain.messages import Message
from billing_mcp.domain.pricing import Channel
from billing_mcp.domain.tiers import ChannelState, month_of
from billing_mcp.operations.drafts import Draft
from tests.world import MANAGER, World

PHONE = "+4915112345678"
AGENT = "northwind-agent"


async def talked_with(world: World) -> Platform:
    """An account whose message became a conversation, and with another one that is covered by it."""
    platform = await Platform.of(world)
    message = await platform.chat()
    platform.later(minutes=1)
    await platform.delivered(message)
    platform.later(hours=2)
    await platform.hear()
    platform.later(hours=1)
    await platform.delivered(await platform.chat())
    return platform


class Platform:
    """The platform's hands on one account's messages, and an agent's questions about it."""

    def __init__(self, world: World, account_id: str) -> None:
        self.world = world
        self.account_id = account_id
        self._messages = world.app.messages

    @classmethod
    async def of(cls, world: World, **options: Any) -> Platform:
        """On a new account, with money unless it is said otherwise."""
        return cls(world, await world.account(**{"funds": "1000.00", **options}))

    async def ask(self, function: str, **arguments: Any) -> Any:
        """What a function answers of the account."""
        return await self.world.app.read(MANAGER, f"billing.{function}", {"account_id": self.account_id, **arguments})

    async def send(self, draft: Draft) -> Message:
        """A message is accepted."""
        receipt = await self._messages.send(self.account_id, draft)
        assert receipt.message is not None
        return receipt.message

    async def sms(self, segments: int = 1, *, market: str = "DE", to: str = PHONE) -> Message:
        """A text message is accepted."""
        return await self.send(Draft("sms", to=[to], market=market, segments=segments))

    async def emails(self, count: int) -> Message:
        """An email to so many is accepted."""
        return await self.send(Draft("email", to=[f"u{number}@example.com" for number in range(count)]))

    async def chat(self, *, to: str = PHONE, text: str = "Hello") -> Message:
        """A conversational agent writes to a user."""
        draft = Draft("rcs", to=[to], market="DE", text=text, sender=AGENT, conversational=True)
        return await self.send(draft)

    async def report(self, message: Message, status: Any = "delivered", **options: Any) -> Receipt:
        """A receipt comes in."""
        reported = await self._messages.reporting(self.account_id, message.message_id, status, **options)
        return await self._messages.submit(reported)

    async def delivered(self, message: Message, **options: Any) -> Message:
        """It is delivered; the message after that."""
        receipt = await self.report(message, **options)
        assert receipt.message is not None
        return receipt.message

    async def hear(self, *, user: str = PHONE, event_id: str = "e1") -> None:
        """A user writes to the agent."""
        heard = await self._messages.hearing(self.account_id, sender=AGENT, user=user, event_id=event_id, kind="text")
        await self._messages.submit(heard)

    async def grant(self, channel: Channel, **places: int | None) -> None:
        """A commitment or an override is agreed."""
        now = self.world.clock()
        async with self.world.app.store.write(now) as tx:
            before = (await tx.messages.states(self.account_id)).get(channel)
            state = before or ChannelState(self.account_id, channel, month_of(now.date()))
            await tx.messages.set_state(replace(state, **places), before=before)  # type: ignore[arg-type]

    async def charges(self) -> list[dict[str, Any]]:
        """All that moved the account's money, oldest first."""
        page = await self.ask("ledger.list", limit=100)
        return list(reversed(page["items"]))

    async def explained(self) -> list[dict[str, Any]]:
        """The explanations of all of the account's transactions, oldest first."""
        ids = [charge["transaction_id"] for charge in await self.charges()]
        return [await self.ask("charges.explain", transaction_id=each) for each in ids]

    async def explained_as(self, kind: str) -> list[dict[str, Any]]:
        """Those of one kind."""
        return [each for each in await self.explained() if each["kind"] == kind]

    def later(self, **time: float) -> None:
        """Time passes."""
        self.world.clock.now += timedelta(**time)
