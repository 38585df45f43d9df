"""Messages beside a second opinion: whatever comes in whatever order, each is charged what its log says in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from billing_mcp.catalog.loader import default_catalog
from billing_mcp.domain.errors import BillingError
from billing_mcp.domain.instructions import Instruction, Receipt
from billing_mcp.domain.messages import Message
from billing_mcp.domain.tiers import ChannelState, month_of
from billing_mcp.operations.balance_watch import look_at_balance
from billing_mcp.operations.platform import open_account, receive_payment
from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.operations.platform_messages import PlatformMessages, new_campaign
from billing_mcp.store.audit import verify_books
from billing_mcp.store.store import Store, Transaction
from tests.store.lives import SOAK, Fresh, explore, fresh_databases, fresh_files
from tests.store.recount import (
    assert_counted,
    assert_money_is_whole,
    assert_tiers_are_told,
    assert_tiers_follow_from,
    used,
)
from tests.store.second_opinion import BEGINNING, NAMES, Channel, Ledger, Sent, Wanted, price_book
from tests.store.walks import (
    PHONES,
    TEXT,
    Hearing,
    Reporting,
    Sending,
    Step,
    accounts,
    address,
    batches,
    draft,
    gaps,
    hearings,
    messages,
    reportings,
    sendings,
    turns,
)

ACCOUNTS = ("0190c0de-0000-7000-8000-000000000001", "0190c0de-0000-7000-8000-000000000002")
FUNDS = (4_000_000, 300_000)

T = TypeVar("T")


class Traffic(RuleBasedStateMachine):
    """Two accounts of one database, and the second opinion on them."""

    def __init__(self, runner: asyncio.Runner, fresh: Fresh) -> None:
        super().__init__()
        self.runner = runner
        self.database = fresh()
        self.now = BEGINNING
        self.model = {account_id: Ledger(free=funds) for account_id, funds in zip(ACCOUNTS, FUNDS, strict=True)}
        self.campaigns, self.names = count(1), count(1)
        self.in_step = False
        self.store = self.run(self.open())
        self.messages = PlatformMessages(self.store, lambda: self.now, price_book())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def open(self) -> Store:
        store = await Store.open(await self.database.__aenter__())
        async with store.write(BEGINNING) as tx:
            for account_id, funds in zip(ACCOUNTS, FUNDS, strict=True):
                await open_account(tx, account_id, "Model", "EUR")
                await receive_payment(tx, account_id, funds, provider="model")
        return store

    # Steps

    @rule(step=st.one_of(sendings, reportings, hearings), gap=gaps)
    def submit_one(self, step: Step, gap: int) -> None:
        self.submit([step], gap)

    @rule(batch=batches, gap=gaps)
    def submit(self, batch: list[Any], gap: int) -> None:
        self.in_step = True
        self.now += timedelta(microseconds=gap)
        self.run(self.submit_all(batch))

    @rule(account=accounts, turns=st.lists(st.tuples(gaps, turns), min_size=5, max_size=12))
    def write_each_other(self, account: int, turns: list[tuple[int, str]]) -> None:
        """An agent and a user: its messages are delivered at once, or the receipt comes when all is over."""
        self.in_step = True
        late = []
        for gap, turn in turns:
            self.now += timedelta(microseconds=gap)
            if turn == "user":
                name = f"turn{next(self.names)}"
                self.run(self.submit_all([Hearing(account, "shop", "ada", name, "text", 0)]))
                continue
            self.run(self.submit_all([Sending(account, TEXT, "")]))
            model = self.model[ACCOUNTS[account]]
            newest = next(reversed(model.sent.values()), None)
            if newest is not None and newest.wanted == TEXT:
                if turn == "agent":
                    self.run(self.deliver(newest, account, self.now))
                else:
                    late.append((newest, self.now))
        for sent, at in late:
            self.run(self.deliver(sent, account, at))

    async def deliver(self, sent: Sent, account: int, at: datetime) -> None:
        account_id = ACCOUNTS[account]
        told = await self.messages.submit(
            await self.messages.reporting(account_id, sent.message_id, "delivered", occurred_at=at)
        )
        model = self.model[account_id]
        model.report(sent, "delivered", at, None, None, self.now)
        assert (told.available_micros, told.reserved_micros) == (model.free, model.reserved)

    async def submit_all(self, batch: list[Step]) -> None:
        """All in one batch: who is meant is found among what is there before it."""
        asked = [(each, self.meant(each)) for each in batch]
        instructions = [await self.instruction(*each) for each in asked]
        for (step, sent), told in zip(asked, await self.messages.carry_out(instructions), strict=True):
            account_id = ACCOUNTS[step.account]
            self.judge(self.model[account_id], step, sent, told)

    def meant(self, step: Step) -> Sent | None:
        model = self.model[ACCOUNTS[step.account]]
        if not isinstance(step, Reporting) or not model.sent:
            return None
        sent = list(model.sent.values())
        return sent[-1 - step.which % len(sent)]

    async def instruction(self, step: Step, sent: Sent | None) -> Instruction:
        account_id = ACCOUNTS[step.account]
        if isinstance(step, Sending):
            hashes = await self.messages.hashes()
            return self.messages.sending(account_id, draft(step.wanted), hashes, idempotency_key=step.key)
        at = self.now - timedelta(seconds=step.seconds_ago)
        if isinstance(step, Hearing):
            about = {"sender": step.agent, "user": PHONES[step.person], "event_id": step.name}
            return await self.messages.hearing(account_id, **about, kind=step.kind, occurred_at=at)
        person, channel = self.person(step, sent), "email"
        if sent is not None:
            channel = sent.wanted.channel
        return await self.messages.reporting(
            account_id,
            sent.message_id if sent is not None else "nothing",
            "delivered" if step.status == "delivered" else "failed",
            occurred_at=at,
            recipient=None if person is None else address(channel, person),
            segments=step.count,
        )

    def person(self, step: Reporting, sent: Sent | None) -> str | None:
        if sent is None or step.person is None:
            return None
        return sent.wanted.people[step.person % len(sent.wanted.people)]

    def judge(self, model: Ledger, step: Step, sent: Sent | None, told: Receipt | BillingError) -> None:
        """What was told is what the second opinion says."""
        if isinstance(step, Sending):
            self.judge_sending(model, step, told)
            return
        if isinstance(step, Reporting) and sent is None:
            assert isinstance(told, BillingError)
            assert told.code == "not_found"
            return
        at = self.now - timedelta(seconds=step.seconds_ago)
        if isinstance(step, Reporting) and sent is not None:
            model.report(sent, step.status, at, self.person(step, sent), step.count, self.now)
        elif isinstance(step, Hearing):
            model.hear((step.agent, step.person), step.name, step.kind, at, self.now)
        assert isinstance(told, Receipt), told
        assert (told.available_micros, told.reserved_micros) == (model.free, model.reserved)

    def judge_sending(self, model: Ledger, step: Sending, told: Receipt | BillingError) -> None:
        if step.key in model.keys:
            before, message_id = model.keys[step.key]
            if before != step.wanted:
                assert isinstance(told, BillingError)
                assert told.code == "idempotency_key_reused"
            else:
                assert isinstance(told, Receipt)
                assert told.replayed
                assert told.message is not None
                assert told.message.message_id == message_id
            return
        quoted = model.quote(step.wanted, self.now)
        if isinstance(quoted, str):
            assert isinstance(told, BillingError)
            assert told.code == quoted
            return
        self.accepted(model, quoted, told)
        if step.key:
            model.keys[step.key] = (step.wanted, quoted.message_id)

    def accepted(self, model: Ledger, quoted: Sent, told: Receipt | BillingError) -> None:
        assert isinstance(told, Receipt), told
        assert told.message is not None
        assert not told.replayed
        quoted.message_id = told.message.message_id
        model.accept(quoted, self.now)
        assert (told.available_micros, told.reserved_micros) == (model.free, model.reserved)
        assert (told.hold.amount_micros if told.hold else 0) == quoted.held

    @rule(account=accounts, several=st.lists(messages, min_size=1, max_size=4))
    def send_all(self, account: int, several: list[Wanted]) -> None:
        self.in_step = True
        self.run(self.send_campaign(ACCOUNTS[account], f"c{next(self.campaigns)}", several))

    async def send_campaign(self, account_id: str, name: str, several: list[Wanted]) -> None:
        """All or nothing."""
        model = self.model[account_id]
        asked = [replace(each, campaign=name) for each in several]
        quoted = [model.quote(each, self.now) for each in asked]
        code: str | None = None
        refused = next((each for each in quoted if isinstance(each, str) and each != "insufficient_funds"), None)
        total = sum(each.held for each in quoted if isinstance(each, Sent))
        campaign = new_campaign(account_id, name, name, self.now)
        try:
            async with self.store.write(self.now) as tx:
                done = await self.messages.send_all(tx, account_id, campaign, [draft(each) for each in asked])
        except BillingError as error:
            code = error.code
        short = any(each == "insufficient_funds" for each in quoted) or total > model.free
        assert code in ({refused, "insufficient_funds" if short else None} if refused or short else {None})
        if code is not None:
            return
        model.paused[name] = False
        for one, told in zip(quoted, done, strict=True):
            assert isinstance(one, Sent)
            one.message_id = told.message.message_id if told.message else ""
            model.accept(one, self.now)

    @rule(account=accounts, which=st.integers(0, 5))
    def pause(self, account: int, which: int) -> None:
        model, name = self.campaign(account, which)
        if name is not None:
            self.in_step = True
            self.run(self.within(lambda tx: self.messages.pause(tx, ACCOUNTS[account], name)))
            model.pause(name, self.now)

    @rule(account=accounts, which=st.integers(0, 5))
    def resume(self, account: int, which: int) -> None:
        model, name = self.campaign(account, which)
        if name is None:
            return
        self.in_step = True
        code: str | None = None
        try:
            self.run(self.within(lambda tx: self.messages.resume(tx, ACCOUNTS[account], name)))
        except BillingError as error:
            code = error.code
        assert code == model.resume(name, self.now)

    def campaign(self, account: int, which: int) -> tuple[Ledger, str | None]:
        model = self.model[ACCOUNTS[account]]
        names = sorted(model.paused)
        return model, names[which % len(names)] if names else None

    @rule(limit=st.integers(1, 3))
    def take(self, limit: int) -> None:
        """The platform takes some of what is to leave."""
        self.in_step = True
        for work in self.run(self.within(lambda tx: self.messages.take(tx, limit=limit, lease_s=60))):
            self.model[work.account_id].sent[work.event_id].taken = True

    @rule(account=accounts, amount=st.sampled_from([1, 50_000, 400_000]))
    def top_up(self, account: int, amount: int) -> None:
        """And what is owed is paid by it."""
        self.in_step = True
        self.run(self.within(lambda tx: receive(tx, ACCOUNTS[account], amount)))
        model = self.model[ACCOUNTS[account]]
        paid = min(model.owed, model.free + amount)
        model.free += amount - paid
        model.owed -= paid
        if model.owed < 10_000:
            model.status = "active"

    @rule(account=accounts, channel=st.sampled_from(["sms", "rcs"]), tier=st.sampled_from([None, 1, 2]))
    def commit_to(self, account: int, channel: str, tier: int | None) -> None:
        self.in_step = True
        self.run(self.within(lambda tx: self.grant(tx, ACCOUNTS[account], channel, tier)))
        model = self.model[ACCOUNTS[account]]
        model.channels.setdefault(channel, model.channel(channel, self.now)).commitment = tier

    async def grant(self, tx: Transaction, account_id: str, channel: str, tier: int | None) -> None:
        before = (await tx.messages.states(account_id)).get(channel)
        state = before or ChannelState(account_id, channel, month_of(self.now.date()))
        await tx.messages.set_state(replace(state, commitment=tier), before=before)

    async def within(self, work: Callable[[Transaction], Coroutine[Any, Any, T]]) -> T:
        async with self.store.write(self.now) as tx:
            return await work(tx)

    @rule()
    def months_pass(self) -> None:
        self.now += timedelta(days=31)

    @rule()
    def expire_what_is_due(self) -> None:
        self.in_step = True
        done = self.run(PlatformHolds(self.store, lambda: self.now).expire_due())
        assert done == sum(model.expire(self.now) for model in self.model.values())

    # What must hold

    @invariant()
    def everything_stored_is_what_the_second_opinion_has(self) -> None:
        self.run(self.compare())
        self.in_step = False

    async def compare(self) -> None:
        async with self.store.read(self.now) as tx:
            for account_id, model in self.model.items():
                wallet = await tx.ledger.wallet(account_id)
                assert (wallet.available_micros, wallet.reserved_micros) == (model.free, model.reserved)
                assert (await tx.accounts.get(account_id)).status == model.status
                stored = {each.message_id: shown(each) for each in await tx.messages.all(account_id)}
                assert stored == {name: modelled(sent) for name, sent in model.sent.items()}
                states = {channel: told(state) for channel, state in (await tx.messages.states(account_id)).items()}
                assert states == {channel: replace(state) for channel, state in model.channels.items()}
                assert await used(tx, account_id) == {key: number for key, number in model.usage.items() if number}

    async def audit(self) -> None:
        """The books are sound; roll-ups, tiers and active users are what the ledger and the messages say again."""
        async with self.store.read(self.now) as tx:
            assert (await verify_books(tx)).findings == ()
            for account_id, model in self.model.items():
                rows = [row async for row in tx.ledger.history(account_id)]
                stored = {each.message_id: each for each in await assert_counted(tx, account_id)}
                await assert_money_is_whole(tx, account_id, rows, stored, model)
                assert_tiers_follow_from(rows, model)
                await assert_tiers_are_told(tx, account_id, model)

    def teardown(self) -> None:
        try:
            if not self.in_step:  # else it has failed already
                self.run(self.audit())
        finally:
            self.run(self.close())

    async def close(self) -> None:
        await self.store.close()
        await self.database.__aexit__(None, None, None)


async def receive(tx: Transaction, account_id: str, amount: int) -> None:
    await tx.accounts.get(account_id, lock=True)
    await receive_payment(tx, account_id, amount, provider="model")
    await look_at_balance(tx, default_catalog(), account_id)


def shown(message: Message) -> tuple[Any, ...]:
    charged = (message.charged_unit, message.charged_quantity, message.charged_micros)
    told = (message.status, message.outcomes, message.delivered_at, message.segments, message.place)
    accepted = (message.catalog_version, message.tier, message.unit, message.expected, message.hold_micros)
    return (*accepted, *told, charged if message.charged_unit else None)


def modelled(sent: Sent) -> tuple[Any, ...]:
    told = (sent.status, sent.outcomes, sent.delivered_at, sent.counted, sent.told_place)
    return (sent.version, NAMES[sent.tier], sent.wanted.count()[0], sent.place, sent.held, *told, sent.charged)


def told(state: ChannelState) -> Channel:
    month = (state.month // 12, state.month % 12 + 1)
    return Channel(month, state.volume, state.active_users, state.tier, state.missed_months, state.commitment)


@pytest.mark.timeout(3600 if SOAK else 120)
def test_on_sqlite_messages_are_charged_what_their_log_says(tmp_path: Path) -> None:
    explore(Traffic, fresh_files(tmp_path), examples=60, length=30, report_multiple_bugs=False)


@pytest.mark.timeout(3600 if SOAK else 120)
def test_on_postgresql_messages_are_charged_what_their_log_says(postgresql: str, postgresql_server: str) -> None:
    explore(Traffic, fresh_databases(postgresql, postgresql_server), examples=15, length=25, report_multiple_bugs=False)
