"""Owns what a change of plan would settle, found by deciding it and not doing it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from billing_mcp.domain.accrual import total_micros
from billing_mcp.domain.errors import InvalidArgument, Refused
from billing_mcp.domain.ledger import AVAILABLE
from billing_mcp.domain.periods import period_of
from billing_mcp.domain.plan_terms import BillingPeriod, Plan
from billing_mcp.domain.plans import Account, Outcome, change


@dataclass(frozen=True, slots=True)
class ChangeNow:
    """What a change would charge at once, and what the wallet lacks for it. Nothing where it would be refused."""

    due_micros: int
    shortfall_micros: int
    possible: bool


@dataclass(frozen=True, slots=True)
class ChangeLater:
    """What is charged on the day of a change for the days of the month that ends with it."""

    on: date
    due_micros: int


def change_now(account: Account, plan: Plan, billing_period: BillingPeriod, now: datetime) -> ChangeNow:
    """What a change to these terms would charge now."""
    outcome = _decided(account, plan, billing_period, None, now)
    if outcome is None:
        return ChangeNow(0, 0, possible=False)
    entries = (entry for posting in outcome.postings for entry in posting.entries)
    due = -sum(entry.amount_micros for entry in entries if entry.ledger_account == AVAILABLE)
    short = account.shortfall_micros(due)
    return ChangeNow(due, short, possible=not short)


def change_at_period_end(
    account: Account, plan: Plan, billing_period: BillingPeriod, on: date, now: datetime
) -> ChangeLater | None:
    """What a change to these terms on a later day would charge on it, with the counts that are known by now.

    Months that end before are taken as closed by then. None where it would be refused.
    """
    outcome = _decided(account, plan, billing_period, on, now)
    if outcome is None:
        return None
    month = period_of(on - timedelta(days=1), anchor_day=outcome.subscription.anchor_day)
    then = replace(account, subscription=outcome.subscription.settled(month.start))
    return ChangeLater(on, total_micros(then.accrued(on)))


def _decided(
    account: Account, plan: Plan, billing_period: BillingPeriod, on: date | None, now: datetime
) -> Outcome | None:
    try:
        return change(account, plan, on=on, now=now, billing_period=billing_period)
    except (Refused, InvalidArgument):
        return None
