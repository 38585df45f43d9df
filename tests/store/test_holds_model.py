"""Holds beside a model in plain integers: whatever comes in whatever order, both tell the same story."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from billing_mcp.domain.errors import BillingError, InsufficientFunds
from billing_mcp.domain.holds import Hold
from billing_mcp.domain.instructions import IdempotencyKey, Instruction, Receipt
from billing_mcp.domain.ledger import Entry, Posting
from billing_mcp.operations.platform import open_account
from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.store.audit import verify_books
from billing_mcp.store.store import Store, Transaction
from tests.store.lives import SOAK, Fresh, explore, fresh_databases, fresh_files

BEGINNING = datetime(2026, 3, 12, 10, 0, tzinfo=UTC)
DAY = 86_400
WALLETS = tuple(f"0190c0de-0000-7000-8000-00000000000{number}" for number in (1, 2, 3))
BEGINNING_FUNDS = 20
MOST_AT_ONCE = {"topup": 8, "charge": 34}
RARE = 6
NO_HOLD = "0190c0de-0000-7000-8000-0000000000ff"

Request = tuple[Any, ...]
"""What is asked of a wallet: a verb and its arguments."""
T = TypeVar("T")


@dataclass
class ModelHold:
    """A hold in the model; moments are seconds since the beginning."""

    amount: int
    reference: str
    placed: int
    expires: int
    captured: int = 0
    released: int = 0
    status: str = "open"
    closed: int | None = None

    @property
    def left(self) -> int:
        return self.amount - self.captured - self.released if self.status == "open" else 0

    def end(self, status: str, now: int) -> None:
        self.status, self.closed = status, now


@dataclass
class ModelWallet:
    """A wallet in the model, and all that it has answered under a key."""

    free: int = 0
    reserved: int = 0
    status: str = "active"
    rows: int = 0
    totals: int = 0
    events: int = 0
    sums: Counter[str] = field(default_factory=Counter)
    holds: dict[str, ModelHold] = field(default_factory=dict)
    keys: dict[str, tuple[Request, Receipt]] = field(default_factory=dict)

    def move(self, **amounts: int) -> None:
        """One ledger transaction."""
        self.sums.update(amounts)
        total = self.free + self.reserved
        self.free, self.reserved = self.sums["free"], self.sums["reserved"]
        self.rows += 1
        self.totals += total != self.free + self.reserved

    def do(self, request: Request, now: int) -> ModelHold | str | None:
        """Do it: the hold that it was about, or the code of the refusal."""
        match request:
            case ("topup", amount):
                self.move(free=amount, cash=-amount)
            case ("charge", amount):
                if amount > self.free:
                    return "insufficient_funds"
                self.move(free=-amount, revenue=amount)
            case ("place", amount, reference, expires):
                return self.place(amount, reference, now + 7 * DAY if expires is None else expires, now)
            case (verb, hold_id, *rest):
                hold = self.holds.get(hold_id)
                if hold is None:
                    return "not_found"
                return "hold_not_open" if hold.status != "open" else self.end(verb, hold, rest, now)
        return None

    def place(self, amount: int, reference: str, expires: int, now: int) -> ModelHold | str:
        if not now < expires <= now + 366 * DAY:
            return "invalid_argument"
        if self.status != "active":
            return "account_not_active"
        if amount > self.free:
            return "insufficient_funds"
        self.move(free=-amount, reserved=amount)
        return ModelHold(amount, reference, now, expires)

    def end(self, verb: str, hold: ModelHold, rest: list[Any], now: int) -> ModelHold | str:
        if verb == "expire" and now < hold.expires:
            return "hold_not_due"
        if verb == "capture":
            amount, final = rest
            self.capture(hold, hold.left if amount is None else amount, now)
            if not final or hold.status != "open":
                return hold
        left = hold.left
        self.move(free=left, reserved=-left)
        hold.released = left
        hold.end({"capture": "captured", "release": "released", "expire": "expired"}[verb], now)
        return hold

    def capture(self, hold: ModelHold, amount: int, now: int) -> None:
        left = hold.left
        from_hold = min(amount, left)
        from_free = min(amount - from_hold, self.free)
        owed = amount - from_hold - from_free
        self.move(reserved=-from_hold, free=-from_free, receivable=-owed, revenue=amount)
        hold.captured += amount
        if amount >= left:
            hold.end("captured", now)
        if owed and self.status == "active":
            self.status = "past_due"
            self.events += 2  # the world is told, and whoever looks at balances


@dataclass(frozen=True)
class Asked:
    """One element of a batch. What it names is found among what is there when the batch is sent."""

    wallet: int
    verb: str
    amount: int | None
    which: int
    final: bool
    expires: int | None
    key: str
    again: bool
    twice: bool
    withdrawn: bool


amounts = st.sampled_from([1, 2, 3, 5, 8, 13, 34])
verbs = st.sampled_from(["place", "place", "capture", "capture", "capture", "release", "expire", "topup", "charge"])
rarely = st.integers(0, 7).map(lambda number: number == 0)
asked = st.builds(
    Asked,
    wallet=st.sampled_from([0, 0, 0, 1, 2]),
    verb=verbs,
    amount=st.none() | amounts,
    which=st.integers(0, RARE + 1),
    final=st.booleans(),
    expires=st.sampled_from([None, None, 0, 60, 3600, 3600, DAY, 366 * DAY, 366 * DAY + 1]),
    key=st.sampled_from(["", "", "", "k1", "k2", "k3", "k4", "k5"]),
    again=rarely,
    twice=rarely,
    withdrawn=rarely,
)
steps = st.tuples(st.integers(0, 2), st.sampled_from(["topup", "charge"]), amounts, st.booleans())


@dataclass(frozen=True)
class Sent:
    """A request on its way."""

    account_id: str
    request: Request
    key: str
    task: asyncio.Task[Receipt]
    withdrawn: bool


class GivenUpError(Exception):
    """What an execution ends with that is abandoned."""


def give_up_if(wanted: bool) -> None:
    if wanted:
        raise GivenUpError


class Books(RuleBasedStateMachine):
    """Three wallets of one database, and their model."""

    def __init__(self, runner: asyncio.Runner, fresh: Fresh) -> None:
        super().__init__()
        self.runner = runner
        self.database = fresh()
        self.now = 0
        self.model = {account_id: ModelWallet() for account_id in WALLETS}
        self.in_step = False
        self.store = self.run(self.open())
        self.holds = PlatformHolds(self.store, self.clock)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def open(self) -> Store:
        store = await Store.open(await self.database.__aenter__())
        async with store.write(BEGINNING) as tx:
            for account_id in WALLETS:
                await open_account(tx, account_id, "Model", "EUR")
                await tx.ledger.post([posting(account_id, "topup", BEGINNING_FUNDS)])
                self.model[account_id].do(("topup", BEGINNING_FUNDS), 0)
        return store

    def clock(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.now)

    @rule(one=asked)
    def submit_one(self, one: Asked) -> None:
        self.submit([one])

    @rule(batch=st.lists(asked, min_size=6, max_size=16))
    def submit(self, batch: list[Asked]) -> None:
        self.in_step = True
        self.run(self.submit_all(batch))

    async def submit_all(self, batch: list[Asked]) -> None:
        self.judge(await answered(await self.send(batch)))

    @rule(posted=st.lists(steps, max_size=4), ending=st.sampled_from(["commit", "commit", "roll back", "fail"]),
          beside=st.lists(asked, max_size=4))  # fmt: skip
    def execute(self, posted: list[tuple[int, str, int, bool]], ending: str, beside: list[Asked]) -> None:
        self.in_step = True
        self.run(self.execute_beside(posted, ending, beside))

    async def execute_beside(self, posted: list[tuple[int, str, int, bool]], ending: str, beside: list[Asked]) -> None:
        """An execution, and a batch that comes while it is open: what they share, the batch gets after it."""
        sent: list[Sent] = []
        keep = ending == "commit"
        try:
            async with self.store.write(self.clock()) as tx:
                for wallet, verb, amount, kept in posted:
                    await self.post(tx, WALLETS[wallet], verb, amount, kept=kept, committed=keep)
                sent = await self.send(beside)
                locked = {WALLETS[wallet] for wallet, *_ in posted}
                if self.store.url.get_backend_name() == "postgresql":
                    await answered([each for each in sent if each.account_id not in locked])
                tx.rollback_only = ending == "roll back"
                give_up_if(ending == "fail")
        except GivenUpError:
            assert ending == "fail"
        self.judge(await answered(sent))

    async def post(
        self, tx: Transaction, account_id: str, verb: str, amount: int, *, kept: bool, committed: bool
    ) -> None:
        """Post in a savepoint, which is not always kept."""
        seen = await tx.ledger.wallet(account_id)
        try:
            async with tx.savepoint():
                await tx.ledger.post([posting(account_id, verb, amount)])
                give_up_if(not kept)
        except GivenUpError:
            assert not kept
        except InsufficientFunds:
            assert verb == "charge"
            assert amount > seen.available_micros
        else:
            if committed:
                assert self.model[account_id].do((verb, amount), self.now) is None

    @rule(seconds=st.sampled_from([1, 59, 3600, DAY, 7 * DAY]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def expire_what_is_due(self) -> None:
        self.in_step = True
        due = [
            (wallet, hold_id)
            for wallet in self.model.values()
            for hold_id, hold in wallet.holds.items()
            if hold.status == "open" and hold.expires <= self.now
        ]
        assert self.run(self.holds.expire_due()) == len(due)
        for wallet, hold_id in due:
            wallet.do(("expire", hold_id), self.now)

    @rule(wallet=st.integers(0, 2))
    def settle(self, wallet: int) -> None:
        self.in_step = True
        self.run(self.make_active(WALLETS[wallet]))
        self.model[WALLETS[wallet]].status = "active"

    async def make_active(self, account_id: str) -> None:
        async with self.store.write(self.clock()) as tx:
            await tx.accounts.set_status(await tx.accounts.get(account_id, lock=True), "active")

    async def send(self, batch: list[Asked]) -> list[Sent]:
        """All in one tick, so that they arrive in this order; some callers go away before anybody looks."""
        sent = []
        for each in batch:
            account_id = WALLETS[each.wallet]
            request, key = self.request_of(each, self.model[account_id])
            for _ in range(2 if each.twice else 1):
                task = asyncio.create_task(self.call(account_id, request, key))
                sent.append(Sent(account_id, request, key, task, withdrawn=each.withdrawn))
        await asyncio.sleep(0)
        for one in sent:
            if one.withdrawn:
                one.task.cancel()
        return sent

    def request_of(self, each: Asked, wallet: ModelWallet) -> tuple[Request, str]:
        if each.again and wallet.keys:
            key = sorted(wallet.keys)[each.which % len(wallet.keys)]
            return wallet.keys[key][0], key
        if each.verb in ("topup", "charge"):
            amount = min(each.amount or 5, MOST_AT_ONCE[each.verb])
            return (each.verb, amount), each.key and f"posting {each.key}"
        if each.verb == "place" or not wallet.holds:
            expires = None if each.expires is None else self.now + each.expires
            return ("place", each.amount or 5, f"msg_{each.which}", expires), each.key
        hold_id = self.hold_of(each.which, wallet)
        if each.verb == "capture":
            return ("capture", hold_id, each.amount, each.final), each.key
        return (each.verb, hold_id), each.key if each.verb == "release" else ""

    def hold_of(self, which: int, wallet: ModelWallet) -> str:
        """Mostly one that is open, now and then one that has ended, one of another wallet, or none."""
        of_another = [name for other in self.model.values() if other is not wallet for name in other.holds]
        if which >= RARE:
            return of_another[0] if of_another and which > RARE else NO_HOLD
        open_ones = [name for name, hold in wallet.holds.items() if hold.status == "open"]
        names = open_ones if open_ones and which < RARE - 2 else list(wallet.holds)
        return names[-1 - which % len(names)]

    async def call(self, account_id: str, request: Request, key: str) -> Receipt:
        match request:
            case ("place", amount, reference, expires):
                moment = None if expires is None else BEGINNING + timedelta(seconds=expires)
                options = {"reference": reference, "expires_at": moment, "idempotency_key": key}
                return await self.holds.place(account_id, amount, **options)
            case ("capture", hold_id, amount, final):
                return await self.holds.capture(account_id, hold_id, amount, final=final, idempotency_key=key)
            case ("release", hold_id):
                return await self.holds.release(account_id, hold_id, idempotency_key=key)
            case ("expire", hold_id):
                return await self.holds.expire(account_id, hold_id)
        named = IdempotencyKey(key, repr(request)) if key else None
        return await self.store.submit(Instruction(account_id, posting(account_id, *request), self.clock(), named))

    def judge(self, sent: list[Sent]) -> None:
        """What each was told is what the model says, in the order that they were sent."""
        for each in sent:
            assert each.task.cancelled() == each.withdrawn
            if each.withdrawn:
                continue
            error = each.task.exception()
            if error is not None and not isinstance(error, BillingError):
                raise error
            told = error.code if isinstance(error, BillingError) else each.task.result()
            wallet = self.model[each.account_id]
            self.judge_one(wallet, each.request, each.key, told)

    def judge_one(self, wallet: ModelWallet, request: Request, key: str, told: Receipt | str) -> None:
        if key in wallet.keys:
            before, first = wallet.keys[key]
            assert told == ("idempotency_key_reused" if before != request else replace(first, replayed=True))
            return
        rows = wallet.rows
        hold = wallet.do(request, self.now)
        if isinstance(hold, str):
            assert told == hold
            return
        assert isinstance(told, Receipt)
        assert not told.replayed
        assert (told.available_micros, told.reserved_micros) == (wallet.free, wallet.reserved)
        assert len(set(told.transaction_ids)) == wallet.rows - rows
        assert (told.hold and shown(told.hold)) == (hold and modelled(hold))
        if request[0] == "place" and hold and told.hold:
            assert told.hold.hold_id not in wallet.holds
            wallet.holds[told.hold.hold_id] = hold
        elif told.hold:
            assert told.hold.hold_id == request[1]
        if key:
            wallet.keys[key] = (request, told)

    @invariant()
    def everything_stored_is_what_the_model_has(self) -> None:
        self.run(self.compare())
        self.in_step = False

    async def compare(self) -> None:
        async with self.store.read(self.clock()) as tx:
            for account_id, wallet in self.model.items():
                stored = await tx.ledger.wallet(account_id)
                ends = (stored.last_seq, stored.last_txn_seq)
                assert (stored.available_micros, stored.reserved_micros, *ends) == (
                    wallet.free, wallet.reserved, wallet.rows, wallet.totals,
                )  # fmt: skip
                assert (await tx.accounts.get(account_id)).status == wallet.status
                holds = await tx.holds.older(account_id, than=None, status=None, limit=1000)
                assert {hold.hold_id: shown(hold) for hold in holds} == {
                    hold_id: modelled(hold) for hold_id, hold in wallet.holds.items()
                }
                assert wallet.reserved == sum(hold.left for hold in wallet.holds.values())

    @rule()
    def audit(self) -> None:
        self.run(self.replay())

    async def replay(self) -> None:
        """The ledger from its first row on leads to the wallets."""
        async with self.store.read(self.clock()) as tx:
            report = await verify_books(tx)
            assert report.findings == ()
            assert report.holds == sum(len(wallet.holds) for wallet in self.model.values())
            for account_id, wallet in self.model.items():
                rows = [row async for row in tx.ledger.history(account_id)]
                assert [row.seq for row in rows] == [*range(1, wallet.rows + 1)]
                assert [row.txn_seq for row in rows if row.txn_seq] == [*range(1, wallet.totals + 1)]
                sums: Counter[str] = Counter()
                for row in rows:
                    assert sum(entry.amount_micros for entry in row.entries) == 0
                    for entry in row.entries:
                        sums[NAMES[entry.ledger_account]] += entry.amount_micros
                    assert (row.available_after_micros, row.reserved_after_micros) == (sums["free"], sums["reserved"])
                assert +sums == +wallet.sums
                assert -sums == -wallet.sums
                assert len(await tx.outbox.of(account_id)) == wallet.events

    def teardown(self) -> None:
        try:
            if not self.in_step:  # else it has failed already
                self.run(self.replay())
        finally:
            self.run(self.close())

    async def close(self) -> None:
        await self.store.close()
        await self.database.__aexit__(None, None, None)


NAMES = {
    "available": "free",
    "reserved": "reserved",
    "revenue": "revenue",
    "receivable": "receivable",
    "cash:model": "cash",
}


async def answered(sent: list[Sent]) -> list[Sent]:
    """All of them, once each has its answer."""
    await asyncio.gather(*(each.task for each in sent), return_exceptions=True)
    return sent


def posting(account_id: str, verb: str, amount: int) -> Posting:
    """Money in, or a direct charge."""
    legs = {"topup": (amount, "cash:model"), "charge": (-amount, "revenue")}
    available, other = legs[verb]
    entries = (Entry("available", available, "EUR"), Entry(other, -available, "EUR"))
    return Posting(account_id, "topup" if verb == "topup" else "charge", verb, entries, BEGINNING)


def shown(hold: Hold) -> tuple[Any, ...]:
    closed = None if hold.closed_at is None else (hold.closed_at - BEGINNING).total_seconds()
    moments = (hold.created_at - BEGINNING).total_seconds(), (hold.expires_at - BEGINNING).total_seconds()
    sums = (hold.amount_micros, hold.captured_micros, hold.released_micros)
    return (*sums, hold.status, hold.reference, *moments, closed)


def modelled(hold: ModelHold) -> tuple[Any, ...]:
    sums = (hold.amount, hold.captured, hold.released)
    return (*sums, hold.status, hold.reference, hold.placed, hold.expires, hold.closed)


@pytest.mark.timeout(3600 if SOAK else 120)
def test_on_sqlite_holds_and_wallets_are_what_a_model_says(tmp_path: Path) -> None:
    explore(Books, fresh_files(tmp_path), examples=80, length=25)


@pytest.mark.timeout(3600 if SOAK else 120)
def test_on_postgresql_holds_and_wallets_are_what_a_model_says(postgresql: str, postgresql_server: str) -> None:
    explore(Books, fresh_databases(postgresql, postgresql_server), examples=10, length=20)
