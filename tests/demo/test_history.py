"""The demo's past: deterministic, sound, and the same story whenever it is told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Any

import pytest

from billing_mcp.catalog.loader import default_catalog
from billing_mcp.demo.history import MONTHS, STORIES, seed_demo
from billing_mcp.domain.clock import start_of
from billing_mcp.domain.invoices import Invoice
from billing_mcp.domain.ledger import RECEIVABLE, REVENUE, ROUNDING, LedgerTransaction
from billing_mcp.domain.money import MICROS_PER_UNIT
from billing_mcp.operations.platform import open_account, receive_payment
from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.payments.embedded import EmbeddedProvider
from billing_mcp.store.audit import verify_books
from billing_mcp.store.store import Store, Transaction
from billing_mcp.store.test_clock import ClockMark
from billing_mcp.worker.charging import Charging
from billing_mcp.worker.reconciling import Reconciliation
from tests.demo.conftest import BUSY_DAY

MOMENTS = [
    "2026-03-01T00:00:00",
    "2026-03-01T08:30:00",
    "2026-03-12T10:00:00",
    "2026-03-15T00:00:00",
    "2026-03-15T12:00:00",
    "2026-01-31T23:59:59",
    "2028-02-29T12:00:00",
    "2027-12-31T23:59:59",
    "2027-01-01T00:00:00",
]
FEW = 50
"""So many messages instead of tens of thousands: their own test tells of those."""
SUSPENDED_AFTER = timedelta(days=default_catalog().dunning.suspended_after_days)


class Past:
    """What is stored of one account."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.account = found["account"]
        self.ledger: list[LedgerTransaction] = found["ledger"]
        self.invoices: list[Invoice] = found["invoices"]
        self.stored = found

    def charges_of(self, invoice: Invoice) -> list[LedgerTransaction]:
        """What was charged for the invoice's period: the lines of use lie in it."""
        return [t for t in self.ledger if t.type in ("charge", "rounding") and self._is_for(t, invoice)]

    @staticmethod
    def _is_for(transaction: LedgerTransaction, invoice: Invoice) -> bool:
        days = {line.period_start for line in transaction.line_items if line.period_start}
        start, end = invoice.period_start.isoformat(), invoice.period_end.isoformat()
        return all(start <= day < end for day in days) and bool(days)


async def _past(tx: Transaction, account_id: str) -> Past:
    invoices, _ = await tx.invoices.page(account_id, page=1, page_size=100)
    return Past(
        {
            "account": await tx.accounts.get(account_id),
            "wallet": await tx.ledger.wallet(account_id),
            "ledger": [transaction async for transaction in tx.ledger.history(account_id)],
            "invoices": invoices[::-1],
            "subscription": await tx.subscriptions.find(account_id),
            "counts": await tx.subscriptions.counts(account_id),
        }
    )


async def _pasts(store: Store, now: datetime) -> list[Past]:
    async with store.read(now) as tx:
        return [await _past(tx, story.account_id) for story in STORIES]


def _moved(transaction: LedgerTransaction, ledger_account: str) -> int:
    return sum(e.amount_micros for e in transaction.entries if e.ledger_account == ledger_account)


async def test_the_past_is_the_same_on_every_database_and_each_time(lived_databases: dict[str, str]) -> None:
    found = []
    for database in lived_databases.values():
        store = await Store.open(database)
        found.append([past.stored for past in await _pasts(store, BUSY_DAY)])
        await store.close()

    assert found[0] == found[1]
    assert sum(len(past["ledger"]) for past in found[0]) > 30


async def test_a_past_that_is_there_is_left_as_it_is(lived_store: Store) -> None:
    before = [past.stored for past in await _pasts(lived_store, BUSY_DAY)]
    heard: list[tuple[int, int]] = []
    later = BUSY_DAY.replace(month=9)

    assert not await seed_demo(lived_store, later, messages=FEW, progress=lambda done, of: heard.append((done, of)))

    assert [past.stored for past in await _pasts(lived_store, later)] == before
    assert heard == []


async def test_the_demos_own_database_gets_a_clock_that_can_be_advanced(lived_store: Store, sqlite: str) -> None:
    """One that others use keeps the system's time; what they have due is none of the past's business."""
    theirs = "0190c0de-0000-7000-8000-0000000000ff"
    store = await Store.open(sqlite)
    try:
        async with store.write(BUSY_DAY - timedelta(days=400)) as tx:
            await open_account(tx, theirs, "Somebody else", "EUR")
            await receive_payment(tx, theirs, 9 * MICROS_PER_UNIT, provider="bank_transfer")
        holds = PlatformHolds(store, lambda: BUSY_DAY - timedelta(days=400))
        await holds.place(theirs, MICROS_PER_UNIT)
        assert await seed_demo(store, BUSY_DAY, messages=0, stands=True)
        async with store.read(BUSY_DAY) as tx:
            (hold,) = await tx.holds.older(theirs, than=None, status=None, limit=9)
            assert (hold.status, await tx.invoices.count(theirs)) == ("open", 0)
            assert await tx.test_clock.find() is None
        async with lived_store.read(BUSY_DAY) as tx:
            assert await tx.test_clock.find() == ClockMark(None)
    finally:
        await store.close()


async def test_the_seeder_tells_how_far_it_is(sqlite: str) -> None:
    store = await Store.open(sqlite)
    heard: list[tuple[int, int]] = []
    try:
        await seed_demo(store, BUSY_DAY, messages=FEW, progress=lambda done, of: heard.append((done, of)))
    finally:
        await store.close()

    total = heard[0][1]
    assert heard == [(done, total) for done in range(1, total + 1)]


async def test_the_past_of_both_databases_is_sound(lived_store: Store) -> None:
    async with lived_store.read(BUSY_DAY) as tx:
        report = await verify_books(tx)

    assert (report.accounts, report.findings) == (4, ())


@pytest.fixture(scope="module", params=MOMENTS)
def moment(request: pytest.FixtureRequest) -> datetime:
    """A day on which the demo may be started."""
    return datetime.fromisoformat(request.param).replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def pasts(moment: datetime, tmp_path_factory: pytest.TempPathFactory) -> list[Past]:
    """The three accounts as they are at the moment, on SQLite, with sound books."""

    async def live() -> list[Past]:
        store = await Store.open(str(tmp_path_factory.mktemp("past") / "demo.db"))
        try:
            assert await seed_demo(store, moment, messages=FEW)
            async with store.read(moment) as tx:
                assert (await verify_books(tx)).findings == ()
            return await _pasts(store, moment)
        finally:
            await store.close()

    return asyncio.run(live())


def test_whenever_it_is_told_it_is_the_same_story(pasts: list[Past], moment: datetime) -> None:
    """Three accounts, both plans, one change of plan, top-ups, six invoices each, one of them past due."""
    assert [past.account.name for past in pasts] == ["Northwind Mail", "Heron Logistics", "Quill & Crane Studio"]
    assert [past.account.status for past in pasts] == ["active", "active", _of_who_owes(pasts[2], moment)]
    plans = [[phase.plan_id for phase in past.stored["subscription"].phases] for past in pasts]
    assert plans == [["smtp_per_proxy", "smtp_per_mailbox"], ["smtp_per_proxy"], ["smtp_per_mailbox"]]
    assert all(sum(t.type == "topup" for t in past.ledger) >= 5 for past in pasts)
    assert [len(past.invoices) for past in pasts] == [MONTHS] * 3
    statuses = [invoice.status for past in pasts for invoice in past.invoices]
    assert (statuses.count("past_due"), statuses.count("paid")) == (1, 3 * MONTHS - 1)
    assert pasts[2].invoices[-1].status == "past_due"

    for past in pasts:
        seen = [t.created_at for t in past.ledger]
        assert seen == sorted(seen)
        assert seen[-1] <= moment
        assert all(t.available_after_micros >= 0 for t in past.ledger)


def _of_who_owes(past: Past, moment: datetime) -> str:
    """The status of an account that owes since its last invoice."""
    owes_since = start_of(past.invoices[-1].period_end)
    return "past_due" if moment < owes_since + SUSPENDED_AFTER else "suspended"


def test_the_change_of_plan_settles_its_use_with_line_items(pasts: list[Past]) -> None:
    changed_on = pasts[0].stored["subscription"].phases[1].starts_on
    (settled,) = [t for t in pasts[0].ledger if t.created_at.date() == changed_on]

    assert (settled.type, settled.direction) == ("charge", "debit")
    assert {line.component_type for line in settled.line_items} == {"base", "proxy"}
    assert {line.metadata["plan_id"] for line in settled.line_items if line.metadata} == {"smtp_per_proxy"}
    assert settled.line_items[-1].period_end == changed_on.isoformat()
    (invoice,) = [i for i in pasts[0].invoices if i.period_start < changed_on < i.period_end]
    assert {line.metadata["plan_id"] for line in invoice.lines if line.metadata} == {
        "smtp_per_proxy",
        "smtp_per_mailbox",
    }


def test_invoices_follow_each_other_without_a_gap_to_the_period_that_runs(pasts: list[Past], moment: datetime) -> None:
    for story, past in zip(STORIES, pasts, strict=True):
        assert [i.invoice_seq for i in past.invoices] == list(range(1, MONTHS + 1))
        assert all(one.period_end == two.period_start for one, two in pairwise(past.invoices))
        assert {i.period_start.day for i in past.invoices} == {story.anchor_day}
        assert past.invoices[-1].period_end <= moment.date()
        assert past.stored["subscription"].settled_through == past.invoices[-1].period_end
        assert all(i.issued_at.date() == i.period_end for i in past.invoices)


def test_every_invoice_is_what_its_period_took_and_what_stayed_unpaid(pasts: list[Past]) -> None:
    for past in pasts:
        for invoice in past.invoices:
            charges = past.charges_of(invoice)
            assert charges
            taken = -sum(_moved(t, "available") for t in charges)
            unpaid = -sum(_moved(t, RECEIVABLE) for t in charges)
            assert (invoice.paid_micros, invoice.amount_micros) == (taken, taken + unpaid)
            assert (invoice.status == "past_due") == (unpaid > 0)
            used = sum(line.amount_micros for line in invoice.lines)
            assert used == sum(_moved(t, REVENUE) for t in charges)
            assert invoice.amount_micros - used == sum(_moved(t, ROUNDING) for t in charges)
            assert invoice.amount_micros % 10_000 == 0
            assert abs(invoice.amount_micros - used) <= 5_000 * len(invoice.lines)


def test_every_charge_is_the_sum_of_its_line_items(pasts: list[Past]) -> None:
    charges = [t for past in pasts for t in past.ledger if t.type == "charge"]

    assert len(charges) > 3 * MONTHS
    assert all(sum(line.amount_micros for line in t.line_items) == t.amount_micros for t in charges)


def test_what_came_in_less_what_was_charged_is_what_is_left(pasts: list[Past], moment: datetime) -> None:
    for story, past in zip(STORIES, pasts, strict=True):
        topups = [t for t in past.ledger if t.type == "topup"]
        taken_back = [t.amount_micros for t in past.ledger if t.type == "reversal"]
        for amount_micros in taken_back:  # what the bank took back is what came in by the same debit
            topups.remove(next(t for t in topups if t.amount_micros == amount_micros))
        assert taken_back == [euros * MICROS_PER_UNIT for _, euros in story.returned_eur]
        wallet = past.stored["wallet"]
        assert sum(t.amount_micros for t in topups) - sum(i.paid_micros for i in past.invoices) == wallet.total_micros
        settles = timedelta(days=3 if story.pays_by == "tok_sepa" else 0, hours=9, minutes=31)
        paid_today = start_of(past.invoices[-1].period_end) + settles <= moment
        promised = story.topups_eur if paid_today else story.topups_eur[:MONTHS]
        assert [t.amount_micros for t in topups] == [euros * MICROS_PER_UNIT for euros in promised if euros]


def test_what_falls_due_between_scenes_has_happened_at_its_own_moment(pasts: list[Past]) -> None:
    """Debits settle after three days, one is taken back after ten, and a month ends at midnight."""
    logistics = pasts[1].ledger
    settled = [t.created_at.time() for t in logistics if t.type == "topup"]
    assert set(settled) == {time(9, 30), time(11)}
    (taken_back,) = [t for t in logistics if t.type == "reversal"]
    assert taken_back.created_at - start_of(taken_back.created_at.date()) == timedelta(hours=11)
    for past in pasts:
        assert {i.issued_at for i in past.invoices} == {start_of(i.period_end) for i in past.invoices}


async def test_the_accounts_pay_by_what_there_is_and_the_provider_says_the_same(lived_store: Store) -> None:
    """A card, SEPA debits of which the bank took one back, and bank transfers; a reload and alerts are set."""
    store = lived_store
    mail, logistics, studio = (story.account_id for story in STORIES)
    provider = await EmbeddedProvider.open(store, lambda: BUSY_DAY)
    charging = Charging(store, default_catalog(), lambda: BUSY_DAY, provider)

    async with store.read(BUSY_DAY) as tx:
        brands = [(each.known.brand, each.known.last4) for each in await tx.payments.methods(mail)]
        types = [each.known.type for each in await tx.payments.methods(logistics)]
        statuses = {each.status for each in await tx.payments.topups(logistics)}
        none = await tx.payments.topups(studio)
        paid = await tx.payments.topups(mail)
        reload, alerts = await tx.watches.reload(mail), await tx.watches.alerts(mail)
    assert (brands, types, statuses, none) == (
        [("visa", "4242")],
        ["sepa_debit"] * 2,
        {"succeeded", "reversed"},
        [],
    )
    assert {each.tax_micros > 0 for each in paid} == {True}
    assert (reload.state(BUSY_DAY), alerts and len(alerts.thresholds)) == ("armed", 2)
    books = Reconciliation(store, lambda: BUSY_DAY, charging, lambda *_: None)
    found = await books.compare(BUSY_DAY - timedelta(days=400), BUSY_DAY + timedelta(days=1))
    assert (found.payments, found.differences) == (15, ())
