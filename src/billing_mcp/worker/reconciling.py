"""Owns reconciling with a payment provider: reading both sides of the same days, and learning what we have missed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from billing_mcp.domain.clock import Clock
from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.reconciliation import CashMovement, Difference, ProviderPayment, differences
from billing_mcp.domain.topups import TopUp
from billing_mcp.payments.port import Payment
from billing_mcp.store.store import Store, Transaction
from billing_mcp.worker.charging import Charging

Progress = Callable[[str, int, int | None], None]
"""Hears what is being read, how much of it is, and of how much if that is known."""
PAYMENTS, LEDGER = "payments", "accounts"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was compared, and every difference."""

    payments: int
    topups: int
    transactions: int
    differences: tuple[Difference, ...]


class Reconciliation:
    """Compares the ledger with one provider for the payments of a half-open span, with all that came of them since.

    With an account, it is of that alone. What is under way while it reads can differ for a moment.
    """

    def __init__(self, store: Store, clock: Clock, charging: Charging, progress: Progress) -> None:
        self._store = store
        self._clock = clock
        self._charging = charging
        self._provider = charging.provider
        self._progress = progress

    async def compare(self, since: datetime, until: datetime, account_id: str | None = None) -> Reconciled:
        """Every difference. Raises NotFound for an account, and what the provider raises."""
        payments = await self._payments(since, until, account_id)
        async with self._store.read(self._clock()) as tx:
            if account_id is not None:
                await tx.accounts.get(account_id)
            topups = await self._topups(tx, since, until, account_id, payments.values())
            movements = await self._movements(tx, since, until, account_id, topups)
        for topup in topups.values():
            if topup.payment_id is not None and topup.payment_id not in payments:
                await self._add(payments, topup.payment_id)
        found = differences(topups.values(), map(_seen, payments.values()), movements)
        return Reconciled(len(payments), len(topups), len(movements), tuple(found))

    async def mend(self, reconciled: Reconciled) -> int:
        """Learn what the provider says of each top-up of ours that differs. Returns of how many."""
        named = {
            (each.account_id, each.topup_id, each.payment_id)
            for each in reconciled.differences
            if each.account_id and each.topup_id and each.payment_id and each.kind != "missing_at_provider"
        }
        learned = 0
        for account_id, topup_id, payment_id in sorted(named):
            try:
                await self._charging.look_up(str(account_id), str(topup_id), str(payment_id))
            except NotFound:  # it is none of ours, or not there: the difference stays
                continue
            learned += 1
        return learned

    async def _payments(self, since: datetime, until: datetime, account_id: str | None) -> dict[str, Payment]:
        found: dict[str, Payment] = {}
        async for payment in self._provider.payments(since, until):
            if account_id in (None, payment.account_id):
                found[payment.payment_id] = payment
                self._progress(PAYMENTS, len(found), None)
        return found

    async def _add(self, payments: dict[str, Payment], payment_id: str) -> None:
        """One that the provider created in other days than we did."""
        try:
            payments[payment_id] = await self._provider.payment(payment_id)
        except NotFound:
            return

    async def _topups(
        self,
        tx: Transaction,
        since: datetime,
        until: datetime,
        account_id: str | None,
        payments: Iterable[Payment],
    ) -> dict[str, TopUp]:
        """Those that were created in the span, and those that its payments are of."""
        created = await tx.payments.created_in(self._provider.name, since, until)
        found = {each.topup_id: each for each in created if account_id in (None, each.account_id)}
        known = {each.payment_id for each in found.values()}
        for payment in payments:
            if payment.payment_id in known or payment.topup_id in found:
                continue
            of_it = await tx.payments.topups_of_payment(self._provider.name, payment.payment_id)
            found |= {each.topup_id: each for each in of_it or await _named_by(tx, payment)}
        return found

    async def _movements(
        self,
        tx: Transaction,
        since: datetime,
        until: datetime,
        account_id: str | None,
        topups: dict[str, TopUp],
    ) -> list[CashMovement]:
        """What the ledger says of these top-ups; and what it moved in the span that is of no top-up at all."""
        account_ids = [account_id] if account_id is not None else await tx.ledger.account_ids()
        begun = min([since, *(each.created_at for each in topups.values())])
        found: list[CashMovement] = []
        for done, each_id in enumerate(account_ids, start=1):
            moved = await tx.ledger.cash_movements(each_id, self._provider.name, begun)
            found += [
                each
                for each in moved
                if each.topup_id in topups or (since <= each.created_at < until and not await _is_known(tx, each))
            ]
            self._progress(LEDGER, done, len(account_ids))
        return found


async def _named_by(tx: Transaction, payment: Payment) -> list[TopUp]:
    """The top-up that a payment says it is of, though we may not know that."""
    if payment.account_id is None or payment.topup_id is None:
        return []
    try:
        return [await tx.payments.topup(payment.account_id, payment.topup_id)]
    except NotFound:
        return []


async def _is_known(tx: Transaction, movement: CashMovement) -> bool:
    """Whether it is of a top-up of ours: then of one whose payment belongs to other days."""
    if movement.topup_id is None:
        return False
    try:
        await tx.payments.topup(movement.account_id, movement.topup_id)
    except NotFound:
        return False
    return True


def _seen(payment: Payment) -> ProviderPayment:
    return ProviderPayment(payment.payment_id, payment.account_id, payment.topup_id, payment.currency, payment.facts)
