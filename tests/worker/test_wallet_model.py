"""One wallet beside a small model of it: money in and out, debts, reloads, alerts, late webhooks, and time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from datetime import datetime, timedelta
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from billing_mcp.domain.errors import BillingError
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.payments import Facts
from billing_mcp.domain.reloads import month_of
from billing_mcp.domain.topups import UNSETTLED, TopUp
from billing_mcp.operations.credits import open_credits_micros
from billing_mcp.operations.platform_money import PlatformMoney
from billing_mcp.store.store import Store
from tests.store.lives import SOAK, Fresh, explore, fresh_databases, fresh_files
from tests.worker.till import CENT, EUR, Till, Webhook

START = datetime.fromisoformat("2026-03-12T10:00:00+00:00")
TOKENS = (
    "tok_visa",
    "tok_declined",
    "tok_authenticate_later",
    "tok_authenticate_fails",
    "tok_timeout_charged",
    "tok_timeout_declined",
    "tok_timeout_not_charged",
    "tok_webhooks_twice",
    "tok_webhooks_unordered",
    "tok_dispute_won",
    "tok_dispute_lost",
    "tok_sepa",
    "tok_sepa_fails",
    "tok_sepa_returned",
)
FAR = timedelta(days=300)
SUSPENDED_AFTER = timedelta(days=14)
LEVELS = (40 * EUR, 15 * EUR)
hows = st.sampled_from([{"amount": "15.00"}, {"amount": "50.00"}, {"target": "90.00"}])
cooldowns = st.sampled_from([0, 1, 24])

T = TypeVar("T")


class Bell:
    """The model of an alert: low below its level, well again a tenth above it; a crossing is told once a while."""

    def __init__(self, level: int, cooldown: timedelta) -> None:
        self.level, self.cooldown = level, cooldown
        self.low = self.told = False
        self.told_at: datetime | None = None

    def hear(self, balance: int, now: datetime) -> list[tuple[str, str]]:
        """What is told when the balance has become this."""
        name = format_micros(self.level)
        if not self.low and balance < self.level:
            self.low = True
            self.told = self.told_at is None or now - self.told_at >= self.cooldown
            if self.told:
                self.told_at = now
                return [("billing.balance_low", name)]
        elif self.low and balance >= self.level + max(self.level // 10, EUR):
            self.low = False
            if self.told:
                return [("billing.balance_recovered", name)]
        return []


class Wallet(RuleBasedStateMachine):
    """An account of one database, and the model of it."""

    def __init__(self, runner: asyncio.Runner, fresh: Fresh) -> None:
        super().__init__()
        self.runner = runner
        self.database = fresh()
        self.now = START
        self.given = self.spent = 0
        self.holds: dict[str, int] = {}
        self.bells: list[Bell] = []
        self.told: Counter[tuple[str, str]] = Counter()
        self.webhooks: list[Webhook] = []
        self.debts, self.owes_since = 0, START
        self.declines = 0
        self.seen: dict[str, str] = {}
        self.counted: set[str] = set()
        self.till, self.account_id = self.run(self.open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def open(self) -> tuple[Till, str]:
        store = await Store.open(await self.database.__aenter__())
        till = await Till.open(store, lambda: self.now)
        self.money = PlatformMoney(store, till.clock)
        account_id = await till.account()
        self.listen(till)
        return till, account_id

    def listen(self, till: Till) -> None:
        """The bells hear every balance that is committed by what a provider tells."""
        learn = till.charging._learn

        async def heard(*told: Any, **named: Any) -> None:
            await learn(*told, **named)
            await self.ring()

        till.charging._learn = heard  # type: ignore[method-assign]

    async def ring(self) -> None:
        """What money will pay of a debt is as good as gone: it does before anybody hears of the balance."""
        wallet = await self.till.wallet(self.account_id)
        pays = min(await self.owed(), wallet.available_micros, wallet.total_micros - await self.credits())
        left = wallet.available_micros - max(0, pays)
        for bell in self.bells:
            self.told.update(bell.hear(left, self.now))

    async def credits(self) -> int:
        """What is left of what was given."""
        async with self.till.app.store.read(self.now) as tx:
            return await open_credits_micros(tx, self.account_id)

    async def owed(self) -> int:
        async with self.till.store.read(self.now) as tx:
            return -await tx.ledger.receivable_micros(self.account_id)

    # Steps

    @initialize(token=st.sampled_from(TOKENS), threshold=st.sampled_from(["20.00", "60.00"]), how=hows, hours=cooldowns)
    def begin(self, token: str, threshold: str, how: dict[str, str], hours: int) -> None:
        self.give(100)
        self.use(token)
        self.set_alerts(set(LEVELS), hours)
        self.set_reload(True, threshold, how, "100.00")

    @rule(token=st.sampled_from(TOKENS))
    def use(self, token: str) -> None:
        self.run(self.till.method(self.account_id, token))

    @rule(amount=st.sampled_from([1, 20, 100]))
    def give(self, amount: int) -> None:
        self.give_micros(amount * EUR)

    @rule(level=st.sampled_from(LEVELS), margin=st.sampled_from([-1, 0, EUR // 2, 4 * EUR]))
    def be_near(self, level: int, margin: int) -> None:
        """The balance comes to lie right at a level, from above or from below."""
        available = self.run(self.till.wallet(self.account_id)).available_micros
        missing = level + margin - available
        if missing > 0:
            self.give_micros(missing)
        elif missing < 0 and self.run(self.till.status(self.account_id)) == "active":
            self.hold_micros(-missing)

    def give_micros(self, micros: int) -> None:
        self.run(self.money.credit(self.account_id, micros, reason="Model"))
        self.given += micros
        self.run(self.ring())

    @rule(amount=st.sampled_from([3, 12, 30, 90]))
    def hold(self, amount: int) -> None:
        self.hold_micros(amount * EUR)

    def hold_micros(self, micros: int) -> None:
        status = self.run(self.till.status(self.account_id))
        available = self.run(self.till.wallet(self.account_id)).available_micros
        refused = "account_not_active" if status != "active" else "insufficient_funds"
        if status != "active" or available < micros:
            with pytest.raises(BillingError) as told:
                self.run(self.till.app.holds.place(self.account_id, micros))
            assert told.value.code == refused
            return
        wanted = self.till.app.holds.place(self.account_id, micros, expires_at=self.now + FAR)
        placed = self.run(wanted).hold
        assert placed is not None
        self.holds[placed.hold_id] = micros
        self.run(self.ring())

    @rule(part=st.sampled_from([Fraction(1), Fraction(2, 3), Fraction(1, 3)]), captures=st.booleans())
    def spend(self, part: Fraction, captures: bool) -> None:
        """Some of what there is; or it is held for a moment, and given back."""
        available = self.run(self.till.wallet(self.account_id)).available_micros
        before = set(self.holds)
        self.hold(max(1, int(available * part / EUR)))
        for hold_id in set(self.holds) - before:
            self.end_hold(sorted(self.holds).index(hold_id), captures)

    @rule(which=st.integers(0, 3), captures=st.booleans())
    def end_hold(self, which: int, captures: bool) -> None:
        if not self.holds:
            return
        hold_id = sorted(self.holds)[which % len(self.holds)]
        amount = self.holds.pop(hold_id)
        end = self.till.app.holds.capture if captures else self.till.app.holds.release
        self.run(end(self.account_id, hold_id))
        self.spent += amount if captures else 0
        self.run(self.ring())

    @rule(which=st.integers(0, 3), more=st.sampled_from([1, 25, 120, 240]))
    def charge_more_than_was_held(self, which: int, more: int) -> None:
        """What the wallet cannot give is owed."""
        if not self.holds:
            self.hold(3)
        if not self.holds:
            return
        hold_id = sorted(self.holds)[which % len(self.holds)]
        amount = self.holds.pop(hold_id) + more * EUR
        self.run(self.till.app.holds.capture(self.account_id, hold_id, amount))
        self.spent += amount
        self.run(self.ring())

    @rule(amount=st.sampled_from(["10.00", "10.03", "55.00"]))
    def top_up(self, amount: str) -> None:
        self.run(self.till.call("topups.create", self.account_id, amount=amount))

    @rule(
        enabled=st.booleans(),
        threshold=st.sampled_from(["0.00", "20.00", "60.00"]),
        how=hows,
        cap=st.sampled_from(["100.00", "300.00"]),
    )
    def set_reload(self, enabled: bool, threshold: str, how: dict[str, str], cap: str) -> None:
        self.declines = 0  # and what is declined at once counts from there
        settings = {"enabled": enabled, "threshold": threshold, "monthly_cap": cap, **how}
        self.run(self.till.must("auto_reload.set", self.account_id, **settings))

    @rule(levels=st.sets(st.sampled_from(LEVELS)), hours=cooldowns)
    def set_alerts(self, levels: set[int], hours: int) -> None:
        amounts = [format_micros(level) for level in sorted(levels)]
        self.run(self.till.must("alerts.set", self.account_id, amounts=amounts, cooldown_hours=hours))
        known = {bell.level: bell for bell in self.bells}
        self.bells = [known.get(level) or Bell(level, timedelta()) for level in sorted(levels)]
        for bell in self.bells:
            bell.cooldown = timedelta(hours=hours)
        self.run(self.ring())

    @rule(gap=st.sampled_from([timedelta(seconds=30), timedelta(hours=1), timedelta(days=4), timedelta(days=14)]))
    def time_passes(self, gap: timedelta) -> None:
        self.now += gap

    @rule(late=st.booleans())
    def webhooks_are_late(self, late: bool) -> None:
        self.till.provider.silent = late

    @rule(order=st.randoms(use_true_random=False))
    def webhooks_come_again(self, order: Any) -> None:
        """All that there ever were, in any order."""
        self.webhooks += self.run(self.till.told(self.account_id))
        again = self.webhooks * 2
        order.shuffle(again)
        self.run(self.till.hear(again[:12]))

    @rule(which=st.integers(0, 3), part=st.sampled_from([Fraction(1), Fraction(1, 2), Fraction(1, 7)]))
    def refund(self, which: int, part: Fraction) -> None:
        paid = [each for each in self.run(self.till.payments()) if each.facts.kept_micros > 0]
        if paid:
            payment = paid[which % len(paid)]
            cents = max(1, int(payment.facts.kept_micros * part) // CENT)
            key = f"refund-{payment.facts.refunded_micros}"
            self.run(self.till.provider.refund(payment.payment_id, cents * CENT, key=payment.payment_id + key))

    # What must hold

    @invariant()
    def it_is_what_the_model_says(self) -> None:
        """Once a worker has done what is due."""
        self.run(self.compare())

    async def compare(self) -> None:
        await self.till.worker().run_once()
        topups = await self.till.topups(self.account_id)
        await self.count_declines()
        await self.compare_money(topups)
        await self.compare_reload(topups)
        tells = Counter(
            (each.event, str(each.payload["threshold"]))
            for each in await self.till.events(self.account_id)
            if each.event in ("billing.balance_low", "billing.balance_recovered")
        )
        assert tells == self.told

    async def compare_money(self, topups: list[TopUp]) -> None:
        """All that the provider kept of what we know of, net, and what was given, less what was spent."""
        payments = [each for each in await self.till.payments() if each.account_id == self.account_id]
        assert len({each.topup_id for each in payments}) == len(payments)
        truth = {each.topup_id: each.facts for each in payments}
        assert set(truth) <= {each.topup_id for each in topups}
        wallet = await self.till.wallet(self.account_id)
        kept = sum(net_of(each, each.facts.kept_micros) for each in topups)
        owed = await self.owed()
        assert wallet.available_micros - owed == self.given + kept - self.spent - sum(self.holds.values())
        assert owed >= 0
        if owed:  # money pays debts first, and credits pay none
            money = wallet.total_micros - await self.credits()
            assert min(wallet.available_micros, money) <= 0
        assert wallet.reserved_micros == sum(self.holds.values())
        for each in topups:
            told = truth.get(each.topup_id, Facts("created"))
            assert told.received_micros in (0, each.gross_micros)
            assert each.facts.received_micros <= told.received_micros
            if not self.till.provider.silent:
                assert each.facts.kept_micros == told.kept_micros
        assert await self.till.status(self.account_id) == await self.status(wallet.available_micros, owed)

    async def status(self, available: int, owed: int) -> str:
        """Frozen while anything is missing, and suspended when it has been for too long."""
        debts = len(await self.till.events(self.account_id, "billing.account.past_due"))
        if debts != self.debts:
            self.debts, self.owes_since = debts, self.now
        if available >= 0 and owed < CENT:
            return "active"
        return "suspended" if self.now >= self.owes_since + SUSPENDED_AFTER else "past_due"

    async def count_declines(self) -> None:
        """By what became of the reloads one after the other."""
        for each in await self.till.topups(self.account_id):
            before, self.seen[each.topup_id] = self.seen.get(each.topup_id), each.status
            if each.origin == "auto_reload" and before != each.status and before in (None, *UNSETTLED):
                if each.status == "failed":
                    self.declines += 1
                elif each.facts.received_micros and each.status != "reversed":
                    self.declines = 0

    async def compare_reload(self, topups: list[TopUp]) -> None:
        """One at a time; no more than the cap; whenever it is due and nothing is in its way."""
        async with self.till.store.read(self.now) as tx:
            reload = await tx.watches.reload(self.account_id)
        mine = [each for each in topups if each.origin == "auto_reload"]
        assert sum(each.status in UNSETTLED for each in mine) <= 1
        assert {each.topup_id for each in mine if each.status in UNSETTLED} == {reload.topup_id} - {None}
        if reload.last_failure != "reversed":
            assert reload.declines == self.declines
        this_month = [each for each in mine if month_of(each.created_at) == month_of(self.now)]
        new = {each.topup_id for each in this_month} - self.counted
        self.counted |= new
        if new and reload.monthly_cap_micros is not None:
            assert sum(each.net_micros for each in this_month if each.status != "failed") <= reload.monthly_cap_micros
        state = reload.state(self.now)
        if self.declines >= 3:
            assert state == "disabled"
        if state == "armed":
            there = (await self.till.wallet(self.account_id)).available_micros - await self.owed()
            there += sum(each.net_micros for each in topups if each.status in UNSETTLED)
            assert there >= reload.threshold_micros

    def teardown(self) -> None:
        self.run(self.till.assert_sound())
        self.run(self.till.store.close())
        self.run(self.database.__aexit__(None, None, None))


def net_of(topup: TopUp, gross_micros: int) -> int:
    """What is kept without the tax on it, which is whole cents, half a cent up."""
    tax = Fraction(gross_micros * (topup.gross_micros - topup.net_micros), topup.gross_micros * CENT)
    return gross_micros - floor(tax + Fraction(1, 2)) * CENT


_DEPTH: dict[str, Any] = {
    "report_multiple_bugs": False,
    "phases": [Phase.generate, Phase.shrink],  # to explain takes longer than to find
}


@pytest.mark.timeout(7200 if SOAK else 300)
def test_on_sqlite_a_wallet_is_what_the_model_says(tmp_path: Path) -> None:
    explore(Wallet, fresh_files(tmp_path), examples=15, length=20, **_DEPTH)


@pytest.mark.timeout(7200 if SOAK else 300)
def test_on_postgresql_a_wallet_is_what_the_model_says(postgresql: str, postgresql_server: str) -> None:
    explore(Wallet, fresh_databases(postgresql, postgresql_server), examples=4, length=15, **_DEPTH)
