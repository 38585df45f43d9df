"""Owns what tests of messages share: two accounts with money, at the prices of the second opinion, and a platform."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from sqlmodel import SQLModel

from billing_mcp.domain.booking import Usage
from billing_mcp.domain.instructions import Receipt
from billing_mcp.domain.messages import Message
from billing_mcp.domain.pricing import PriceBook
from billing_mcp.operations.drafts import Draft
from billing_mcp.operations.platform import open_account, receive_payment
from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.operations.platform_messages import PlatformMessages
from billing_mcp.store.audit import verify_books
from billing_mcp.store.messages import Campaign
from billing_mcp.store.store import Store
from tests.store.books import ACCOUNT, OTHER, raw_connection
from tests.store.recount import assert_counted
from tests.store.second_opinion import BEGINNING, price_book

ADA, BOB = "+4915112345601", "+4915112345602"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MOMENT = timedelta(microseconds=1)
FUNDS = 1_000_000
SEGMENT, BASIC, A2P, P2A, USER = 70_000, 40_000, 90_000, 80_000, 10_000
"""What is on an account, and what things cost."""


class Platform:
    """A platform with two accounts, its clock in its own hands."""

    def __init__(self, store: Store, book: PriceBook) -> None:
        self.store = store
        self.now = BEGINNING
        self.messages = PlatformMessages(store, lambda: self.now, book)

    @classmethod
    async def open(cls, store: Store, *, funds: int = FUNDS, book: PriceBook | None = None) -> Platform:
        """With so many micros on each account."""
        async with store.write(BEGINNING) as tx:
            for account_id in (ACCOUNT, OTHER):
                await open_account(tx, account_id, "Traffic", "EUR")
                await receive_payment(tx, account_id, funds, provider="test")
        return cls(store, book or price_book())

    async def send(self, draft: Draft, account_id: str = ACCOUNT, **key: str) -> Receipt:
        return await self.messages.send(account_id, draft, **key)

    async def sent(self, draft: Draft, account_id: str = ACCOUNT) -> Message:
        """What was accepted."""
        message = (await self.send(draft, account_id)).message
        assert message is not None
        return message

    async def report(self, message: Message, status: Any = "delivered", **told: Any) -> Receipt:
        reporting = await self.messages.reporting(message.account_id, message.message_id, status, **told)
        return await self.messages.submit(reporting)

    async def delivered(self, draft: Draft, account_id: str = ACCOUNT) -> Message:
        """Sent and delivered at once."""
        message = (await self.report(await self.sent(draft, account_id))).message
        assert message is not None
        return message

    async def hear(self, event_id: str, *, at: datetime | None = None, kind: Any = "text", user: str = ADA) -> Receipt:
        hearing = await self.messages.hearing(
            ACCOUNT, sender="shop", user=user, event_id=event_id, kind=kind, occurred_at=at
        )
        return await self.messages.submit(hearing)

    async def send_all(self, name: str, *drafts: Draft) -> list[Message]:
        """A campaign, all of it or nothing."""
        campaign = Campaign(ACCOUNT, name, name, "running", self.now, self.now)
        async with self.store.write(self.now) as tx:
            done = await self.messages.send_all(tx, ACCOUNT, campaign, drafts)
        return [each.message for each in done if each.message is not None]

    async def pause(self, name: str) -> None:
        async with self.store.write(self.now) as tx:
            await self.messages.pause(tx, ACCOUNT, name)

    async def resume(self, name: str) -> None:
        async with self.store.write(self.now) as tx:
            await self.messages.resume(tx, ACCOUNT, name)

    async def expire(self) -> int:
        return await PlatformHolds(self.store, lambda: self.now).expire_due()

    async def get(self, message: Message) -> Message:
        """As it is now."""
        async with self.store.read(self.now) as tx:
            return await tx.messages.get(message.account_id, message.message_id)

    async def money(self, account_id: str = ACCOUNT) -> tuple[int, int]:
        """What is free, and what is reserved."""
        async with self.store.read(self.now) as tx:
            wallet = await tx.ledger.wallet(account_id)
            return wallet.available_micros, wallet.reserved_micros

    async def status(self) -> str:
        async with self.store.read(self.now) as tx:
            return (await tx.accounts.get(ACCOUNT)).status

    async def active_users(self) -> dict[str, int]:
        """How many active users of RCS each day has."""
        found = await self._usage("mau")
        return {day: usage.quantity for (day, channel), usage in found.items() if channel == "rcs"}

    async def _usage(self, unit: str) -> dict[tuple[str, str], Usage]:
        async with self.store.read(self.now) as tx:
            rows = await tx.messages.usage(ACCOUNT, date(2026, 1, 1), date(2099, 1, 1))
        return {(key.day, key.channel): usage for key, usage in rows if key.unit == unit}

    async def assert_sound(self) -> None:
        """The books are, and what was added up is what the ledger and the messages say again."""
        async with self.store.read(self.now) as tx:
            assert (await verify_books(tx)).findings == ()
            for account_id in (ACCOUNT, OTHER):
                await assert_counted(tx, account_id)


def of(receipt: Receipt) -> Message:
    assert receipt.message is not None
    return receipt.message


def charged(message: Message) -> tuple[str | None, int, int]:
    return message.charged_unit, message.charged_quantity, message.charged_micros


async def everything(database: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables."""
    names = sorted(SQLModel.metadata.tables)
    async with raw_connection(database) as run:
        return {name: sorted(await run(f"SELECT * FROM {name}"), key=repr) for name in names}  # noqa: S608


def text(size: int = 5, **more: Any) -> Draft:
    """An RCS message of a conversational agent to Ada."""
    told: dict[str, Any] = {"to": [ADA], "market": "DE", "sender": "shop", "conversational": True} | more
    return Draft("rcs", text="x" * size, **told)


def sms(parts: int = 1, **more: Any) -> Draft:
    """A text message to Ada."""
    told: dict[str, Any] = {"to": [ADA], "market": "DE", "segments": parts} | more
    return Draft("sms", **told)


def email(*people: str, **more: Any) -> Draft:
    """An email."""
    return Draft("email", to=[f"{name}@example.com" for name in people], **more)
