"""What the tests of the domain share: two plans, accounts on them, and the daily price by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction

from hypothesis import settings

from billing_mcp.domain.accrual import ComponentCount
from billing_mcp.domain.ledger import Entry, LedgerTransaction, Wallet, decide
from billing_mcp.domain.money import parse_micros
from billing_mcp.domain.periods import period_of
from billing_mcp.domain.plan_terms import Component, Plan, PlanBook
from billing_mcp.domain.plans import Account, AccountStatus, Outcome
from billing_mcp.domain.subscriptions import Phase, Subscription

PROPERTY = settings(max_examples=60, database=None, deadline=None)

ACCOUNT = "0190c0de-0000-7000-8000-00000000000a"


def eur(text: str) -> int:
    """The micros of an amount as people write it."""
    return parse_micros(text)


def day(text: str) -> date:
    return date.fromisoformat(text)


def moment(text: str) -> datetime:
    """`2026-06-12`, or `2026-06-12T09:30`, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


MAILBOX_COUNT = Component("mailbox", "mailbox", "Mailboxes", eur("0.35"))
PROXY_COUNT = Component("proxy", "proxy", "Proxies", eur("18.00"))
MAILBOX = Plan("smtp_per_mailbox", "SMTP per mailbox", "Per mailbox.", "EUR", eur("29.00"), (MAILBOX_COUNT,))
PROXY = Plan("smtp_per_proxy", "SMTP per proxy", "Per proxy.", "EUR", eur("99.00"), (PROXY_COUNT,))
PLANS: Mapping[str, Plan] = {MAILBOX.plan_id: MAILBOX, PROXY.plan_id: PROXY}
BOOK = PlanBook.of(PLANS.values())


def mailboxes(*dated: tuple[str, int]) -> tuple[ComponentCount, ...]:
    return tuple(ComponentCount("mailbox", day(on), quantity) for on, quantity in dated)


def account(
    *phases: tuple[str, Plan | None],
    available: str = "0.00",
    reserved: str = "0.00",
    counts: Sequence[ComponentCount] = (),
    anchor_day: int = 1,
    settled_through: str | None = None,
    status: AccountStatus = "active",
) -> Account:
    """An account that was on these plans, and has paid for nothing unless `settled_through` says so."""
    dated = tuple(Phase(day(on), plan.plan_id if plan else None) for on, plan in phases)
    settled = day(settled_through) if settled_through else dated[0].starts_on if dated else day("2026-06-01")
    return Account(
        status=status,
        wallet=Wallet(ACCOUNT, "EUR", eur(available), eur(reserved)),
        subscription=Subscription(ACCOUNT, anchor_day, settled, dated),
        counts=counts,
        plans=BOOK,
    )


def after(before: Account, outcome: Outcome, now: datetime) -> tuple[Account, tuple[LedgerTransaction, ...]]:
    """The account when an outcome is posted and saved, and what it left in the ledger."""
    wallet, posted = before.wallet, []
    for posting in outcome.postings:
        wallet, transaction = decide(wallet, posting, now=now)
        posted.append(transaction)
    changed = replace(before, wallet=wallet, subscription=outcome.subscription, status=outcome.account_status)
    return changed, tuple(posted)


def book(entries: Sequence[Entry]) -> dict[str, int]:
    """What a transaction moves on each ledger account."""
    return {entry.ledger_account: entry.amount_micros for entry in entries}


def cost_of_day(plan: Plan | None, quantities: Mapping[str, int], on: date, *, anchor_day: int) -> int:
    """What one day costs, told again from scratch: today's share of the month less yesterday's."""
    if plan is None:
        return 0
    period = period_of(on, anchor_day=anchor_day)
    passed = (on - period.start).days

    def share(monthly_micros: int) -> int:
        done, to_come = Fraction(passed, period.days), Fraction(passed + 1, period.days)
        return round(monthly_micros * to_come) - round(monthly_micros * done)

    units = sum(share(quantities.get(c.component_type, 0) * c.unit_price_micros) for c in plan.components)
    return share(plan.price_micros) + units
