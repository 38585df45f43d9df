"""Senders that are to be killed: `python -m tests.faults.senders DATABASE LOG RUN`, and a line on stdin to begin.

Each sends messages of all channels under keys of its own, and reports each time and again. What was acknowledged
is told to the log afterwards, each step in one write.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import Any, Literal

from billing_mcp.domain.clock import system_clock
from billing_mcp.domain.instructions import Receipt
from billing_mcp.operations.drafts import Draft
from billing_mcp.operations.platform_messages import PlatformMessages
from billing_mcp.store.store import Store
from tests.faults.ground import account
from tests.store.second_opinion import price_book

SENDERS = 24
ACCOUNTS = 3


@dataclass(frozen=True, slots=True)
class Errand:
    """What one sender does in one round: each message goes to one of a few people, and becomes what its number says."""

    run: str
    sender: int
    number: int

    @property
    def name(self) -> str:
        return f"{self.run}-{self.sender}-{self.number}"

    @property
    def account_id(self) -> str:
        return account((self.sender + self.number) % ACCOUNTS)

    @property
    def status(self) -> Literal["delivered", "failed"]:
        return "failed" if self.number % 4 == 3 else "delivered"

    @property
    def draft(self) -> Draft:
        phone = f"+49151123400{self.sender % 10:02}"
        common: dict[str, Any] = {"market": "DE", "reference": self.name}
        if self.number % 3 == 0:
            return Draft("sms", to=[phone], segments=1 + self.number % 3, **common)
        if self.number % 3 == 1:
            return Draft("email", to=["ada@example.com"], cc=[f"user{self.sender}@example.com"], **common)
        return Draft("rcs", to=[phone], text="Hello", sender="shop", conversational=True, **common)

    async def send(self, messages: PlatformMessages) -> Receipt:
        return await messages.send(self.account_id, self.draft, idempotency_key=self.name)

    async def report(self, messages: PlatformMessages, message_id: str) -> Receipt:
        return await messages.submit(await messages.reporting(self.account_id, message_id, self.status))

    async def answer(self, messages: PlatformMessages) -> None:
        """The user writes, too, if there is one."""
        if self.draft.channel == "rcs":
            user = self.draft.to[0]
            hearing = messages.hearing(self.account_id, sender="shop", user=user, event_id=self.name, kind="text")
            await messages.submit(await hearing)


def messages_on(store: Store) -> PlatformMessages:
    """The platform's messages on a store, by the system's clock."""
    return PlatformMessages(store, system_clock, price_book())


def acknowledged(log: int, errand: Errand, step: str, what: str) -> None:
    os.write(log, f"{errand.sender}\t{errand.number}\t{step}\t{what}\n".encode())


async def _work(messages: PlatformMessages, log: int, run: str, sender: int) -> None:
    number = 0
    while True:
        errand = Errand(run, sender, number)
        sent = (await errand.send(messages)).message
        assert sent is not None
        acknowledged(log, errand, "send", sent.message_id)
        told = await asyncio.gather(*(errand.report(messages, sent.message_id) for _ in range(2)))
        assert told[1].message is not None
        acknowledged(log, errand, "report", told[1].message.status)
        await errand.answer(messages)
        number += 1


async def _write(database: str, log: int, run: str) -> None:
    store = await Store.open(database)
    messages = messages_on(store)
    async with asyncio.TaskGroup() as tasks:
        for sender in range(SENDERS):
            tasks.create_task(_work(messages, log, run, sender))


def main() -> None:
    """Wait for the word, and write until the end."""
    database, log, run = sys.argv[1:]
    descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    if sys.stdin.readline():
        asyncio.run(_write(database, descriptor, run))


if __name__ == "__main__":
    main()
