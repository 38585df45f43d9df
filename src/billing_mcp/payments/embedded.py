"""Owns the embedded test provider: it needs no network, and behaves as a real one does, what hurts included.

Its books are tables of its own, written in its own transactions: what it took stays taken when ours roll back or
our process dies. What a method does is chosen by the token that it was added with (`tokens.py`). Time is the
clock's: what is due happens when somebody looks, and its webhooks are due from then on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from billing_mcp.domain.clock import Clock
from billing_mcp.domain.errors import NotFound, Refused, Unavailable
from billing_mcp.domain.ids import new_id
from billing_mcp.domain.payments import Facts, Method, MethodType
from billing_mcp.payments.embedded_life import (
    Life,
    Told,
    life_of_json,
    life_to_json,
    payment_of_json,
    payment_to_json,
)
from billing_mcp.payments.embedded_webhooks import Delivery, heard, signed, tell
from billing_mcp.payments.port import Heard, Payment, PaymentOrder
from billing_mcp.payments.tokens import SET_UP, SET_UP_AFTER, TOKENS, Step
from billing_mcp.store.provider_books import Entry, Kind, ProviderBooks
from billing_mcp.store.store import Store

SET_UP_URL = "https://test-provider.invalid/set-up/"
_AT_A_TIME = 200


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is answered to a request; `lost` if nobody gets it, and `kept` unless it never arrived there."""

    body: Any = None
    lost: bool = False
    kept: bool = True


class EmbeddedProvider:
    """The test provider. It is a `port.Provider`, and has a few doors more for whoever plays the world outside."""

    name = "test"

    def __init__(self, store: Store, clock: Clock, secret: str) -> None:
        self._store = store
        self._clock = clock
        self._secret = secret

    @classmethod
    async def open(cls, store: Store, clock: Clock) -> EmbeddedProvider:
        """The provider whose books are in this database, and who signs with the secret that is there."""
        async with store.read(clock(), single=True) as tx:
            return cls(store, clock, await tx.provider_books.secret())

    async def close(self) -> None:
        """There is nothing to give back: the store belongs to whoever opened it."""

    async def create_customer(self, account_id: str, *, key: str) -> str:
        """The provider's id of a new customer."""

        async def work(books: ProviderBooks, now: datetime) -> _Answer:
            customer = f"cus_{new_id(now)}"
            await books.put(Entry(account_id, customer, "customer", now, {}))
            return _Answer(customer)

        return str(await self._once(account_id, key, ["create_customer"], work))

    async def add_method(self, customer: str, *, account_id: str, token: str, key: str) -> Method:
        """Attach what a token of `tokens.py` stands for. Any other is refused with `unknown_token`."""

        async def work(books: ProviderBooks, now: datetime) -> _Answer:
            if await books.find(customer, "customer") is None:
                return _Answer(asdict(Method("failed", "card", failure_code="unknown_customer")))
            method = _method_of(token, f"pm_{new_id(now)}")
            if method.reference is not None:
                body = {"token": token, "method": asdict(method)}
                await books.put(Entry(account_id, method.reference, "method", now, body))
            return _Answer(asdict(method))

        return Method(**await self._once(account_id, key, ["add_method", customer, token], work))

    async def set_up_method(self, customer: str, *, account_id: str, type_: MethodType, key: str) -> Method:
        """Begin a set-up. It completes by itself after a minute, or at once by `complete_set_up`."""

        async def work(books: ProviderBooks, now: datetime) -> _Answer:
            setup_id = f"seti_{new_id(now)}"
            method = Method("requires_action", type_, setup_id=setup_id, setup_url=SET_UP_URL + setup_id)
            due_at = now + SET_UP_AFTER
            await books.put(Entry(account_id, setup_id, "setup", now, {"method": asdict(method)}, due_at))
            return _Answer(asdict(method))

        return Method(**await self._once(account_id, key, ["set_up_method", customer, type_], work))

    async def method_of_setup(self, setup_id: str) -> Method:
        """What became of a set-up. Raises NotFound."""
        async with self._at(setup_id, "setup") as (books, entry, now):
            if entry.due_at is not None and entry.due_at <= now:
                entry = await _set_up(books, entry, SET_UP[entry.body["method"]["type"]])
            return Method(**entry.body["method"])

    async def complete_set_up(self, setup_id: str, token: str) -> Method:
        """The customer completes a set-up, with what a token stands for. Raises NotFound."""
        async with self._at(setup_id, "setup") as (books, entry, now):
            if entry.due_at is not None:
                entry = await _set_up(books, replace(entry, due_at=now), token)
            return Method(**entry.body["method"])

    async def detach_method(self, reference: str) -> None:
        """Forget a method; one that is gone already is no error."""
        async with self._store.write(self._clock()) as tx:
            await tx.provider_books.remove(reference)

    async def create_payment(self, order: PaymentOrder, *, key: str) -> Payment:
        """Register a payment. Raises Refused with code `payment_refused` when its method is gone."""

        async def work(books: ProviderBooks, now: datetime) -> _Answer:
            method = await books.find(order.method, "method")
            if method is None or method.account_id != order.account_id:
                raise Refused(f"the provider knows no method {order.method} of this customer", code="payment_refused")
            payment = Payment(
                f"pay_{new_id(now)}",
                order.account_id,
                order.topup_id,
                order.amount_micros,
                order.currency,
                now,
                Facts("created"),
            )
            life, told = Life(payment, order.method, method.body["token"]).begun()
            await _keep(books, order.account_id, life, [told])
            return _Answer(payment_to_json(payment))

        return payment_of_json(await self._once(order.account_id, key, ["create_payment", asdict(order)], work))

    async def confirm_payment(self, payment_id: str, *, key: str) -> Payment:
        """Charge a registered payment, as its method's token says. Raises NotFound, Unavailable."""
        account_id = (await self._entry(payment_id, "payment")).account_id

        async def work(books: ProviderBooks, now: datetime) -> _Answer:
            life = await _live(books, await _found(books, payment_id, "payment"), now)
            if life.confirmed:
                return _Answer(payment_to_json(life.payment))
            token = TOKENS[life.token]
            if token.answer == "lost_with_request" and not life.requests_lost:
                await _keep(books, account_id, replace(life, requests_lost=1), [])
                return _Answer(lost=True, kept=False)
            gone = await books.find(life.method, "method") is None
            steps = [Step("failed", code="method_detached")] if gone else token.steps
            life, told = life.goes(steps, now).lived(now)
            await _keep(books, account_id, life, told)
            return _Answer(payment_to_json(life.payment), lost=token.answer == "lost")

        return payment_of_json(await self._once(account_id, key, ["confirm_payment", payment_id], work))

    async def authenticate(self, payment_id: str, *, succeeds: bool) -> Payment:
        """The customer authenticates a payment that waits for it, or fails to. Raises NotFound, Refused."""
        async with self._at(payment_id, "payment") as (books, entry, now):
            life, told = life_of_json(entry.body).lived(now)
            if life.payment.facts.status != "requires_action":
                raise Refused(f"payment {payment_id} does not wait for its customer", code="payment_refused")
            step = Step("succeeded") if succeeds else Step("failed", code="authentication_failed")
            life, news = life.goes([step], now).lived(now)
            await _keep(books, entry.account_id, life, told + news)
            return life.payment

    async def payment(self, payment_id: str) -> Payment:
        """A payment with all that has happened to it by now. Raises NotFound."""
        async with self._at(payment_id, "payment") as (books, entry, now):
            return (await _live(books, entry, now)).payment

    async def refund(self, payment_id: str, amount_micros: int, *, key: str) -> Payment:
        """Give some of a payment back. Raises NotFound, and Refused with code `not_refundable`."""
        account_id = (await self._entry(payment_id, "payment")).account_id

        async def work(books: ProviderBooks, now: datetime) -> _Answer:
            life = await _live(books, await _found(books, payment_id, "payment"), now)
            left = life.payment.facts.kept_micros
            if not 0 < amount_micros <= left:
                raise Refused(f"of payment {payment_id} no more than {left} micros are left", code="not_refundable")
            life, told = life.refunded(amount_micros, now)
            await _keep(books, account_id, life, [told])
            return _Answer(payment_to_json(life.payment))

        return payment_of_json(await self._once(account_id, key, ["refund", payment_id, amount_micros], work))

    async def payments(self, since: datetime, until: datetime) -> AsyncIterator[Payment]:
        """Every payment that was created in a half-open span, oldest first."""
        now = self._clock()
        await self._live_all(now)
        last: Entry | None = None
        while True:
            async with self._store.read(now, single=True) as tx:
                page = await tx.provider_books.payments(since, until, after=last, limit=_AT_A_TIME)
            for last in page:
                yield payment_of_json(last.body["payment"])
            if len(page) < _AT_A_TIME:
                return

    def hear(self, body: bytes, headers: Mapping[str, str]) -> Heard:
        """What a webhook says. Raises PermissionDenied with code `invalid_signature`, InvalidArgument for no event."""
        return heard(body, headers, self._secret, self._clock())

    async def due_webhooks(self, now: datetime, limit: int) -> list[Delivery]:
        """Up to `limit` webhooks that are due, signed now. Each is due until it is `delivered`."""
        await self._live_all(now)
        async with self._store.read(now, single=True) as tx:
            waiting = await tx.provider_books.due_webhooks(now, limit=limit)
        return [signed(webhook, self._secret, now) for webhook in waiting]

    async def delivered(self, delivery: Delivery) -> None:
        """It has arrived: it is due no more."""
        async with self._store.write(self._clock()) as tx:
            await tx.provider_books.remove_webhook(delivery.account_id, delivery.delivery_id)

    async def plant(self, payment: Payment) -> None:
        """Put a payment into the books as it is, whoever knows of it, and tell nobody: a difference to be found."""
        life = Life(payment, method="", token="", confirmed=True)
        async with self._store.write(self._clock()) as tx:
            await _keep(tx.provider_books, payment.account_id or "", life, [])

    async def forget(self, payment_id: str) -> None:
        """Strike a payment from the books: a difference to be found."""
        async with self._store.write(self._clock()) as tx:
            await tx.provider_books.remove(payment_id)

    async def _entry(self, object_id: str, kind: Kind) -> Entry:
        async with self._store.read(self._clock(), single=True) as tx:
            return await _found(tx.provider_books, object_id, kind)

    @asynccontextmanager
    async def _at(self, object_id: str, kind: Kind) -> AsyncIterator[tuple[ProviderBooks, Entry, datetime]]:
        """An object that nobody else changes meanwhile. Raises NotFound."""
        account_id = (await self._entry(object_id, kind)).account_id
        now = self._clock()
        async with self._store.write(now) as tx:
            await tx.provider_books.lock(account_id)
            yield tx.provider_books, await _found(tx.provider_books, object_id, kind), now

    async def _once(
        self,
        account_id: str,
        key: str,
        asked: list[Any],
        work: Callable[[ProviderBooks, datetime], Awaitable[_Answer]],
    ) -> Any:
        """Do what is asked, once for a key. Raises what the work raises, and Unavailable when its answer is lost."""
        digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
        now = self._clock()
        async with self._store.write(now) as tx:
            books = tx.provider_books
            await books.lock(account_id)
            kept = await books.answer(account_id, key)
            if kept is not None:
                return _again(kept, digest)
            answer = await work(books, now)
            if answer.kept:
                await books.keep_answer(account_id, key, digest, answer.body)
        if answer.lost:
            raise Unavailable(
                "the payment provider did not answer in time",
                code="provider_unavailable",
                hint="It is not known what happened: look the payment up.",
            )
        return answer.body

    async def _live_all(self, now: datetime) -> None:
        """Let happen all that is due by now, each in a transaction of its own."""
        while True:
            async with self._store.read(now, single=True) as tx:
                due = await tx.provider_books.due(now, limit=_AT_A_TIME)
            for entry in due:
                if entry.kind == "setup":
                    await self.method_of_setup(entry.object_id)
                else:
                    await self.payment(entry.object_id)
            if not due:
                return


def _again(kept: tuple[str, Any], digest: str) -> Any:
    asked, answer = kept
    if asked != digest:
        raise Unavailable(
            "the payment provider refuses a key that belongs to another request", code="provider_refused_us"
        )
    return answer


def _method_of(token: str, reference: str) -> Method:
    known = TOKENS.get(token)
    if known is None:
        return Method("failed", "card", failure_code="unknown_token")
    card = known.type == "card"
    method = Method(
        "active",
        known.type,
        reference,
        known.brand,
        known.last4,
        12 if card else None,
        2034 if card else None,
        None if card else "active",
    )
    return (
        method
        if known.refused is None
        else replace(method, status="failed", reference=None, failure_code=known.refused)
    )


async def _set_up(books: ProviderBooks, entry: Entry, token: str) -> Entry:
    """The set-up has ended, at its moment: with a method, or with a refusal."""
    at = entry.due_at or entry.created_at
    method = _method_of(token, f"pm_{new_id(at)}")
    if method.reference is not None:
        body = {"token": token, "method": asdict(method)}
        await books.put(Entry(entry.account_id, method.reference, "method", at, body))
    ended = replace(entry, body={"method": asdict(replace(method, setup_id=entry.object_id))}, due_at=None)
    await books.put(ended)
    event = {"event_id": f"evt_{entry.object_id}", "type": "set_up.ended", "setup_id": entry.object_id}
    await tell(books, entry.account_id, event, at, (at,))
    return ended


async def _found(books: ProviderBooks, object_id: str, kind: Kind) -> Entry:
    entry = await books.find(object_id, kind)
    if entry is None:
        raise NotFound(f"the provider knows no {kind} {ascii(object_id)[1:-1][:80]}")
    return entry


async def _live(books: ProviderBooks, entry: Entry, now: datetime) -> Life:
    """The payment with all that has happened by now."""
    life, told = life_of_json(entry.body).lived(now)
    if told:
        await _keep(books, entry.account_id, life, told)
    return life


async def _keep(books: ProviderBooks, account_id: str, life: Life, told: list[Told]) -> None:
    payment = life.payment
    body = life_to_json(life)
    await books.put(Entry(account_id, payment.payment_id, "payment", payment.created_at, body, life.due_at))
    for news in told:
        event_id = f"evt_{payment.payment_id}_{news.number:04d}"
        event = {"event_id": event_id, "type": news.type, "payment": payment_to_json(news.payment)}
        await tell(books, account_id, event, news.at, news.due_at)
