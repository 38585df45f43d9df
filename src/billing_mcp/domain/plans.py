"""Owns the life of a plan: what a change, cancel or resume does to a subscription, and what it settles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal

from billing_mcp.domain.accrual import ComponentCount, PlanSpan, accrue, total_micros
from billing_mcp.domain.clock import start_of
from billing_mcp.domain.errors import InvalidArgument, Refused
from billing_mcp.domain.ledger import AVAILABLE, RECEIVABLE, REVENUE, ROUNDING, Entry, LineItem, Posting, Wallet
from billing_mcp.domain.money import MICROS_PER_CENT, format_micros
from billing_mcp.domain.periods import Period
from billing_mcp.domain.plan_terms import BillingPeriod, Plan, PlanBook
from billing_mcp.domain.plan_years import discount_taken_back, takes_back_a_discount
from billing_mcp.domain.subscriptions import Phase, Subscription

PlanStatus = Literal["active", "trialing", "canceling", "past_due", "suspended", "canceled", "none"]
AccountStatus = Literal["active", "past_due", "suspended", "closed"]

ADJUSTMENT = "adjustment"
"""The `source` of a line that is not use: rounding, or what stayed unpaid."""
UNPAID = "Unpaid, carried as receivable"
"""The description of the line that carries a charge to what the wallet gave."""


@dataclass(frozen=True, slots=True)
class Account:
    """All that a plan operation needs to know of an account."""

    status: AccountStatus
    wallet: Wallet
    subscription: Subscription
    counts: Sequence[ComponentCount]
    plans: PlanBook

    def shortfall_micros(self, due_micros: int) -> int:
        """What available does not cover of an amount that is due."""
        return max(0, due_micros - max(0, self.wallet.available_micros))

    def status_when_owing(self, owed_micros: int) -> AccountStatus:
        """An active account that owes a cent or more is past_due; a worse status stays."""
        return "past_due" if owed_micros >= MICROS_PER_CENT and self.status == "active" else self.status

    def accrued(self, until: date) -> tuple[LineItem, ...]:
        """The lines of what was used before `until` and not yet charged; discounts are taken back until that day."""
        subscription = self.subscription
        used = self._used(subscription.unsettled(until))
        left = subscription.years_left(subscription.settled_through, until)
        return (*used, *(line for day, year in left for line in self.taken_back(day, year)))

    def accrued_micros(self, until: date) -> int:
        """What has accrued before `until`, with what is missing so far to a minimum fee."""
        subscription = self.subscription
        spans = tuple(replace(span, over=True) for span in subscription.unsettled(until))
        left = subscription.years_left(subscription.settled_through, until)
        return total_micros((*self._used(spans), *(line for day, year in left for line in self.taken_back(day, year))))

    def due_when(self, becomes: Subscription, today: date) -> tuple[LineItem, ...]:
        """The lines that are due when the subscription becomes another one from today on."""
        lines = replace(self, subscription=becomes).accrued(today)
        year = self.subscription.year_left_by(becomes, today)
        if year is None or self.subscription.settled_through < today:  # then the lines have it
            return lines
        return (*lines, *self.taken_back(today, year))

    def taken_back(self, day: date, year: Period) -> tuple[LineItem, ...]:
        """The line of the discount that is taken back when a year is left on a day."""
        spans = self.subscription.spans(year.start, day)
        return discount_taken_back(spans, self.plans, year, left_on=day, anchor_day=self.subscription.anchor_day)

    def _used(self, spans: Sequence[PlanSpan]) -> tuple[LineItem, ...]:
        return accrue(spans, self.counts, self.plans, anchor_day=self.subscription.anchor_day)


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


def change(
    account: Account, plan: Plan, *, on: date | None, now: datetime, billing_period: BillingPeriod | None = None
) -> Outcome:
    """Move to the terms `plan` now (what has accrued is settled first), or on a later day.

    Without a billing period it stays that of the plan in force, or else it is monthly.
    Raises: effective_date_in_past, plan_unchanged, account_not_active, currency_mismatch, not_sold_yearly.
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
    wanted = _wanted(subscription.without_pending(today), plan, on or today, billing_period)
    _check_changes_something(account, plan, wanted, today)
    if wanted.billing_period == "yearly" and plan.yearly_price_micros is None:
        raise InvalidArgument(
            f"{plan.plan_id} has no price for a year",
            code="not_sold_yearly",
            field="billing_period",
            hint="Write billing_period='monthly'; billing.plans.list tells which plans have a yearly price.",
        )
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
        pending_change = subscription.without_pending(today).with_phase(wanted)
        return Outcome((), pending_change, account.status, start_of(on), True, previous, plan.plan_id)
    switched = subscription.with_phase(wanted)
    lines = account.due_when(switched, today)
    postings = (charge(account, lines, now),) if lines else ()
    return Outcome(postings, switched.settled(today), account.status, now, False, previous, plan.plan_id)


def _wanted(subscription: Subscription, plan: Plan, day: date, billing_period: BillingPeriod | None) -> Phase:
    """The phase of a plan from a day on. Between plans that are paid by the year, the year goes on."""
    before = subscription.phase_on(day)
    period = billing_period or (before.billing_period if before else "monthly")
    goes_on = before is not None and before.billing_period == "yearly"
    year = (before.year_since if before and goes_on else day) if period == "yearly" else None
    return Phase(day, plan.plan_id, period, plan.version, year)


def _check_changes_something(account: Account, plan: Plan, wanted: Phase, today: date) -> None:
    """Raises plan_unchanged: plan, billing period and version of its prices are those that it has on that day."""
    subscription = account.subscription
    before = subscription.without_pending(today).phase_on(wanted.starts_on)
    if before is None or (before.plan_id, before.billing_period) != (wanted.plan_id, wanted.billing_period):
        return
    if account.plans.terms(plan.plan_id, before.price_version, before.starts_on).version == plan.version:
        hint = "billing.plan.resume undoes the pending change or cancel." if subscription.pending_after(today) else None
        by = " by the year" if wanted.billing_period == "yearly" else ""
        raise Refused(f"the account is already on {plan.plan_id}{by}", code="plan_unchanged", hint=hint)


def cancel(account: Account, *, immediately: bool, now: datetime) -> Outcome:
    """End the plan at the end of the billing period (the month, or the year of a yearly plan), or now.

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
        end = subscription.period_on(today).end
        ending = subscription.without_pending(today).with_phase(Phase(end, None))
        return Outcome((), ending, account.status, start_of(end), True, previous, None)
    ended = subscription.with_phase(Phase(today, None))
    lines = account.due_when(ended, today)
    short = account.shortfall_micros(total_micros(lines))
    postings = (charge(account, lines, now, receivable_micros=short),) if lines else ()
    status = account.status_when_owing(short)
    return Outcome(postings, ended.settled(today), status, now, False, previous, None)


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
    what = f"Plan charges {_days_of(lines)}" if lines else "Rounding of an invoice"
    return Posting(
        account_id=account.wallet.account_id,
        type="charge" if lines else "rounding",
        description=f"{what}{unpaid}",
        entries=tuple(entry for entry in entries if entry.amount_micros),
        effective_at=now,
        line_items=tuple(lines) + _adjustment_lines(receivable_micros, rounding_micros),
    )


def _days_of(lines: Sequence[LineItem]) -> str:
    """The days of use that the lines are for; the day on which a discount is taken back is none."""
    used = [line for line in lines if not takes_back_a_discount(line)]
    if not used:
        return f"on {lines[0].period_start}"
    return f"{used[0].period_start} to {used[-1].period_end}"


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
