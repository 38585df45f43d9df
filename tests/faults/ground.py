"""What the tests of faults share: accounts with money, waiting with a deadline, and sound books."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Protocol

from billing_mcp.domain.clock import system_clock
from billing_mcp.domain.errors import BillingError
from billing_mcp.domain.instructions import Receipt
from billing_mcp.domain.ledger import AVAILABLE, Entry, Posting, cash
from billing_mcp.operations.platform import open_account, receive_payment
from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.store.audit import verify_books
from billing_mcp.store.store import Store
from tests.store.books import raw_connection

EUR = 1_000_000
FUNDS = 1_000_000 * EUR
BOUND_S = 30
"""Far above every time limit that a test sets: who waits longer waits for ever."""


class OpenStore(Protocol):
    """Opens a store for a test."""

    async def __call__(self, database: str, *, capacity: int = ...) -> Store: ...


def account(number: int) -> str:
    """The id of an account of these tests."""
    return f"0190fa17-0000-7000-8000-{number:012d}"


async def open_accounts(store: Store, count: int) -> list[str]:
    """So many accounts, each with more money than a test spends."""
    now = system_clock()
    async with store.write(now) as tx:
        for number in range(count):
            await open_account(tx, account(number), f"Account {number}", "EUR")
            await receive_payment(tx, account(number), FUNDS, provider="test")
    return [account(number) for number in range(count)]


def topup(account_id: str, description: str) -> Posting:
    """One unit of money that arrives."""
    entries = (Entry(AVAILABLE, EUR, "EUR"), Entry(cash("test"), -EUR, "EUR"))
    return Posting(account_id, "topup", description, entries, system_clock())


async def pay(store: Store, account_id: str, description: str) -> str:
    """Post a top-up as an execution does, in a transaction of its own; the id of what was posted."""
    async with store.write(system_clock()) as tx, tx.savepoint():
        (transaction,) = await tx.ledger.post([topup(account_id, description)])
    return transaction.transaction_id


def holds_on(store: Store) -> PlatformHolds:
    """The platform's holds on a store, by the system's clock."""
    return PlatformHolds(store, system_clock)


async def until(seen: Callable[[], bool], what: str, *, within_s: float = BOUND_S) -> None:
    """Wait for a condition, which must come."""
    deadline = time.monotonic() + within_s
    while not seen():
        assert time.monotonic() < deadline, f"{what} did not come within {within_s} s"
        await asyncio.sleep(0.002)


async def outcomes(work: Iterable[Awaitable[Any]], *, within_s: float = BOUND_S) -> list[Any]:
    """What each comes to: its value, or the code of its error. All come in bounded time, or it fails."""

    async def outcome(each: Awaitable[Any]) -> Any:
        try:
            return await each
        except BillingError as error:
            return error.code

    async with asyncio.timeout(within_s):
        return await asyncio.gather(*(outcome(each) for each in work))


async def assert_sound(store: Store, database: str) -> None:
    """The audit finds nothing, and all that was ever posted sums to zero."""
    async with store.read(system_clock()) as tx:
        report = await verify_books(tx)
    assert report.findings == ()
    assert report.transactions
    async with raw_connection(database) as run:
        assert await run("SELECT currency FROM ledger_entries GROUP BY currency HAVING SUM(amount_micros) <> 0") == []
        if "://" not in database:
            assert await run("PRAGMA integrity_check") == [("ok",)]


async def placed(database: str, prefix: str) -> dict[str, int]:
    """How often each reference that begins so was placed."""
    async with raw_connection(database) as run:
        found = "SELECT reference, COUNT(*) FROM holds WHERE reference LIKE $1 GROUP BY reference"
        return dict(await run(found, f"{prefix}%"))


async def descriptions(database: str) -> dict[str, int]:
    """How often each description stands in the ledger."""
    async with raw_connection(database) as run:
        return dict(await run("SELECT description, COUNT(*) FROM ledger_transactions GROUP BY description"))


class Crowd:
    """Tasks that place holds and post top-ups without a pause, and remember what they were told."""

    def __init__(self, store: Store, account_ids: list[str], *, name: str = "crowd") -> None:
        self._store = store
        self._accounts = account_ids
        self._name = name
        self._holds = holds_on(store)
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._sent: dict[str, str] = {}
        self.placed: dict[str, Receipt] = {}
        self.paid: set[str] = set()
        self.codes: list[str] = []

    @property
    def done(self) -> int:
        """How much has succeeded."""
        return len(self.placed) + len(self.paid)

    def start(self, *, holders: int = 12, payers: int = 4) -> None:
        """Let them begin."""
        self._tasks += [asyncio.create_task(self._place(number)) for number in range(holders)]
        self._tasks += [asyncio.create_task(self._pay(number)) for number in range(payers)]

    async def stop(self, *, within_s: float = BOUND_S) -> None:
        """Let each end what it is about, in bounded time."""
        self._stopping = True
        async with asyncio.timeout(within_s):
            await asyncio.gather(*self._tasks)

    async def more(self, count: int) -> None:
        """Wait until so much more has succeeded."""
        goal = self.done + count
        await until(lambda: self.done >= goal or any(task.done() for task in self._tasks), f"{count} more")
        assert self.done >= goal, [task for task in self._tasks if task.done()]

    async def errors(self, count: int) -> None:
        """Wait until so many errors were told."""
        await until(lambda: len(self.codes) >= count, f"{count} errors")

    async def assert_all_happen_once(self, database: str) -> None:
        """Each hold that was ever sent is sent again under its key, and stands once; payments are not lost."""

        async def again(reference: str, account_id: str) -> None:
            receipt = await self._send(account_id, reference)
            known = self.placed.get(reference)
            assert known is None or (receipt.replayed, receipt.hold) == (True, known.hold), reference

        async with asyncio.timeout(BOUND_S):
            await asyncio.gather(*(again(*sent) for sent in self._sent.items()))
        assert await placed(database, f"{self._name}-") == dict.fromkeys(self._sent, 1)
        stand = {text: n for text, n in (await descriptions(database)).items() if text.startswith(f"{self._name}+")}
        assert stand.keys() >= self.paid
        assert set(stand.values()) <= {1}
        await assert_sound(self._store, database)

    async def _place(self, number: int) -> None:
        for turn in self._turns():
            reference = f"{self._name}-{number}-{turn}"
            account_id = self._accounts[(number + turn) % len(self._accounts)]
            self._sent[reference] = account_id
            receipt = await self._told(self._send(account_id, reference))
            if receipt is not None:
                self.placed[reference] = receipt

    async def _pay(self, number: int) -> None:
        for turn in self._turns():
            what = f"{self._name}+{number}-{turn}"
            if await self._told(pay(self._store, self._accounts[turn % len(self._accounts)], what)) is not None:
                self.paid.add(what)

    async def _send(self, account_id: str, reference: str) -> Receipt:
        return await self._holds.place(account_id, EUR, reference=reference, idempotency_key=reference)

    async def _told(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await work
        except BillingError as error:
            self.codes.append(error.code)
            await asyncio.sleep(0.05)  # a caller that is told no comes again a little later
            return None

    def _turns(self) -> Iterable[int]:
        turn = 0
        while not self._stopping:
            yield turn
            turn += 1
