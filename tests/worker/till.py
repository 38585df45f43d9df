"""A till: accounts with payment methods on one store, the embedded provider, and workers that ask it; no sandbox."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from billing_mcp.app import App, worker_on
from billing_mcp.catalog.loader import load_catalog
from billing_mcp.domain.clock import Clock, iso
from billing_mcp.domain.events import Event
from billing_mcp.domain.ids import new_id
from billing_mcp.domain.ledger import LedgerTransaction, Wallet
from billing_mcp.domain.payments import Facts, Method, PaymentMethod
from billing_mcp.domain.topups import TopUp
from billing_mcp.kernel.answer import Answer
from billing_mcp.kernel.limits import JailMode
from billing_mcp.operations.payment_methods import ATTACH
from billing_mcp.operations.platform import open_account, receive_payment
from billing_mcp.operations.topup_start import begin_topup
from billing_mcp.payments.embedded import EmbeddedProvider
from billing_mcp.payments.embedded_life import payment_to_json
from billing_mcp.payments.embedded_webhooks import Delivery, signed
from billing_mcp.payments.port import Payment
from billing_mcp.sandbox.pool import Sandbox
from billing_mcp.settings import Settings
from billing_mcp.store.audit import verify_books
from billing_mcp.store.provider_books import PendingWebhook
from billing_mcp.store.store import Store
from billing_mcp.worker.charging import Charging
from billing_mcp.worker.worker import Worker
from tests.world import MANAGER, leaving_events

CENT = 10_000
EUR = 1_000_000
VISA = "tok_visa"
_SETTINGS = Settings(database="unused", worker_jobs=1, jail=JailMode.OFF)
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Webhook:
    """What the provider tells, to be signed whenever it arrives."""

    account_id: str
    body: bytes


class Quiet(EmbeddedProvider):
    """The provider, whose webhooks are late while it is `silent`; and how often it was asked to charge each payment."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.silent = False
        self.asked: Counter[str] = Counter()

    async def due_webhooks(self, now: datetime, limit: int) -> list[Delivery]:
        return [] if self.silent else await super().due_webhooks(now, limit)

    async def confirm_payment(self, payment_id: str, *, key: str) -> Payment:
        self.asked[payment_id] += 1
        return await super().confirm_payment(payment_id, key=key)


class Till:
    """One store with its provider, at a clock of the test's."""

    def __init__(self, store: Store, clock: Clock, provider: Quiet) -> None:
        self.store = store
        self.clock = clock
        self.provider = provider
        sandbox = Sandbox(_SETTINGS.sandbox_limits(), _SETTINGS.jail)  # never started: single calls need none
        self.app = App(_SETTINGS, load_catalog(None), store, sandbox, clock, provider)

    @classmethod
    async def open(cls, store: Store, clock: Clock) -> Till:
        """A till on an open store."""
        async with store.read(clock(), single=True) as tx:
            return cls(store, clock, Quiet(store, clock, await tx.provider_books.secret()))

    @property
    def charging(self) -> Charging:
        return self.app.charging

    def worker(self) -> Worker:
        """One that does a job at a time, and leaves the events that accounts hear of where a test can read them."""
        return leaving_events(worker_on(self.store, _SETTINGS, self.clock, self.charging))

    async def account(self, token: str = VISA, *, funds: int = 0) -> str:
        """A new account whose default method was added by a token, and has been taken up by the provider."""
        return await self.open_account(f"0190c0de-0000-7000-9000-{next(_numbers):012d}", token, funds=funds)

    async def open_account(self, account_id: str, token: str, *, funds: int = 0) -> str:
        """The same, with an id of the test's."""
        now = self.clock()
        async with self.store.write(now) as tx:
            await open_account(tx, account_id, "Till", "EUR")
            if funds:
                await receive_payment(tx, account_id, funds, provider="bank")
        await self.method(account_id, token)
        return account_id

    async def method(self, account_id: str, token: str) -> str:
        """Another method, added by a token, which becomes the default one."""
        now = self.clock()
        method_id = new_id(now)
        method = PaymentMethod(account_id, method_id, "", Method("pending", "card"), True, now, now, token)
        async with self.store.write(now) as tx:
            await tx.payments.add_method(method)
            await tx.outbox.add(Event(account_id, ATTACH, {"payment_method_id": method_id}, "attach-" + method_id))
        async with self.store.write(now) as tx:
            until = now + timedelta(minutes=1)
            work = await tx.outbox.take_one(account_id, "attach-" + method_id, lease="till", until=until)
        assert work is not None
        await self.charging.attach(work)
        async with self.store.write(now) as tx:
            assert await tx.outbox.finish(work)
        return method_id

    async def topup(self, account_id: str, net_micros: int = 10 * EUR, method_id: str | None = None) -> str:
        """A top-up that waits for a worker; its id."""
        async with self.store.write(self.clock()) as tx:
            methods = await tx.payments.methods(account_id)
            method = next(each for each in methods if method_id in (None, each.payment_method_id) and each.is_default)
            return (await begin_topup(tx, self.app.catalog, method, net_micros, "manual")).topup_id

    async def call(self, function: str, account_id: str, **arguments: Any) -> Answer:
        """An agent calls a billing function."""
        return await self.app.call(MANAGER, f"billing.{function}", {"account_id": account_id, **arguments})

    async def must(self, function: str, account_id: str, **arguments: Any) -> Any:
        """An agent calls a billing function, which works; its result."""
        answer = await self.call(function, account_id, **arguments)
        assert answer.error is None, answer.error
        return answer.result

    async def hear(self, webhooks: Iterable[Webhook]) -> None:
        """Webhooks arrive one after the other, each signed at this moment."""
        for each in webhooks:
            pending = PendingWebhook(each.account_id, "delivery", self.clock(), each.body.decode())
            sent = signed(pending, self.provider._secret, self.clock())
            await self.charging.hear(self.provider.hear(sent.body, sent.headers))

    async def told(self, account_id: str) -> list[Webhook]:
        """What the provider has to tell of an account by now; it will not tell it by itself any more."""
        every = await EmbeddedProvider.due_webhooks(self.provider, self.clock(), 10_000)
        due = [each for each in every if each.account_id == account_id]
        for each in due:
            await self.provider.delivered(each)
        return [Webhook(each.account_id, each.body) for each in due]

    async def known(self, account_id: str, topup_id: str) -> TopUp:
        async with self.store.read(self.clock()) as tx:
            return await tx.payments.topup(account_id, topup_id)

    async def topups(self, account_id: str) -> list[TopUp]:
        """All of them, oldest first."""
        async with self.store.read(self.clock()) as tx:
            return list(reversed(await tx.payments.topups(account_id)))

    async def wallet(self, account_id: str) -> Wallet:
        async with self.store.read(self.clock()) as tx:
            return await tx.ledger.wallet(account_id)

    async def status(self, account_id: str) -> str:
        async with self.store.read(self.clock()) as tx:
            return (await tx.accounts.get(account_id)).status

    async def ledger(self, account_id: str) -> list[LedgerTransaction]:
        async with self.store.read(self.clock()) as tx:
            return [each async for each in tx.ledger.history(account_id)]

    async def events(self, account_id: str, name: str = "") -> list[Event]:
        """What the outbox holds of an account, or of it what is called so."""
        async with self.store.read(self.clock()) as tx:
            return [each for each in await tx.outbox.of(account_id) if name in ("", each.event)]

    async def payments(self) -> list[Payment]:
        """All that the provider has in its books."""
        ever = (datetime(2020, 1, 1, tzinfo=self.clock().tzinfo), self.clock() + timedelta(days=1))
        return [each async for each in self.provider.payments(*ever)]

    async def assert_sound(self) -> None:
        """The audit finds nothing."""
        async with self.store.read(self.clock()) as tx:
            assert (await verify_books(tx)).findings == ()

    async def assert_charged_and_credited_once(self, account_id: str) -> None:
        """Each top-up has one payment that has received its gross amount once, and one credit of its net amount."""
        payments = [each for each in await self.payments() if each.account_id == account_id]
        topups = await self.topups(account_id)
        assert Counter(each.topup_id for each in payments) == {each.topup_id: 1 for each in topups}
        assert {each.status for each in topups} == {"succeeded"}
        received = {each.topup_id: each.facts.received_micros for each in payments}
        assert received == {each.topup_id: each.gross_micros for each in topups}
        credited = sorted(amounts(each)["available"] for each in await self.ledger(account_id) if by(each) == "test")
        assert credited == sorted(each.net_micros for each in topups)


def amounts(transaction: LedgerTransaction) -> dict[str, int]:
    """What a transaction moves, by ledger account."""
    return {entry.ledger_account: entry.amount_micros for entry in transaction.entries}


def by(transaction: LedgerTransaction) -> str | None:
    """The provider by whom its money came."""
    names = (name.partition(":") for name in amounts(transaction))
    return next((provider for kind, _, provider in names if kind == "cash"), None)


def sums(transactions: Iterable[LedgerTransaction]) -> dict[tuple[str, str], int]:
    """What was posted in all, by type of transaction and ledger account."""
    found: Counter[tuple[str, str]] = Counter()
    for each in transactions:
        for name, micros in amounts(each).items():
            found[each.type, name] += micros
    return dict(found)


def webhook(topup: TopUp, payment_id: str, type_: str, facts: Facts) -> Webhook:
    """What the embedded provider says of a payment, as it was at a moment."""
    payment = Payment(
        payment_id, topup.account_id, topup.topup_id, topup.gross_micros, topup.currency, topup.created_at, facts
    )
    event = {"event_id": f"evt_{type_}", "type": type_, "account_id": topup.account_id}
    body = {**event, "created_at": iso(topup.created_at), "payment": payment_to_json(payment)}
    return Webhook(topup.account_id, json.dumps(body, sort_keys=True).encode())
