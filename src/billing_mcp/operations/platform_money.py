"""Owns money that the platform gives or has received: credits and payments, each once under its key."""

from __future__ import annotations

from datetime import datetime

from billing_mcp.domain.clock import Clock, iso
from billing_mcp.domain.credits import DEFAULT_PRIORITY
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.instructions import Instruction, Receipt
from billing_mcp.operations.credits import grant_credit
from billing_mcp.operations.platform import payment
from billing_mcp.operations.platform_holds import check_amount
from billing_mcp.operations.platform_keys import posting_key
from billing_mcp.operations.platform_requests import OnceUnderKey
from billing_mcp.store.store import Store, Transaction

MAX_REASON_CHARS = 255


class PlatformMoney:
    """The platform's postings on one store. Amounts are micros of the wallet's currency.

    Both methods raise NotFound for an account that is not there, InvalidArgument for a wrong argument or an
    `idempotency_key` that belongs to another request, Refused with code `amount_too_large` for more than a
    wallet holds, and Unavailable as holds do; `credit` also Conflict with code `database_busy`. The key is for one
    account, and for its `principal_id`.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._once = OnceUnderKey(store, clock)

    async def credit(
        self,
        account_id: str,
        amount_micros: int,
        *,
        reason: str,
        priority: int = DEFAULT_PRIORITY,
        expires_at: datetime | None = None,
        idempotency_key: str = "",
        principal_id: str = "",
    ) -> Receipt:
        """Give an account money of the platform's own, which is used before its own.

        Of several, that of the lowest `priority` (0 to 9) is used first. What is left of it at `expires_at` leaves the
        wallet; without one it stays. The reason is stored for good: no personal data.
        """
        check_amount(amount_micros)
        check_reason(reason)
        key = posting_key(
            idempotency_key, ("credit", amount_micros, reason, *_terms(priority, expires_at)), principal_id
        )

        async def work(tx: Transaction) -> Receipt:
            receipt = await grant_credit(
                tx, account_id, amount_micros, reason=reason, priority=priority, expires_at=expires_at, key=key
            )
            tx.rollback_only = receipt.replayed
            return receipt

        return await self._once.transact(work)

    async def receive(
        self, account_id: str, amount_micros: int, *, provider: str, idempotency_key: str = "", principal_id: str = ""
    ) -> Receipt:
        """Credit the wallet with money that a provider has received."""
        currency = await self._currency(account_id)
        now = self._clock()
        posting = payment(account_id, amount_micros, currency, provider, now)
        key = posting_key(idempotency_key, ("topup", amount_micros, provider), principal_id)
        return await self._store.submit(Instruction(account_id, posting, now, key))

    async def _currency(self, account_id: str) -> str:
        async with self._store.read(self._clock()) as tx:
            return (await tx.ledger.wallet(account_id)).currency


def _terms(priority: int, expires_at: datetime | None) -> tuple[object, ...]:
    """What else was asked under a key: nothing where all is as usual, which is how keys of before such terms were."""
    if priority == DEFAULT_PRIORITY and expires_at is None:
        return ()
    return priority, "" if expires_at is None else iso(expires_at)


def check_reason(reason: str) -> None:
    """Raise InvalidArgument for a reason that is empty or too long, or cannot be printed."""
    if not reason.strip() or len(reason) > MAX_REASON_CHARS or not reason.isprintable():
        raise InvalidArgument(
            f"a reason is printable text of 1 to {MAX_REASON_CHARS} characters; got {ascii(reason)[:80]}",
            field="reason",
            hint="Say what the credit is for, such as 'Goodwill for the outage of 1 March'.",
        )
