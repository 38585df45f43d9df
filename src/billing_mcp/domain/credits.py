"""Owns credits: which of the seller's own money is used first, and what of it expires.

A credit is in the wallet like any other money. Its grant says how much of it is left, and money is used only where
no grant is. Both functions here are told of a whole wallet at a time, so how often somebody looks makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from billing_mcp.domain.clock import iso
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.ledger import AVAILABLE, CREDITS, Entry, Posting

FIRST_PRIORITY, DEFAULT_PRIORITY, LAST_PRIORITY = 0, 5, 9
TRY_AGAIN_AFTER = timedelta(days=1)
"""What is reserved when its time is over is looked at again so much later."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A credit, and what is left of it. `grant_id` is that of the ledger transaction which gave it.

    The lower its `priority`, the sooner it is used. Without `expires_at` it stays until it is used.
    """

    account_id: str
    grant_id: str
    reason: str
    amount_micros: int
    remaining_micros: int
    granted_at: datetime
    expires_at: datetime | None = None
    priority: int = DEFAULT_PRIORITY
    expired_micros: int = 0

    @property
    def used_micros(self) -> int:
        """How much of it was spent."""
        return self.amount_micros - self.remaining_micros - self.expired_micros

    def due(self, now: datetime, available_micros: int) -> datetime | None:
        """When it expires: its time, also where that is over. None where it never does.

        While nothing is available there is nothing to take: then it is tried once a day, counted from its time.
        """
        if self.expires_at is None or self.expires_at > now or available_micros > 0:
            return self.expires_at
        tried = (now - self.expires_at) // TRY_AGAIN_AFTER + 1
        return self.expires_at + tried * TRY_AGAIN_AFTER


def check_grant(priority: int, expires_at: datetime | None, now: datetime) -> None:
    """Raise InvalidArgument for a priority that there is not, and for an expiry that has passed."""
    if not FIRST_PRIORITY <= priority <= LAST_PRIORITY:
        raise InvalidArgument(
            f"a priority is {FIRST_PRIORITY} to {LAST_PRIORITY}; got {priority}",
            field="priority",
            hint=f"Use {FIRST_PRIORITY} for what is used first; {DEFAULT_PRIORITY} is usual.",
        )
    if expires_at is not None and expires_at <= now:
        raise InvalidArgument(
            f"expires_at must be later than now, {iso(now)}; got {iso(expires_at)}",
            field="expires_at",
            hint="Give a later moment, or leave it out for a credit that does not expire.",
        )


def in_order_of_use(grants: Iterable[Grant]) -> list[Grant]:
    """Those of the lowest priority first; of these what expires first, and never last; of these the oldest."""
    return sorted(grants, key=_rank)


def _rank(grant: Grant) -> tuple[int, bool, datetime, datetime, str]:
    until = grant.expires_at
    return grant.priority, until is None, until or grant.granted_at, grant.granted_at, grant.grant_id


def use(grants: Iterable[Grant], spent_micros: int) -> tuple[list[Grant], int]:
    """The grants after so much was spent, in the order of use, and how much of it they have paid.

    Less than nothing, where more came back than was spent, gives nothing back to grants: it is money.
    """
    after, left = [], max(0, spent_micros)
    for grant in in_order_of_use(grants):
        used = min(left, grant.remaining_micros)
        left -= used
        after.append(replace(grant, remaining_micros=grant.remaining_micros - used) if used else grant)
    return after, max(0, spent_micros) - left


def expire(grants: Iterable[Grant], now: datetime, available_micros: int) -> list[tuple[Grant, int]]:
    """What leaves a wallet: each grant whose time is over, as it is after, and how much of it goes.

    What is not available, since holds have reserved it, stays with its grant.
    """
    gone, left = [], max(0, available_micros)
    for grant in in_order_of_use(grants):
        micros = min(left, grant.remaining_micros)
        if grant.expires_at is not None and grant.expires_at <= now and micros:
            remaining, expired = grant.remaining_micros - micros, grant.expired_micros + micros
            gone.append((replace(grant, remaining_micros=remaining, expired_micros=expired), micros))
            left -= micros
    return gone


def given(account_id: str, amount_micros: int, currency: str, reason: str, now: datetime) -> Posting:
    """The posting of a credit."""
    entries = Entry(AVAILABLE, amount_micros, currency), Entry(CREDITS, -amount_micros, currency)
    return Posting(account_id, "credit", f"Credit: {reason}", entries, now)


def taken_back(grant: Grant, micros: int, currency: str, now: datetime) -> Posting:
    """The posting of what is left of a credit whose time is over."""
    entries = Entry(AVAILABLE, -micros, currency), Entry(CREDITS, micros, currency)
    what = f"Credit {grant.grant_id} expired: {grant.reason}"
    return Posting(grant.account_id, "adjustment", what, entries, now)
