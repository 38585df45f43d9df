"""What tests do to the world: the platform's acts, and an agent's scripts."""

from __future__ import annotations

from datetime import date, datetime
from itertools import count
from typing import Any, Protocol

from billing_mcp.app import LOCAL_PRINCIPAL, App
from billing_mcp.catalog.loader import load_catalog
from billing_mcp.domain.clock import Clock
from billing_mcp.domain.money import parse_micros
from billing_mcp.kernel.answer import Answer
from billing_mcp.kernel.principal import Permission, Principal
from billing_mcp.operations.closing import close_ended
from billing_mcp.operations.platform import ComponentType, count_components, open_account, receive_payment
from billing_mcp.payments.embedded import EmbeddedProvider
from billing_mcp.store.audit import AuditReport, verify_books
from billing_mcp.store.store import Store
from billing_mcp.worker.charging import Charging
from billing_mcp.worker.webhooks import FAN_OUT
from billing_mcp.worker.worker import Worker

MANAGER = Principal(LOCAL_PRINCIPAL, frozenset(Permission))
_numbers = count(1)


class SettableClock(Protocol):
    """A clock that a test sets."""

    now: datetime

    def __call__(self) -> datetime: ...


class World:
    """One database with its accounts, and a clock to move."""

    def __init__(self, app: App, clock: SettableClock) -> None:
        self.app = app
        self.clock = clock

    async def account(self, *, funds: str = "0.00", plan: str | None = None, **counts: int) -> str:
        """A new account with money, counts such as `mailbox=10`, and a plan from today on."""
        account_id = f"0190c0de-0000-7000-8000-{next(_numbers):012d}"
        async with self.app.store.write(self.clock()) as tx:
            await open_account(tx, account_id, f"Account {account_id[-3:]}", "EUR")
        if parse_micros(funds):
            await self.pay(account_id, funds)
        for component, quantity in counts.items():
            await self.count(account_id, component, quantity)  # type: ignore[arg-type]
        if plan is not None:
            await self.must(f"billing.plan.change(account_id={account_id!r}, plan_id={plan!r})")
        return account_id

    async def pay(self, account_id: str, amount: str) -> None:
        """Money arrives."""
        async with self.app.store.write(self.clock()) as tx:
            await receive_payment(tx, account_id, parse_micros(amount), provider="test")

    async def count(self, account_id: str, component: ComponentType, quantity: int, on: date | None = None) -> None:
        """From a day on, by default today, there are so many."""
        async with self.app.store.write(self.clock()) as tx:
            await count_components(tx, account_id, component, quantity, on or self.clock().date())

    async def close_period(self, account_id: str) -> None:
        """The billing period that ended last is closed."""
        async with self.app.store.write(self.clock()) as tx:
            await close_ended(tx, self.app.catalog, account_id)

    async def run(self, script: str, principal: Principal = MANAGER, **options: Any) -> Answer:
        """An agent runs a script."""
        return await self.app.run_script(principal, script, **options)

    async def must(self, script: str, principal: Principal = MANAGER, **options: Any) -> Any:
        """An agent runs a script that works; its result."""
        answer = await self.run(script, principal, **options)
        assert answer.error is None, answer.error
        return answer.result

    async def balance(self, account_id: str) -> str:
        """The balance that an agent sees."""
        result = await self.must(f"billing.wallet_balance.get(account_id={account_id!r})['balance']")
        return str(result)

    async def audit(self) -> AuditReport:
        """The books, verified."""
        async with self.app.store.read(self.clock()) as tx:
            return await verify_books(tx)

    async def snapshot(self, account_id: str) -> dict[str, Any]:
        """Everything stored of an account that an execution could change."""
        async with self.app.store.read(self.clock()) as tx:
            return {
                "account": await tx.accounts.get(account_id),
                "wallet": await tx.ledger.wallet(account_id),
                "ledger": [transaction async for transaction in tx.ledger.history(account_id)],
                "subscription": await tx.subscriptions.find(account_id),
                "counts": await tx.subscriptions.counts(account_id),
                "invoices": await tx.invoices.page(account_id, page=1, page_size=100),
                "events": await tx.outbox.of(account_id),
            }


def charging_on(store: Store, clock: Clock) -> Charging:
    """What asks the embedded provider, on a store alone."""
    return Charging(store, load_catalog(None), clock, EmbeddedProvider(store, clock, "whsec"))


def leaving_events(worker: Worker) -> Worker:
    """A worker that leaves what accounts are told of in the outbox, where a test can read it."""
    worker._lanes = [lane for lane in worker._lanes if lane.name != FAN_OUT]
    return worker
