"""64 writers that are to be killed: `python -m tests.faults.writers DATABASE LOG RUN`, and a line on stdin to begin.

Each writer goes through rounds that are known beforehand: a hold is placed and then ended in one of four
ways, each step under a key of its own. Some post top-ups in transactions of their own instead. What was
acknowledged is told to the log afterwards, each step in one write.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, replace
from typing import Literal

from billing_mcp.domain.instructions import Receipt
from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.store.store import Store
from tests.faults.ground import EUR, account, holds_on, pay

HOLDERS = 56
PAYERS = 8
ACCOUNTS = 5

Step = Literal["place", "end"]


@dataclass(frozen=True, slots=True)
class Round:
    """What one writer does in one round."""

    run: str
    writer: int
    number: int

    @property
    def name(self) -> str:
        """Its reference, in which no two rounds are the same."""
        return f"{self.run}-{self.writer}-{self.number}"

    @property
    def account_id(self) -> str:
        return account((self.writer + self.number) % ACCOUNTS)

    @property
    def amount(self) -> int:
        return (2 + self.number % 7) * EUR

    @property
    def after(self) -> tuple[int, int, str]:
        """What of its hold is captured and released in the end, and its status."""
        whole, half = self.amount, self.amount // 2
        ways = ((whole, 0, "captured"), (half, whole - half, "captured"), (0, whole, "released"), (half, 0, "open"))
        return ways[(self.writer + self.number) % 4]

    async def place(self, holds: PlatformHolds) -> Receipt:
        """The first step."""
        key = f"{self.name}-place"
        return await holds.place(self.account_id, self.amount, reference=self.name, idempotency_key=key)

    async def end(self, holds: PlatformHolds, hold_id: str) -> Receipt:
        """The second step."""
        key = f"{self.name}-end"
        captured, released, status = self.after
        if status == "released":
            return await holds.release(self.account_id, hold_id, idempotency_key=key)
        final = released > 0
        amount = captured if captured < self.amount else None
        return await holds.capture(self.account_id, hold_id, amount, final=final, idempotency_key=key)


def told(receipt: Receipt) -> str:
    """A receipt as the log keeps it."""
    return repr(replace(receipt, replayed=False))


async def _hold(holds: PlatformHolds, log: int, run: str, writer: int) -> None:
    number = 0
    while True:
        each = Round(run, writer, number)
        placed = await each.place(holds)
        _acknowledged(log, writer, number, "place", told(placed))
        assert placed.hold is not None
        ended = await each.end(holds, placed.hold.hold_id)
        _acknowledged(log, writer, number, "end", told(ended))
        number += 1


async def _pay(store: Store, log: int, run: str, writer: int) -> None:
    number = 0
    while True:
        each = Round(run, writer, number)
        transaction_id = await pay(store, each.account_id, each.name)
        _acknowledged(log, writer, number, "pay", transaction_id)
        number += 1


def _acknowledged(log: int, writer: int, number: int, step: str, what: str) -> None:
    os.write(log, f"{writer}\t{number}\t{step}\t{what}\n".encode())


async def _write(database: str, log: int, run: str) -> None:
    store = await Store.open(database)
    holds = holds_on(store)
    async with asyncio.TaskGroup() as tasks:
        for writer in range(HOLDERS):
            tasks.create_task(_hold(holds, log, run, writer))
        for writer in range(HOLDERS, HOLDERS + PAYERS):
            tasks.create_task(_pay(store, log, run, writer))


def main() -> None:
    """Wait for the word, and write until the end."""
    database, log, run = sys.argv[1:]
    descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    if sys.stdin.readline():
        asyncio.run(_write(database, descriptor, run))


if __name__ == "__main__":
    main()
