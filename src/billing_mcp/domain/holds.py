"""Owns holds: money that is set aside for work in flight, and how each hold ends, once.

A hold takes from available to reserved. Captures take from reserved to revenue, until all of it is
captured, or what remains goes back to available: because it is released, or because it expired.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from billing_mcp.domain.clock import iso
from billing_mcp.domain.debts import past_due
from billing_mcp.domain.errors import InvalidArgument, NotFound, Refused
from billing_mcp.domain.events import Event
from billing_mcp.domain.ids import ledger_id
from billing_mcp.domain.ledger import (
    AVAILABLE,
    MAX_TOTAL_MICROS,
    RECEIVABLE,
    RESERVED,
    REVENUE,
    Entry,
    LedgerTransaction,
    LineItem,
    Posting,
    TransactionType,
    Wallet,
    decide,
)
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.plans import UNPAID, AccountStatus, adjustment

HoldStatus = Literal["open", "captured", "released", "expired"]

MAX_LIFE = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Hold:
    """Money of one account that is set aside. What is not open any more stays as it is for good."""

    account_id: str
    hold_id: str
    reference: str
    amount_micros: int
    captured_micros: int
    released_micros: int
    status: HoldStatus
    expires_at: datetime
    created_at: datetime
    closed_at: datetime | None = None

    @property
    def remaining_micros(self) -> int:
        """What is still reserved by it."""
        return max(0, self.amount_micros - self.captured_micros - self.released_micros)


@dataclass(frozen=True, slots=True)
class PlaceHold:
    """Set an amount aside until `expires_at`, for what the platform calls `reference`."""

    amount_micros: int
    reference: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class CaptureHold:
    """Charge an amount (None: all that remains). `final` gives back what remains after it."""

    hold_id: str
    amount_micros: int | None = None
    final: bool = False


@dataclass(frozen=True, slots=True)
class ReleaseHold:
    """Give back what remains."""

    hold_id: str


@dataclass(frozen=True, slots=True)
class ExpireHold:
    """Give back what remains, if the hold is past its time."""

    hold_id: str


HoldAction = PlaceHold | CaptureHold | ReleaseHold | ExpireHold


@dataclass(frozen=True, slots=True)
class Decision:
    """What an action makes of the wallet, the account's status and the hold, and what the world hears of it."""

    wallet: Wallet
    status: AccountStatus
    transactions: tuple[LedgerTransaction, ...]
    hold: Hold | None = None
    event: Event | None = None


def decide_hold(
    wallet: Wallet, status: AccountStatus, action: HoldAction, hold: Hold | None, *, now: datetime
) -> Decision:
    """Decide an action; `hold` is the one that it names, None when there is none.

    Raises what `place` and `capture` raise; NotFound; and Refused with code `hold_not_open` when the
    hold has ended, `hold_not_due` when it is to expire before its time.
    """
    if isinstance(action, PlaceHold):
        return place(wallet, status, action, now=now)
    if hold is None:
        raise NotFound(f"hold {action.hold_id} does not exist", field="hold_id")
    if hold.status != "open":
        ended = iso(hold.closed_at) if hold.closed_at else "before"
        raise Refused(
            f"hold {hold.hold_id} is not open: it was {hold.status} at {ended}",
            code="hold_not_open",
            field="hold_id",
            hint="A hold ends once. Place a new one for more work.",
        )
    if isinstance(action, CaptureHold):
        return capture(wallet, status, action, hold, now=now)
    if isinstance(action, ReleaseHold):
        return give_back(wallet, status, hold, "released", now)
    if now < hold.expires_at:
        raise Refused(
            f"hold {hold.hold_id} does not expire before {iso(hold.expires_at)}",
            code="hold_not_due",
            field="hold_id",
            hint="Release it to give the money back now.",
        )
    return give_back(wallet, status, hold, "expired", now)


def place(wallet: Wallet, status: AccountStatus, action: PlaceHold, *, now: datetime) -> Decision:
    """Set money aside.

    Raises InvalidArgument for an amount that is not positive, or an expiry that is past or too far
    ahead; Refused with code `account_not_active`; InsufficientFunds.
    """
    _check_amount(action.amount_micros)
    if not now < action.expires_at <= now + MAX_LIFE:
        raise InvalidArgument(
            f"expires_at must be later than now, {iso(now)}, and within {MAX_LIFE.days} days; "
            f"got {iso(action.expires_at)}",
            field="expires_at",
        )
    if status != "active":
        raise not_active(status)
    hold_id = ledger_id(now, wallet.account_id, wallet.last_seq + 1)
    what = f"Hold for {action.reference}" if action.reference else "Hold"
    taken = Entry(AVAILABLE, -action.amount_micros, wallet.currency)
    held = Entry(RESERVED, action.amount_micros, wallet.currency)
    posting = Posting(wallet.account_id, "hold", what, (taken, held), now, hold_id=hold_id)
    after, transaction = decide(wallet, posting, now=now)
    hold = Hold(
        account_id=wallet.account_id,
        hold_id=hold_id,
        reference=action.reference,
        amount_micros=action.amount_micros,
        captured_micros=0,
        released_micros=0,
        status="open",
        expires_at=action.expires_at,
        created_at=now,
    )
    return Decision(after, status, (transaction,), hold)


def not_active(status: AccountStatus) -> Refused:
    """Why nothing new is held on an account that is not active."""
    return Refused(
        f"the account is {status}; nothing can be held on it",
        code="account_not_active",
        hint="Its debt must be settled first. What is held already can still be captured or released.",
    )


def capture(wallet: Wallet, status: AccountStatus, action: CaptureHold, hold: Hold, *, now: datetime) -> Decision:
    """Charge what an open hold was for.

    More than remains is charged too: the excess is taken from available, and what is missing there
    becomes receivable, which makes an active account past_due. Raises InvalidArgument for an amount
    that is not positive, and Refused with code `amount_too_large` for more than can be stored.
    """
    amount = hold.remaining_micros if action.amount_micros is None else action.amount_micros
    _check_amount(amount)
    if hold.captured_micros + amount > MAX_TOTAL_MICROS:
        raise Refused(
            f"a hold can be charged {format_micros(MAX_TOTAL_MICROS)} {wallet.currency} in all",
            code="amount_too_large",
            field="amount",
        )
    what = f"Charge for {hold.reference}" if hold.reference else "Charge"
    charged = charge(wallet, status, amount, hold, what=what, now=now)
    if charged.hold is None or charged.hold.status != "open" or not action.final:
        return charged
    rest = give_back(charged.wallet, charged.status, charged.hold, "captured", now)
    return replace(rest, transactions=(*charged.transactions, *rest.transactions), event=charged.event)


def charge(
    wallet: Wallet,
    status: AccountStatus,
    amount_micros: int,
    hold: Hold | None,
    *,
    what: str,
    now: datetime,
    line_items: tuple[LineItem, ...] = (),
) -> Decision:
    """Charge an amount: to what an open hold has reserved, then to available.

    What is missing there becomes receivable, which makes an active account past_due, and a line of its own.
    """
    reserved = 0 if hold is None else min(amount_micros, hold.remaining_micros)
    available = min(amount_micros - reserved, max(0, wallet.available_micros))
    owed = amount_micros - reserved - available
    entries = ((RESERVED, -reserved), (AVAILABLE, -available), (RECEIVABLE, -owed), (REVENUE, amount_micros))
    if owed:
        what += f"; {format_micros(owed)} {wallet.currency} unpaid"
        line_items = (*line_items, *([adjustment(RECEIVABLE, UNPAID, -owed)] if line_items else []))
    held = hold.hold_id if hold is not None and reserved else None
    posting = _posting(wallet, "charge", what, entries, held, now, line_items)
    after, charged = decide(wallet, posting, now=now)
    if hold is not None:
        ended = amount_micros >= hold.remaining_micros
        hold = replace(
            hold,
            captured_micros=hold.captured_micros + amount_micros,
            status="captured" if ended else "open",
            closed_at=now if ended else None,
        )
    owing: AccountStatus = "past_due" if owed and status == "active" else status
    event = past_due(charged, owed) if owing != status else None
    return Decision(after, owing, (charged,), hold, event)


def give_back(wallet: Wallet, status: AccountStatus, hold: Hold, ended: HoldStatus, now: datetime) -> Decision:
    """End an open hold: what remains of it goes back to available."""
    remaining = hold.remaining_micros
    what = "Expired hold" if ended == "expired" else "Release"
    what += f" for {hold.reference}" if hold.reference else ""
    entries = ((RESERVED, -remaining), (AVAILABLE, remaining))
    after, transaction = decide(wallet, _posting(wallet, "release", what, entries, hold.hold_id, now), now=now)
    closed = replace(hold, released_micros=remaining, status=ended, closed_at=now)
    return Decision(after, status, (transaction,), closed)


def _posting(
    wallet: Wallet,
    type_: TransactionType,
    description: str,
    entries: tuple[tuple[str, int], ...],
    hold_id: str | None,
    now: datetime,
    line_items: tuple[LineItem, ...] = (),
) -> Posting:
    legs = tuple(Entry(name, amount, wallet.currency) for name, amount in entries if amount)
    return Posting(wallet.account_id, type_, description, legs, now, line_items=line_items, hold_id=hold_id)


def _check_amount(amount_micros: int) -> None:
    if amount_micros <= 0:
        raise InvalidArgument(
            f"amount must be positive; got {format_micros(amount_micros)}",
            field="amount",
            hint="To give all of a hold back, release it.",
        )
