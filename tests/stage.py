"""A stage: one store with its provider, a clock that the play sets, the platform's hands and a manager's; no sandbox.

All that it does has ids that derive from moments and accounts, so the same play has the same books in any database.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

from billing_mcp.app import App, worker_on
from billing_mcp.catalog.loader import load_catalog
from billing_mcp.domain.clock import start_of
from billing_mcp.domain.credits import DEFAULT_PRIORITY
from billing_mcp.domain.errors import BillingError
from billing_mcp.domain.ids import derived_id
from billing_mcp.domain.instructions import Instruction
from billing_mcp.domain.invoices import Invoice
from billing_mcp.domain.messages import Message
from billing_mcp.domain.money import parse_micros
from billing_mcp.kernel.answer import Answer
from billing_mcp.kernel.limits import JailMode
from billing_mcp.operations.credit_notes import issue_credit_note
from billing_mcp.operations.credits import grant_credit
from billing_mcp.operations.drafts import Draft
from billing_mcp.operations.platform import ComponentType, count_components, open_account, receive_payment
from billing_mcp.operations.platform_messages import PlatformMessages
from billing_mcp.operations.taxing import set_customer
from billing_mcp.payments.embedded import EmbeddedProvider
from billing_mcp.payments.tokens import TOKENS
from billing_mcp.sandbox.pool import Sandbox
from billing_mcp.settings import Settings
from billing_mcp.store.audit import verify_books
from billing_mcp.store.store import Store
from billing_mcp.store.test_clock import ClockMark
from billing_mcp.worker.advancing import Advance
from billing_mcp.worker.worker import Worker
from tests.world import MANAGER

# One job at a time, so the same jobs are done in the same order; and what follows a commit is waited for.
_SETTINGS = Settings(database="unused", worker_jobs=1, jail=JailMode.OFF, followups_s=60)
DAY = timedelta(days=1)


class NotDone(Exception):
    """What a manager asked for was refused, with a code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class StageClock:
    """A clock that the play sets, back, too: what a process that is late commits has an earlier moment."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class Stage:
    """One store, and all hands that act on it."""

    def __init__(self, store: Store, clock: StageClock, secret: str) -> None:
        self.store = store
        self.clock = clock
        sandbox = Sandbox(_SETTINGS.sandbox_limits(), _SETTINGS.jail)  # never started: single calls need none
        catalog = load_catalog(None)
        self.app = App(_SETTINGS, catalog, store, sandbox, clock, EmbeddedProvider(store, clock, secret))
        numbers = count(1)
        self.messages = PlatformMessages(
            store, clock, catalog.book, ids=lambda now: derived_id(now, "message", next(numbers))
        )

    @classmethod
    async def open(cls, store: Store, now: datetime) -> Stage:
        """A stage on an open store, at a moment."""
        async with store.read(now, single=True) as tx:
            return cls(store, StageClock(now), await tx.provider_books.secret())

    def worker(self) -> Worker:
        """One that does a job at a time, and leaves the events that accounts hear of where a test can read them."""
        return worker_on(self.store, _SETTINGS, self.clock, self.app.charging, telling=False)

    async def until(self, moment: datetime) -> None:
        """Time passes, and what falls due on the way is done at its moment."""
        await Advance(self.store, self.clock, self._go, self.worker(), patience_s=0).to(moment)

    async def day_by_day(self, until: datetime) -> None:
        """Time passes: a worker runs now, at every midnight on the way, and at the end of it."""
        worker = self.worker()
        await worker.run_once()
        while self.clock.now < until:
            await self._go(min(start_of(self.clock.now.date() + DAY), until))
            await worker.run_once()

    async def _go(self, moment: datetime) -> None:
        """The clock is stored, too: another process may go on from there."""
        async with self.store.write(self.clock()) as tx:
            await tx.test_clock.set(ClockMark(moment))
        self.clock.now = moment

    async def look_at_the_clock(self) -> None:
        """Another process may have set it."""
        async with self.store.read(self.clock(), single=True) as tx:
            mark = await tx.test_clock.find()
        if mark is not None and mark.stands_at is not None:
            self.clock.now = mark.stands_at

    async def account(
        self, account_id: str, name: str, *, country: str | None = None, vat_id: str | None = None, exempt: bool = False
    ) -> None:
        """A new account, and who it is for VAT."""
        async with self.store.write(self.clock()) as tx:
            await open_account(tx, account_id, name, "EUR")
            if country or vat_id or exempt:
                await set_customer(tx, account_id, country=country, vat_id=vat_id, exempt=exempt)

    async def call(self, function: str, account_id: str, **arguments: Any) -> Answer:
        """A manager calls a billing function."""
        return await self.app.call(MANAGER, f"billing.{function}", {"account_id": account_id, **arguments})

    async def must(self, function: str, account_id: str, **arguments: Any) -> Any:
        """The same, and it works; its result. Raises NotDone otherwise."""
        answer = await self.call(function, account_id, **arguments)
        if answer.error is not None:
            raise NotDone(answer.error.code, answer.error.message)
        return answer.result

    async def method(self, account_id: str, token: str) -> str:
        """The payment method of a token, which is added at its first use."""
        for each in (await self.must("payment_methods.list", account_id))["items"]:
            if each["last4"] == TOKENS[token].last4:
                return str(each["payment_method_id"])
        return str((await self.must("payment_methods.add", account_id, token=token))["payment_method_id"])

    async def top_up(self, account_id: str, amount: str, token: str) -> None:
        """Charge the method of a token."""
        method_id = await self.method(account_id, token)
        await self.must("topups.create", account_id, amount=amount, payment_method_id=method_id)

    async def receive(self, account_id: str, amount: str) -> None:
        """A bank transfer arrives."""
        async with self.store.write(self.clock()) as tx:
            await receive_payment(tx, account_id, parse_micros(amount), provider="bank")

    async def count(self, account_id: str, component: ComponentType, quantity: int, on: date | None = None) -> None:
        """From a day on, by default today, there are so many."""
        async with self.store.write(self.clock()) as tx:
            await count_components(tx, account_id, component, quantity, on or self.clock().date())

    async def send(self, account_id: str, drafts: Sequence[Draft]) -> list[Message | BillingError]:
        """Messages are accepted, each for itself, or refused."""
        hashes = await self.messages.hashes()
        return await self._carried_out([self.messages.sending(account_id, each, hashes) for each in drafts])

    async def report(self, messages: Sequence[Message], status: Any, **told: Any) -> list[Message | BillingError]:
        """A receipt arrives for each."""
        named = [await self.messages.reporting(each.account_id, each.message_id, status, **told) for each in messages]
        return await self._carried_out(named)

    async def _carried_out(self, instructions: Sequence[Instruction]) -> list[Message | BillingError]:
        told: list[Message | BillingError] = []
        for outcome in await self.messages.carry_out(instructions):
            if isinstance(outcome, BillingError):
                told.append(outcome)
            elif outcome.message is not None:
                told.append(outcome.message)
        return told

    async def credit(
        self, account_id: str, amount: str, *, reason: str, expires: date | None, priority: int = DEFAULT_PRIORITY
    ) -> None:
        """Give money of the seller's own, until the first moment of a day."""
        until = None if expires is None else start_of(expires)
        async with self.store.write(self.clock()) as tx:
            await grant_credit(tx, account_id, parse_micros(amount), reason=reason, priority=priority, expires_at=until)

    async def correct(self, account_id: str, invoice: str, amounts: dict[int, int] | None, *, reason: str) -> Invoice:
        """Issue a credit note."""
        async with self.store.write(self.clock()) as tx:
            return await issue_credit_note(tx, self.app.catalog, account_id, invoice, amounts, reason=reason)

    async def assert_sound(self) -> None:
        """The audit finds nothing."""
        async with self.store.read(self.clock()) as tx:
            assert (await verify_books(tx)).findings == ()


def moment(text: str) -> datetime:
    """`2026-03-01`, or `2026-03-01 09:30`, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
