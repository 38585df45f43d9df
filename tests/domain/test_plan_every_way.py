"""Whatever is done to a plan, in every order there is: it is what someone would reckon on paper, day by day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pytest

from billing_mcp.domain.accrual import ComponentCount, total_micros
from billing_mcp.domain.clock import start_of
from billing_mcp.domain.errors import BillingError
from billing_mcp.domain.ledger import REVENUE
from billing_mcp.domain.periods import period_of
from billing_mcp.domain.plan_terms import BillingPeriod, Plan, PlanBook
from billing_mcp.domain.plans import Account, Outcome, cancel, change, plan_status, resume
from tests.domain.builders import MAILBOX, MAILBOX_COUNT, PROXY, account, eur
from tests.domain.naive_plans import Naive

A = replace(
    MAILBOX,
    components=(replace(MAILBOX_COUNT, included=10),),
    yearly_price_micros=eur("290.00"),
    minimum_micros=eur("31.00"),
)
B = replace(PROXY, yearly_price_micros=eur("990.01"))
BOOK = PlanBook.of([A, B])
UNITS = 13
LATER = timedelta(days=10)


@dataclass(frozen=True, slots=True)
class Both:
    """The account, what it was charged, and the same on paper."""

    account: Account
    charged_micros: int
    paper: Naive

    @property
    def today(self) -> date:
        return self.paper.today

    def decide(self, decide: Callable[[], Outcome], on_paper: Naive | str) -> Both:
        """What is decided is posted and saved; a refusal is the same on paper."""
        if isinstance(on_paper, str):
            with pytest.raises(BillingError) as refused:
                decide()
            assert refused.value.code == on_paper
            return self
        outcome = decide()
        revenue = sum(e.amount_micros for p in outcome.postings for e in p.entries if e.ledger_account == REVENUE)
        return Both(replace(self.account, subscription=outcome.subscription), self.charged_micros + revenue, on_paper)

    def closed(self) -> Both:
        """The month that ends today is closed."""
        lines = self.account.accrued(self.today)
        subscription = self.account.subscription.settled(self.today)
        closed = replace(self.account, subscription=subscription)
        return Both(closed, self.charged_micros + total_micros(lines), self.paper)

    @property
    def key(self) -> tuple[object, ...]:
        """What is the same where all is."""
        return self.account.subscription, self.charged_micros, self.paper

    def check(self, done: tuple[str, ...]) -> None:
        """Both say the same."""
        subscription, paper = self.account.subscription, self.paper
        assert self.charged_micros + total_micros(self.account.accrued(paper.today)) == paper.due_micros, done
        used, least = paper.stretch
        missing = max(0, least - used)
        assert self.charged_micros + self.account.accrued_micros(paper.today) == paper.due_micros + missing, done
        phase = subscription.phase_on(paper.today)
        now = None if paper.now is None else (paper.now.plan.plan_id, paper.now.period)
        assert (None if phase is None else (phase.plan_id, phase.billing_period)) == now, done
        pending = subscription.pending_after(paper.today)
        waits = None if paper.pending is None else (paper.pending[0], paper.pending[1] and paper.pending[1].plan_id)
        assert (None if pending is None else (pending.starts_on, pending.plan_id)) == waits, done
        canceling = now is not None and waits is not None and waits[1] is None
        assert (plan_status(subscription, "active", paper.today) == "canceling") == canceling, done


Act = Callable[[Both], Both]


def changes(plan: Plan, period: BillingPeriod, later: timedelta | None = None) -> Act:
    def act(both: Both) -> Both:
        on, paper = (None if later is None else both.today + later), both.paper
        told = paper.change(plan, period) if on is None else paper.change_later(on, plan, period)
        now = start_of(both.today)
        return both.decide(lambda: change(both.account, plan, on=on, now=now, billing_period=period), told)

    return act


def cancels(*, now: bool) -> Act:
    def act(both: Both) -> Both:
        at = start_of(both.today)
        return both.decide(lambda: cancel(both.account, immediately=now, now=at), both.paper.cancel(now=now))

    return act


def resumes(both: Both) -> Both:
    return both.decide(lambda: resume(both.account, now=start_of(both.today)), both.paper.resume())


def a_day_passes(both: Both) -> Both:
    """Nobody closes a month, though one may have ended."""
    return replace(both, paper=both.paper.days(1))


def a_month_passes(both: Both) -> Both:
    end = period_of(both.today, anchor_day=both.account.subscription.anchor_day).end
    return replace(both, paper=both.paper.days((end - both.today).days)).closed()


def a_year_passes(both: Both) -> Both:
    for _ in range(12):
        both = a_month_passes(both)
    return both


ACTS: dict[str, Act] = {
    "A monthly": changes(A, "monthly"),
    "A yearly": changes(A, "yearly"),
    "B monthly": changes(B, "monthly"),
    "B yearly": changes(B, "yearly"),
    "B monthly, later": changes(B, "monthly", LATER),
    "A yearly, later": changes(A, "yearly", LATER),
    "cancel": cancels(now=False),
    "cancel now": cancels(now=True),
    "resume": resumes,
    "a day": a_day_passes,
    "a month": a_month_passes,
    "a year": a_year_passes,
}
STARTS: dict[str, tuple[str, ...]] = {
    "from the end of a month": (),
    "from a year that has begun": ("A yearly", "a month", "a day"),
}


def begin(day: date) -> Both:
    counts = [ComponentCount(each, day - LATER, UNITS) for each in ("mailbox", "proxy")]
    opened = account(counts=counts, settled_through=day.isoformat())
    return Both(replace(opened, plans=BOOK), 0, Naive(day, UNITS))


def explore(begun: Both, length: int) -> int:
    """Every sequence of so many acts; how many there are. What comes to the same is looked at once."""
    found: dict[Any, tuple[Both, tuple[str, ...], int]] = {begun.key: (begun, (), 1)}
    for _ in range(length):
        before, found = found.values(), {}
        for both, done, ways in before:
            for name, act in ACTS.items():
                then = act(both)
                known = found.get(then.key)
                if known is None:
                    then.check((*done, name))
                found[then.key] = (then, (*done, name), ways + (known[2] if known else 0))
    return sum(ways for _, _, ways in found.values())


@pytest.mark.parametrize(("start", "length"), [("from the end of a month", 4), ("from a year that has begun", 3)])
def test_every_sequence_of_changes_cancels_resumes_and_days_is_charged_as_on_paper(start: str, length: int) -> None:
    both = begin(date(2027, 12, 31))
    for name in STARTS[start]:
        both = ACTS[name](both)
    assert explore(both, length) == len(ACTS) ** length
