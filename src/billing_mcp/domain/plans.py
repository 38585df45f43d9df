"""Owns the life of a subscription: what is pending, what a change or cancel settles and does.

Days are UTC and half-open; the day of a change belongs to the new plan. Nothing has to run
on the day a pending change falls due: a subscription is its dated phases, read as of today.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal

from billing_mcp.domain.accrual import ComponentCount, Plan, PlanSpan, accrue, total_micros
from billing_mcp.domain.clock import start_of
from billing_mcp.domain.errors import InvalidArgument, Refused
from billing_mcp.domain.ledger import AVAILABLE, RECEIVABLE, REVENUE, ROUNDING, Entry, LineItem, Posting, Wallet
from billing_mcp.domain.money import MICROS_PER_CENT, format_micros
from billing_mcp.domain.periods import period_of

PlanStatus = Literal["active", "trialing", "canceling", "past_due", "suspended", "canceled", "none"]
AccountStatus = Literal["active", "past_due", "suspended", "closed"]

ADJUSTMENT = "adjustment"
"""The `source` of a line that is not use: rounding, or what stayed unpaid."""
UNPAID = "Unpaid, carried as receivable"
"""The description of the line that carries a charge to what the wallet gave."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A plan from a day on, until the next phase; no plan is a canceled subscription."""

    starts_on: date
    plan_id: str | None


@dataclass(frozen=True, slots=True)
class Subscription:
    """The plans an account was, is and will be on. Every day before `settled_through` is charged.

    `anchor_day` is the day of the month on which its billing periods start; it never changes.
    """

    account_id: str
    anchor_day: int
    settled_through: date
    phases: tuple[Phase, ...] = ()

    def plan_on(self, day: date) -> str | None:
        """The plan in force on a day."""
        started = [phase for phase in self.phases if phase.starts_on <= day]
        return started[-1].plan_id if started else None

    def has_started(self, day: date) -> bool:
        """Whether there was ever a plan until `day`."""
        return any(phase.starts_on <= day for phase in self.phases)

    def settled(self, day: date) -> Subscription:
        """Every day before `day` is charged; a settled day is never opened again."""
        return replace(self, settled_through=max(self.settled_through, day))

    def pending_after(self, day: date) -> Phase | None:
        """The change or cancel that waits for a later day."""
        return next((phase for phase in self.phases if phase.starts_on > day), None)

    def unsettled(self, until: date) -> tuple[PlanSpan, ...]:
        """Which plan is in force on which uncharged days before `until`."""
        ends = [phase.starts_on for phase in self.phases[1:]] + [until]
        spans = []
        for phase, end in zip(self.phases, ends, strict=False):
            start, end = max(phase.starts_on, self.settled_through), min(end, until)
            if phase.plan_id is not None and start < end:
                spans.append(PlanSpan(phase.plan_id, start, end))
        return tuple(spans)

    def with_phase(self, phase: Phase) -> Subscription:
        """The phase replaces all that was to come on its day or later, and what was pending."""
        kept = tuple(p for p in self.phases if p.starts_on < phase.starts_on)
        return replace(self, phases=(*kept, phase))

    def without_pending(self, day: date) -> Subscription:
        """Nothing waits for a day after `day`."""
        return replace(self, phases=tuple(p for p in self.phases if p.starts_on <= day))


@dataclass(frozen=True, slots=True)
class Account:
    """All that a plan operation needs to know of an account."""

    status: AccountStatus
    wallet: Wallet
    subscription: Subscription
    counts: Sequence[ComponentCount]
    plans: Mapping[str, Plan]

    def shortfall_micros(self, due_micros: int) -> int:
        """What available does not cover of an amount that is due."""
        return max(0, due_micros - max(0, self.wallet.available_micros))

    def status_when_owing(self, owed_micros: int) -> AccountStatus:
        """An active account that owes a cent or more is past_due; a worse status stays."""
        return "past_due" if owed_micros >= MICROS_PER_CENT and self.status == "active" else self.status

    def accrued(self, until: date) -> tuple[LineItem, ...]:
        """The lines of what was used before `until` and not yet charged."""
        subscription = self.subscription
        spans = subscription.unsettled(until)
        return accrue(spans, self.counts, self.plans, anchor_day=subscription.anchor_day)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a plan operation decided, to be posted and saved."""

    postings: tuple[Posting, ...]
    subscription: Subscription
    account_status: AccountStatus
    effective_at: datetime
    scheduled: bool
    previous_plan_id: str | None
    target_plan_id: str | None


def plan_status(subscription: Subscription | None, account_status: AccountStatus, today: date) -> PlanStatus:
    """The status of the plan; trouble with the account outranks a pending cancel."""
    if subscription is None:
        return "none"
    if subscription.plan_on(today) is None or account_status == "closed":
        return "canceled" if subscription.has_started(today) else "none"
    if account_status in ("past_due", "suspended"):
        return account_status
    pending = subscription.pending_after(today)
    return "canceling" if pending is not None and pending.plan_id is None else "active"


def change(account: Account, plan: Plan, *, on: date | None, now: datetime) -> Outcome:
    """Move to `plan` now (what has accrued is settled first), or on a later day.

    Raises: effective_date_in_past, plan_unchanged, account_not_active, currency_mismatch.
    """
    today = now.date()
    subscription = account.subscription
    previous = subscription.plan_on(today)
    if on is not None and on < today:
        raise InvalidArgument(
            f"effective_date {on.isoformat()} is in the past; today is {today.isoformat()} (UTC)",
            code="effective_date_in_past",
            field="effective_date",
            hint="Leave effective_date out to change now, or give a later date.",
        )
    if plan.plan_id == previous:
        pending = subscription.pending_after(today)
        hint = "billing.plan.resume undoes the pending change or cancel." if pending else None
        raise Refused(f"the account is already on {plan.plan_id}", code="plan_unchanged", hint=hint)
    if plan.currency != account.wallet.currency:
        raise Refused(
            f"{plan.plan_id} is priced in {plan.currency}, the account's wallet is in {account.wallet.currency}",
            code="currency_mismatch",
        )
    if account.status != "active":
        raise Refused(
            f"the account is {account.status}; its plan cannot be changed",
            code="account_not_active",
            hint="Settle the unpaid invoice first; billing.plan.cancel is always possible.",
        )
    if not subscription.has_started(today):  # the first plan's first day is when billing starts
        start = on or today
        subscription = replace(subscription, anchor_day=start.day, settled_through=start)
    if on is not None and on > today:
        pending_change = subscription.without_pending(today).with_phase(Phase(on, plan.plan_id))
        return Outcome((), pending_change, account.status, start_of(on), True, previous, plan.plan_id)
    lines = account.accrued(today)
    postings = (charge(account, lines, now),) if lines else ()
    switched = subscription.with_phase(Phase(today, plan.plan_id)).settled(today)
    return Outcome(postings, switched, account.status, now, False, previous, plan.plan_id)


def cancel(account: Account, *, immediately: bool, now: datetime) -> Outcome:
    """End the plan at the end of the billing period, or now.

    Never fails for want of funds: what the wallet cannot cover becomes receivable and the
    account past_due. Raises: no_plan, already_canceling.
    """
    today = now.date()
    subscription = account.subscription
    previous = subscription.plan_on(today)
    if previous is None:
        raise Refused("the account has no plan to cancel", code="no_plan")
    if not immediately:
        pending = subscription.pending_after(today)
        if pending is not None and pending.plan_id is None:
            raise Refused(
                f"the plan already ends on {pending.starts_on.isoformat()}",
                code="already_canceling",
                hint="billing.plan.resume undoes the cancel; cancel_immediately=True ends the plan now.",
            )
        end = period_of(today, anchor_day=subscription.anchor_day).end
        ending = subscription.without_pending(today).with_phase(Phase(end, None))
        return Outcome((), ending, account.status, start_of(end), True, previous, None)
    lines = account.accrued(today)
    short = account.shortfall_micros(total_micros(lines))
    postings = (charge(account, lines, now, receivable_micros=short),) if lines else ()
    ended = subscription.with_phase(Phase(today, None)).settled(today)
    status = account.status_when_owing(short)
    return Outcome(postings, ended, status, now, False, previous, None)


def resume(account: Account, *, now: datetime) -> Outcome:
    """Undo the pending change or cancel. Raises: nothing_pending."""
    today = now.date()
    subscription = account.subscription
    pending = subscription.pending_after(today)
    if pending is None:
        raise Refused("no change or cancel of the plan is pending", code="nothing_pending")
    kept = subscription.without_pending(today)
    current = subscription.plan_on(today)
    return Outcome((), kept, account.status, now, False, pending.plan_id, current)


def charge(
    account: Account,
    lines: Sequence[LineItem],
    now: datetime,
    *,
    receivable_micros: int = 0,
    rounding_micros: int = 0,
) -> Posting:
    """The posting that charges `lines` to the wallet.

    `receivable_micros` of it stays owed instead (negative: a debt is lowered), and
    `rounding_micros` is added to what is due, so that an invoice can be paid in whole cents.
    Both appear as lines, so that the lines always sum to what the wallet gives.
    """
    due = total_micros(lines) + rounding_micros
    currency = account.wallet.currency
    entries = (
        Entry(AVAILABLE, receivable_micros - due, currency),
        Entry(RECEIVABLE, -receivable_micros, currency),
        Entry(REVENUE, total_micros(lines), currency),
        Entry(ROUNDING, rounding_micros, currency),
    )
    unpaid = f"; {format_micros(receivable_micros)} {currency} unpaid" if receivable_micros > 0 else ""
    what = f"Plan charges {lines[0].period_start} to {lines[-1].period_end}" if lines else "Rounding of an invoice"
    return Posting(
        account_id=account.wallet.account_id,
        type="charge" if lines else "rounding",
        description=f"{what}{unpaid}",
        entries=tuple(entry for entry in entries if entry.amount_micros),
        effective_at=now,
        line_items=tuple(lines) + _adjustment_lines(receivable_micros, rounding_micros),
    )


def _adjustment_lines(receivable_micros: int, rounding_micros: int) -> tuple[LineItem, ...]:
    """The lines that carry a charge from what was used to what the wallet gives."""
    lines = []
    if rounding_micros:
        lines.append(adjustment(ROUNDING, "Rounding of the invoice to cents", rounding_micros))
    if receivable_micros:
        lines.append(
            adjustment(
                RECEIVABLE,
                UNPAID if receivable_micros > 0 else "Taken off the debt",
                -receivable_micros,
            )
        )
    return tuple(lines)


def adjustment(component_type: str, description: str, amount_micros: int) -> LineItem:
    """A line that is not use, of an amount that the wallet gives more, or less than none."""
    return LineItem(component_type, description, "1", "unit", amount_micros, amount_micros, ADJUSTMENT)
