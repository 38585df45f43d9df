"""Owns what is asked of a payment provider after a commit: adding methods, charging top-ups, looking them up.

Each job may happen twice, and does no more than once what counts: it goes on from what is stored and from what the
provider has. A top-up's payment is registered first, which moves nothing, and its id is stored; then that one
payment is charged, and only while the provider says that it has not been.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import structlog

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.clock import Clock
from billing_mcp.domain.errors import NotFound, Refused, Unavailable
from billing_mcp.domain.events import Event
from billing_mcp.domain.payments import Facts, Method, PaymentMethod
from billing_mcp.domain.topups import UNSETTLED, Refund, TopUp
from billing_mcp.operations.platform_payments import DETACH, method_event, refund_failed
from billing_mcp.operations.topup_news import learn, next_check, not_answered
from billing_mcp.payments.embedded import EmbeddedProvider
from billing_mcp.payments.port import Heard, Payment, PaymentOrder, Provider
from billing_mcp.store.outbox import Work
from billing_mcp.store.store import Store, Transaction
from billing_mcp.worker.announcing import announce
from billing_mcp.worker.worker import Finder

log = structlog.get_logger()

ASK = "billing.topup.ask"
"""The topic of asking a provider about top-ups that it should have told of by now."""

_AT_A_TIME = 100
GIVEN_UP_AFTER = timedelta(days=1)
NOT_CHARGED = "not_charged"
"""Why a top-up failed that the provider could not be asked for: it says itself that no money has moved."""
ACTION_EXPIRES_AFTER = timedelta(days=3)
NOT_AUTHENTICATED = "not_authenticated"
"""Why a top-up failed that the customer did not authenticate in time."""


class Charging:
    """Asks one provider, and records what it answers."""

    def __init__(self, store: Store, catalog: Catalog, clock: Clock, provider: Provider) -> None:
        self._store = store
        self.catalog = catalog
        self._clock = clock
        self.provider = provider

    async def attach(self, work: Work) -> None:
        """The job: add a payment method at the provider, or begin its set-up."""
        account_id, method_id = work.account_id, str(work.payload["payment_method_id"])
        async with self._store.read(self._clock()) as tx:
            method = await tx.payments.method(account_id, method_id)
        if method.known.status != "pending":
            return
        customer = await self._customer(account_id, key=f"{work.event_id}-customer")
        asked = {"account_id": account_id, "key": work.event_id}
        if method.token is not None:
            known = await self.provider.add_method(customer, token=method.token, **asked)
        else:
            known = await self.provider.set_up_method(customer, type_=method.known.type, **asked)
        await self._learn_method(account_id, method_id, known)

    async def charge(self, work: Work) -> None:
        """The job: charge a top-up, once."""
        account_id, topup_id = work.account_id, str(work.payload["topup_id"])
        async with self._store.read(self._clock()) as tx:
            topup = await tx.payments.topup(account_id, topup_id)
        if topup.status not in UNSETTLED:
            return
        self._check_is_ours(topup)
        await self._charge(topup, key=work.event_id)

    async def refund(self, work: Work) -> None:
        """The job: give some of a top-up back, once. What the provider refuses has failed, and can be asked again."""
        async with self._store.read(self._clock()) as tx:
            refund = await tx.payments.refund(work.account_id, str(work.payload["refund_id"]))
            topup = await tx.payments.topup(work.account_id, refund.topup_id)
        if refund.status != "pending":
            return
        self._check_is_ours(topup)
        try:
            payment = await self.provider.refund(str(topup.payment_id), refund.amount_micros, key=work.event_id)
        except (Refused, NotFound) as error:
            await self._end_refund(replace(refund, status="failed", failure_code=error.code), None)
            return
        await self._end_refund(replace(refund, status="succeeded"), payment.facts)

    async def detach(self, work: Work) -> None:
        """The job: have the provider forget a payment method. One that is gone already is no error."""
        async with self._store.read(self._clock()) as tx:
            method = await tx.payments.method(work.account_id, str(work.payload["payment_method_id"]))
        if method.known.reference is not None and method.provider == self.provider.name:
            await self.provider.detach_method(method.known.reference)

    async def ask(self, work: Work) -> None:
        """The job: look up all top-ups of an account that the provider should have told of."""
        async with self._store.read(self._clock()) as tx:
            topups = await tx.payments.unchecked(work.account_id, self.provider.name, self._clock())
        unknown: NotFound | None = None
        for topup in topups:
            try:
                await self._ask(topup)
            except NotFound as error:  # the others of the account must not wait for it
                unknown = error
        if unknown is not None:
            raise unknown

    async def find_unchecked(self) -> int:
        """The finder: work for each account whose provider should have told of a top-up by now."""
        now = self._clock()
        async with self._store.read(now) as tx:
            due = await tx.payments.unchecked_account_ids(self.provider.name, now)
        return await announce(self._store, ASK, due, now)

    async def hear(self, heard: Heard) -> None:
        """Record what a webhook tells; what is none of our business is passed over. Raises what the database raises."""
        if heard.setup_id is not None:
            await self._hear_setup(heard.setup_id)
        if heard.payment_id is None or heard.facts is None:
            return
        async with self._store.read(self._clock()) as tx:
            topups = await tx.payments.topups_of_payment(self.provider.name, heard.payment_id)
        if not topups:
            log.info("webhook_of_no_topup", type=heard.type, payment_id=heard.payment_id)
        for topup in topups:
            await self._learn(topup.account_id, topup.topup_id, heard.facts, is_all=heard.is_all)

    async def _ask(self, topup: TopUp) -> None:
        facts = topup.facts
        if topup.payment_id is not None:
            facts = (await self.provider.payment(topup.payment_id)).facts
        age = self._clock() - topup.created_at
        if facts.status == "created" and age >= GIVEN_UP_AFTER:
            facts = Facts("failed", failure_code=NOT_CHARGED)
        if facts.status == "requires_action" and age >= ACTION_EXPIRES_AFTER:
            facts = Facts("failed", failure_code=NOT_AUTHENTICATED)  # if they still do, it succeeds
        await self._learn(topup.account_id, topup.topup_id, facts, looked_up=True)

    async def look_up(self, account_id: str, topup_id: str, payment_id: str) -> None:
        """Learn all that the provider says of a top-up's payment. One of another payment is left as it is.

        Raises NotFound, and what the provider raises.
        """
        payment = await self.provider.payment(payment_id)
        async with self._store.write(self._clock()) as tx:
            await tx.accounts.get(account_id, lock=True)
            topup = await tx.payments.topup(account_id, topup_id)
            if topup.payment_id not in (None, payment_id):
                return
            known = replace(topup, payment_id=payment_id)
            await tx.payments.save_topup(known, check_at=next_check(known, tx.now))
            await learn(tx, self.catalog, account_id, topup_id, payment.facts)

    def _check_is_ours(self, topup: TopUp) -> None:
        """Raise Unavailable for a top-up of another provider: it waits until somebody has that again."""
        if topup.provider != self.provider.name:
            raise Unavailable(f"this server does not reach {topup.provider}", code="provider_refused_us")

    async def _charge(self, topup: TopUp, *, key: str) -> None:
        try:
            payment = await self._registered(topup, key=key)
        except Refused as error:  # there is no payment, so nothing can move
            await self._learn(topup.account_id, topup.topup_id, Facts("failed", failure_code=error.code))
            return
        if payment.facts.status == "created":
            try:
                payment = await self.provider.confirm_payment(payment.payment_id, key=f"{key}-confirm")
            except Unavailable:
                async with self._store.write(self._clock()) as tx:
                    await not_answered(tx, topup.account_id, topup.topup_id)
                raise
        await self._learn(topup.account_id, topup.topup_id, payment.facts)

    async def _registered(self, topup: TopUp, *, key: str) -> Payment:
        """The payment at the provider; one that is new there has its id stored before any money moves."""
        if topup.payment_id is not None:
            return await self.provider.payment(topup.payment_id)
        async with self._store.read(self._clock()) as tx:
            method = await tx.payments.method(topup.account_id, topup.payment_method_id)
            customer = await tx.payments.customer(topup.account_id, topup.provider)
        if customer is None or method.known.reference is None:
            raise NotFound(f"payment method {topup.payment_method_id} is not known to {topup.provider}")
        order = PaymentOrder(
            account_id=topup.account_id,
            topup_id=topup.topup_id,
            customer=customer,
            method=method.known.reference,
            method_type=method.known.type,
            amount_micros=topup.gross_micros,
            currency=topup.currency,
        )
        payment = await self.provider.create_payment(order, key=key)
        async with self._store.write(self._clock()) as tx:
            await tx.accounts.get(topup.account_id, lock=True)
            now = await tx.payments.topup(topup.account_id, topup.topup_id)
            if now.payment_id is None:
                registered = replace(now, payment_id=payment.payment_id, changed_at=tx.now)
                await tx.payments.save_topup(registered, check_at=next_check(registered, tx.now))
                return payment
        # Somebody else was quicker: only the payment that is stored may ever be charged.
        return await self.provider.payment(now.payment_id)

    async def _customer(self, account_id: str, *, key: str) -> str:
        async with self._store.read(self._clock()) as tx:
            customer = await tx.payments.customer(account_id, self.provider.name)
        if customer is not None:
            return customer
        made = await self.provider.create_customer(account_id, key=key)
        async with self._store.write(self._clock()) as tx:
            await tx.accounts.get(account_id, lock=True)
            known = await tx.payments.customer(account_id, self.provider.name)
            if known is None:
                await tx.payments.set_customer(account_id, self.provider.name, made)
            return known or made

    async def _hear_setup(self, setup_id: str) -> None:
        async with self._store.read(self._clock()) as tx:
            methods = await tx.payments.methods_of_setup(self.provider.name, setup_id)
        for method in methods:
            known = await self.provider.method_of_setup(setup_id)
            await self._learn_method(method.account_id, method.payment_method_id, known)

    async def _end_refund(self, refund: Refund, facts: Facts | None) -> None:
        """Record how it ended, with the facts in the same transaction: else the money would count twice, or not."""
        async with self._store.write(self._clock()) as tx:
            await tx.accounts.get(refund.account_id, lock=True)
            await tx.payments.save_refund(replace(refund, changed_at=tx.now))
            if facts is None:
                await tx.outbox.add(refund_failed(refund))
            else:
                await learn(tx, self.catalog, refund.account_id, refund.topup_id, facts)

    async def _learn(
        self, account_id: str, topup_id: str, facts: Facts, *, looked_up: bool = False, is_all: bool = True
    ) -> None:
        async with self._store.write(self._clock()) as tx:
            topup = await learn(tx, self.catalog, account_id, topup_id, facts)
            if looked_up or not is_all:
                await tx.payments.save_topup(topup, check_at=next_check(topup, tx.now) if is_all else tx.now)

    async def _learn_method(self, account_id: str, payment_method_id: str, known: Method) -> None:
        async with self._store.write(self._clock()) as tx:
            await tx.accounts.get(account_id, lock=True)
            before = await tx.payments.method(account_id, payment_method_id)
            if before.known.status in ("active", "failed"):
                return
            if before.known.status == "removed":
                await _forget_what_came_late(tx, before, known, self.provider.name)
                return
            named = replace(known, setup_id=known.setup_id or before.known.setup_id)
            after = replace(before, known=named, provider=self.provider.name, token=None, changed_at=tx.now)
            await _save_method(tx, before, after)


def deliver_webhooks(provider: EmbeddedProvider, charging: Charging, clock: Clock) -> Finder:
    """The finder: carry what the embedded provider has to tell to where the webhooks of any provider are heard."""

    async def deliver() -> int:
        due = await provider.due_webhooks(clock(), limit=_AT_A_TIME)
        for each in due:
            await charging.hear(provider.hear(each.body, each.headers))
            await provider.delivered(each)
        return len(due)

    return deliver


async def _forget_what_came_late(tx: Transaction, before: PaymentMethod, known: Method, provider: str) -> None:
    """It was removed while the provider was adding it: what it has become there goes, too."""
    if known.reference is None or before.known.reference is not None:
        return
    removed = replace(before, known=replace(before.known, reference=known.reference), provider=provider)
    await tx.payments.save_method(before, removed)
    await tx.outbox.add(Event(before.account_id, DETACH, {"payment_method_id": before.payment_method_id}))


async def _save_method(tx: Transaction, before: PaymentMethod, after: PaymentMethod) -> None:
    await tx.payments.save_method(before, after)
    status = after.known.status
    if status == "active":
        others = await tx.payments.methods(after.account_id)
        chosen = any(each.is_default and each.known.status == "active" for each in others if each is not after)
        if after.is_default or not chosen:
            await tx.payments.make_default(after, tx.now)
    if status != before.known.status and status in _TOLD:
        await tx.outbox.add(method_event(after, _TOLD[status]))


_TOLD = {"active": "billing.payment_method.added", "failed": "billing.payment_method.failed"}
