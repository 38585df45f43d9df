"""Whatever is done to a plan and in whatever order: every day is charged once, and the books balance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.domain.accrual import ComponentCount, total_micros
from billing_mcp.domain.clock import start_of
from billing_mcp.domain.errors import InsufficientFunds, InvalidArgument, Refused
from billing_mcp.domain.ledger import sums_by_currency
from billing_mcp.domain.plan_terms import Plan
from billing_mcp.domain.plans import Account, Outcome, cancel, change, resume
from billing_mcp.domain.subscriptions import Phase, Subscription
from tests.domain.builders import PLANS, PROPERTY, account, after, cost_of_day

START = date(2027, 11, 20)
DAYS = st.integers(min_value=0, max_value=25)
PLAN = st.sampled_from(sorted(PLANS.values(), key=lambda plan: plan.plan_id))
Act = Callable[[Account, datetime], Outcome]


def changing(plan: Plan, in_days: int | None) -> Act:
    def act(now_on: Account, now: datetime) -> Outcome:
        on = None if in_days is None else now.date() + timedelta(days=in_days)
        return change(now_on, plan, on=on, now=now)

    return act


def canceling(immediately: bool) -> Act:
    return lambda now_on, now: cancel(now_on, immediately=immediately, now=now)


def resuming(now_on: Account, now: datetime) -> Outcome:
    return resume(now_on, now=now)


ACTS = st.builds(changing, PLAN, st.none() | DAYS) | st.builds(canceling, st.booleans()) | st.just(resuming)
COUNTS = st.lists(
    st.builds(
        ComponentCount,
        component_type=st.sampled_from(["mailbox", "proxy"]),
        effective_on=DAYS.map(lambda n: START + timedelta(days=n * 5)),
        quantity=st.integers(min_value=0, max_value=300),
    ),
    max_size=6,
    unique_by=lambda c: (c.component_type, c.effective_on),
)
ANCHORS = st.integers(min_value=1, max_value=31)


@dataclass
class Life:
    """An account that is lived day by day, and a diary of the plan in force at the end of each day."""

    account: Account
    today: date
    diary: dict[date, str | None]
    revenue_micros: int = 0

    def wait(self, days: int) -> None:
        for on in (self.today + timedelta(days=n) for n in range(days)):
            self.diary[on] = self.account.subscription.plan_on(on)
        self.today += timedelta(days=days)

    def do(self, act: Act) -> None:
        """One act, posted and saved; or refused, and then nothing has happened."""
        now = start_of(self.today) + timedelta(hours=9)
        try:
            outcome = act(self.account, now)
            changed, posted = after(self.account, outcome, now)
        except (Refused, InvalidArgument):
            return
        for transaction in posted:
            assert sums_by_currency(transaction.entries) == {"EUR": 0}
            given = sum(e.amount_micros for e in transaction.entries if e.ledger_account == "available")
            assert total_micros(transaction.line_items) == -given
            self.revenue_micros += sum(e.amount_micros for e in transaction.entries if e.ledger_account == "revenue")
        assert changed.wallet.available_micros >= 0
        assert changed.subscription.settled_through >= self.account.subscription.settled_through
        starts = [phase.starts_on for phase in changed.subscription.phases]
        assert starts == sorted(set(starts))
        self.account = changed

    def cost(self, start: date, end: date) -> int:
        """What the diary says that the days cost, day by day."""
        total = 0
        for on in (start + timedelta(days=n) for n in range((end - start).days)):
            in_force = sorted((c for c in self.account.counts if c.effective_on <= on), key=lambda c: c.effective_on)
            quantities = {c.component_type: c.quantity for c in in_force}
            plan_id = self.diary[on]
            plan = PLANS[plan_id] if plan_id else None
            total += cost_of_day(plan, quantities, on, anchor_day=self.account.subscription.anchor_day)
        return total


def begin(available_micros: int, counts: list[ComponentCount], anchor_day: int) -> Life:
    opened = account(counts=counts, anchor_day=anchor_day, settled_through=START.isoformat())
    return Life(replace(opened, wallet=replace(opened.wallet, available_micros=available_micros)), START, {})


@PROPERTY
@given(
    available_micros=st.integers(min_value=0, max_value=10**9),
    counts=COUNTS,
    anchor_day=ANCHORS,
    first=PLAN,
    steps=st.lists(st.tuples(DAYS, ACTS), max_size=10),
)
def test_every_day_is_charged_once_at_the_plan_that_was_in_force_on_it(
    available_micros: int, counts: list[ComponentCount], anchor_day: int, first: Plan, steps: list[tuple[int, Act]]
) -> None:
    life = begin(available_micros, counts, anchor_day)
    life.do(changing(first, None))
    for days, act in steps:
        life.wait(days)
        life.do(act)
        settled = life.account.subscription.settled_through
        assert life.revenue_micros == life.cost(START, settled)
        assert total_micros(life.account.accrued(life.today)) == life.cost(settled, life.today)


@PROPERTY
@given(
    available_micros=st.integers(min_value=0, max_value=10**8),
    counts=COUNTS,
    anchor_day=ANCHORS,
    first=PLAN,
    days=st.integers(min_value=0, max_value=80),
)
def test_an_immediate_cancel_never_fails_and_what_the_wallet_lacks_is_owed(
    available_micros: int, counts: list[ComponentCount], anchor_day: int, first: Plan, days: int
) -> None:
    life = begin(available_micros, counts, anchor_day)
    life.do(changing(first, None))
    life.wait(days)
    now = start_of(life.today)
    due = total_micros(life.account.accrued(life.today))
    ended, posted = after(life.account, cancel(life.account, immediately=True, now=now), now)
    owed = -sum(e.amount_micros for t in posted for e in t.entries if e.ledger_account == "receivable")
    assert (available_micros - ended.wallet.available_micros) + owed == due
    assert owed == max(0, due - available_micros)
    assert ended.status == ("past_due" if owed else "active")


@PROPERTY
@given(available_micros=st.integers(min_value=0, max_value=10**8), counts=COUNTS, days=st.integers(1, 80), first=PLAN)
def test_a_change_now_is_refused_exactly_when_the_wallet_does_not_cover_what_has_accrued(
    available_micros: int, counts: list[ComponentCount], days: int, first: Plan
) -> None:
    life = begin(available_micros, counts, 1)
    life.do(changing(first, None))
    life.wait(days)
    now, due = start_of(life.today), total_micros(life.account.accrued(life.today))
    (other,) = (plan for plan in PLANS.values() if plan != first)
    outcome = change(life.account, other, on=None, now=now)
    if due > available_micros:
        with pytest.raises(InsufficientFunds) as refused:
            after(life.account, outcome, now)
        assert refused.value.code == "insufficient_funds"
    else:
        changed, _ = after(life.account, outcome, now)
        assert changed.wallet.available_micros == available_micros - due


@PROPERTY
@given(
    anchor_day=ANCHORS,
    first=PLAN,
    days=DAYS,
    scheduled=st.lists(st.none() | st.integers(min_value=1, max_value=60), min_size=1, max_size=4),
)
def test_a_change_or_cancel_that_is_resumed_before_its_day_leaves_no_trace(
    anchor_day: int, first: Plan, days: int, scheduled: list[int | None]
) -> None:
    life = begin(0, [], anchor_day)
    life.do(changing(first, None))
    life.wait(days)
    before = life.account
    (other,) = (plan for plan in PLANS.values() if plan != first)
    for in_days in scheduled:
        life.do(changing(other, in_days) if in_days else canceling(immediately=False))
        assert life.account.subscription.phases[:-1] == before.subscription.phases
    life.do(resuming)
    assert life.account == before


@PROPERTY
@given(
    settled=DAYS,
    until=st.integers(min_value=0, max_value=120),
    starts=st.lists(st.tuples(DAYS, st.none() | PLAN), max_size=6, unique_by=lambda phase: phase[0]),
)
def test_unsettled_days_are_those_with_a_plan_that_are_not_charged_yet(
    settled: int, until: int, starts: list[tuple[int, Plan | None]]
) -> None:
    dated = sorted(starts, key=lambda phase: phase[0])
    phases = tuple(Phase(START + timedelta(days=n), plan.plan_id if plan else None) for n, plan in dated)
    subscription = Subscription("a", 1, START + timedelta(days=settled), phases)
    days = {
        span.start + timedelta(days=n): span.plan_id
        for span in subscription.unsettled(START + timedelta(days=until))
        for n in range((span.end - span.start).days)
    }
    open_days = [START + timedelta(days=n) for n in range(settled, until)]
    assert days == {on: plan for on in open_days if (plan := subscription.plan_on(on)) is not None}
