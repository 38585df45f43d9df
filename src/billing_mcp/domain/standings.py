"""Owns what a span of time has made of an account: where it stood before, where it stands after, and what moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from billing_mcp.domain.ledger import REVENUE, ROUNDING, TAX
from billing_mcp.domain.plans import AccountStatus


@dataclass(frozen=True, slots=True)
class AccountStanding:
    """Where an account stands. `tiers` are those in force, by channel."""

    account_id: str
    name: str
    currency: str
    status: AccountStatus
    status_since: datetime | None
    reminders: int
    available_micros: int
    total_micros: int
    last_seq: int
    """Where its ledger ends."""
    invoices: int
    """How many were ever issued, credit notes included."""
    credits_expired_micros: int
    tiers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """What became of an account. Money is in micros: what was charged to it, and what came in net of VAT.

    `tiers` are those that changed, by channel, from and to; so are the others in pairs.
    """

    account_id: str
    name: str
    currency: str
    invoices: int
    charged_micros: int
    paid_in_micros: int
    credits_expired_micros: int
    tiers: Mapping[str, tuple[str, str]]
    reminders: int
    balance_micros: tuple[int, int]
    free_micros: tuple[int, int]
    status: tuple[AccountStatus, AccountStatus]


def change_of(before: AccountStanding | None, after: AccountStanding, moved: Mapping[str, int]) -> Change:
    """What became of an account, with what was posted to each ledger account since; None before: it was opened since.

    The micros of `moved` have the ledger's signs.
    """
    start = before or replace(
        after, reminders=0, available_micros=0, total_micros=0, last_seq=0, invoices=0, credits_expired_micros=0
    )
    goes_on = start.status_since == after.status_since
    return Change(
        account_id=after.account_id,
        name=after.name,
        currency=after.currency,
        invoices=after.invoices - start.invoices,
        charged_micros=moved.get(REVENUE, 0) + moved.get(ROUNDING, 0),
        paid_in_micros=-moved.get(TAX, 0) - sum(micros for name, micros in moved.items() if name.startswith("cash:")),
        credits_expired_micros=after.credits_expired_micros - start.credits_expired_micros,
        tiers={
            channel: (start.tiers[channel], tier)
            for channel, tier in after.tiers.items()
            if channel in start.tiers and start.tiers[channel] != tier
        },
        reminders=after.reminders - (start.reminders if goes_on else 0),
        balance_micros=(start.total_micros, after.total_micros),
        free_micros=(start.available_micros, after.available_micros),
        status=(start.status, after.status),
    )
