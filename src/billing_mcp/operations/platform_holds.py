"""Owns holds as the platform uses them, and agents never do: place, capture, release and expire.

Each call is an instruction of its own, durable when it returns, and committed together with others
that wait. All that give an `idempotency_key` can be sent again after any failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from billing_mcp.domain.clock import Clock, iso
from billing_mcp.domain.errors import BillingError, Conflict, InvalidArgument, NotFound, Unavailable
from billing_mcp.domain.holds import CaptureHold, ExpireHold, Hold, HoldAction, PlaceHold, ReleaseHold
from billing_mcp.domain.instructions import IdempotencyKey, Instruction, Receipt
from billing_mcp.domain.ledger import MAX_TOTAL_MICROS
from billing_mcp.domain.money import format_micros
from billing_mcp.operations.platform_keys import posting_key
from billing_mcp.store.engine import uninterrupted
from billing_mcp.store.store import Store

DEFAULT_LIFE = timedelta(days=7)
MAX_REFERENCE_CHARS = 255
_DUE_AT_A_TIME = 256


class PlatformHolds:
    """The platform's holds on one store. Amounts are micros of the wallet's currency.

    Every method raises NotFound for an account or hold that is not there, InvalidArgument for a wrong
    argument or an `idempotency_key` that belongs to another request, and Unavailable: `queue_full`, when
    more wait than may; `outcome_unknown`, when the database went away at the commit. An `idempotency_key`
    is for one account, and for the `principal_id` that gives it, "" on the command line.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def place(
        self,
        account_id: str,
        amount_micros: int,
        *,
        reference: str = "",
        expires_at: datetime | None = None,
        idempotency_key: str = "",
        principal_id: str = "",
    ) -> Receipt:
        """Set money aside until `expires_at`, by default 7 days from now, for what you call `reference`.

        That is at most 366 days ahead. The reference is stored for good: it names the work, and holds no
        personal data. Raises InsufficientFunds, and Refused with code `account_not_active`.
        """
        placing = self.placing(
            account_id,
            amount_micros,
            reference=reference,
            expires_at=expires_at,
            idempotency_key=idempotency_key,
            principal_id=principal_id,
        )
        return await self._store.submit(placing)

    async def capture(
        self,
        account_id: str,
        hold_id: str,
        amount_micros: int | None = None,
        *,
        final: bool = False,
        idempotency_key: str = "",
        principal_id: str = "",
    ) -> Receipt:
        """Charge what a hold was for: all that remains, or an amount; several captures may follow.

        `final` gives back what remains after an amount. More than remains is charged too: the excess
        comes from what is free, and what is missing there is owed, which makes the account past_due.
        Raises Refused with code `hold_not_open`, or `amount_too_large` for more than can be stored.
        """
        key = {"idempotency_key": idempotency_key, "principal_id": principal_id}
        return await self._store.submit(self.capturing(account_id, hold_id, amount_micros, final=final, **key))

    async def release(
        self, account_id: str, hold_id: str, *, idempotency_key: str = "", principal_id: str = ""
    ) -> Receipt:
        """Give back what remains of a hold. Raises Refused with code `hold_not_open`."""
        key = {"idempotency_key": idempotency_key, "principal_id": principal_id}
        return await self._store.submit(self.releasing(account_id, hold_id, **key))

    async def carry_out(self, instructions: Sequence[Instruction]) -> list[Receipt | BillingError]:
        """Carry out each for itself, all together: what `place`, `capture` and `release` return or raise, in order."""
        return await self._store.submit_many(instructions)

    def placing(
        self,
        account_id: str,
        amount_micros: int,
        *,
        reference: str = "",
        expires_at: datetime | None = None,
        idempotency_key: str = "",
        principal_id: str = "",
    ) -> Instruction:
        """What `place` carries out."""
        now = self._clock()
        check_amount(amount_micros)
        check_reference(reference)
        if expires_at is not None and expires_at.tzinfo is None:
            raise InvalidArgument(f"expires_at must have a time zone; got {expires_at}", field="expires_at")
        action = PlaceHold(amount_micros, reference, expires_at or now + DEFAULT_LIFE)
        asked = ("place", amount_micros, reference, None if expires_at is None else iso(expires_at))
        return _instruction(account_id, action, now, posting_key(idempotency_key, asked, principal_id))

    def capturing(
        self,
        account_id: str,
        hold_id: str,
        amount_micros: int | None = None,
        *,
        final: bool = False,
        idempotency_key: str = "",
        principal_id: str = "",
    ) -> Instruction:
        """What `capture` carries out."""
        if amount_micros is not None:
            check_amount(amount_micros)
        key = posting_key(idempotency_key, ("capture", hold_id, amount_micros, final), principal_id)
        return _instruction(account_id, CaptureHold(hold_id, amount_micros, final), self._clock(), key)

    def releasing(
        self, account_id: str, hold_id: str, *, idempotency_key: str = "", principal_id: str = ""
    ) -> Instruction:
        """What `release` carries out."""
        key = posting_key(idempotency_key, ("release", hold_id), principal_id)
        return _instruction(account_id, ReleaseHold(hold_id), self._clock(), key)

    async def expire(self, account_id: str, hold_id: str) -> Receipt:
        """Give back what remains of a hold that is past its time.

        Raises Refused with code `hold_not_open` or `hold_not_due`.
        """
        return await self._expire(account_id, hold_id, self._clock())

    async def expire_due(
        self,
        account_id: str | None = None,
        *,
        limit: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Expire holds that are past their time: of one account or of all, up to `limit` or all. Returns how many.

        `progress` hears how many are done. It can be interrupted and run again at any time. A hold that cannot
        be expired keeps no other from it: what went wrong first is raised when all others are done, unless it
        is Unavailable or Conflict, which is raised at once.
        """
        expired = tried = 0
        now = self._clock()
        at_a_time = min(_DUE_AT_A_TIME, self._store.capacity)
        last: Hold | None = None
        failed: BillingError | None = None
        while limit is None or tried < limit:
            wanted = at_a_time if limit is None else min(at_a_time, limit - tried)
            due = await uninterrupted(self._due(now, account_id, last, wanted))
            if not due:
                break
            last, tried = due[-1], tried + len(due)
            for outcome in await asyncio.gather(*(self._expire_if_open(hold, now) for hold in due)):
                if isinstance(outcome, BillingError):
                    failed = failed or outcome
                else:
                    expired += outcome
            if progress is not None:
                progress(expired)
            if isinstance(failed, Unavailable | Conflict):
                break
        if failed is not None:
            raise failed
        return expired

    async def get(self, account_id: str, hold_id: str) -> Hold:
        """One hold, as it is now."""
        async with self._store.read(self._clock()) as tx:
            return await tx.holds.get(account_id, hold_id)

    async def _expire(self, account_id: str, hold_id: str, now: datetime) -> Receipt:
        return await self._store.submit(_instruction(account_id, ExpireHold(hold_id), now))

    async def _due(self, now: datetime, account_id: str | None, after: Hold | None, limit: int) -> list[Hold]:
        async with self._store.read(now) as tx:
            return await tx.holds.due(now, limit=limit, account_id=account_id, after=after)

    async def _expire_if_open(self, hold: Hold, now: datetime) -> bool | BillingError:
        """Whether it was expired by this; False when somebody else was first."""
        try:
            await self._expire(hold.account_id, hold.hold_id, now)
        except BillingError as error:
            return False if error.code == "hold_not_open" else error
        return True


def _instruction(account_id: str, action: HoldAction, now: datetime, key: IdempotencyKey | None = None) -> Instruction:
    _check_id(account_id, "account_id")
    if not isinstance(action, PlaceHold):
        _check_id(action.hold_id, "hold_id")
    return Instruction(account_id, action, now, key)


def _check_id(given: str, field: str) -> None:
    """Raise NotFound for what no database can store: it would spoil the batch of all that wait with it."""
    if not given.isprintable():
        raise NotFound(f"{field} {ascii(given)[:80]} does not exist", field=field)


def check_amount(amount_micros: int) -> None:
    """Raise InvalidArgument for what cannot be held or credited: it must be positive, and can be stored."""
    if not 0 < amount_micros <= MAX_TOTAL_MICROS:
        raise InvalidArgument(
            f"amount must be positive, at most {format_micros(MAX_TOTAL_MICROS)}; got {format_micros(amount_micros)}",
            field="amount",
        )


def check_reference(reference: str) -> None:
    """Raise InvalidArgument for a reference that is too long, or cannot be printed."""
    if len(reference) > MAX_REFERENCE_CHARS:
        raise InvalidArgument(
            f"a reference has at most {MAX_REFERENCE_CHARS} characters, this one {len(reference)}", field="reference"
        )
    if not reference.isprintable():
        raise InvalidArgument(
            f"a reference is printable text; got {ascii(reference)[:80]}",
            field="reference",
            hint="Use the identifier of the work, such as msg_01h455vb.",
        )
