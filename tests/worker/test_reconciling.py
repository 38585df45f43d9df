"""Reconciling: every difference between the ledger and the provider is found, and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing_mcp.app import App
from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.money import parse_micros
from billing_mcp.domain.payments import Facts
from billing_mcp.domain.reconciliation import Difference
from billing_mcp.payments.embedded import EmbeddedProvider
from billing_mcp.payments.port import Payment
from billing_mcp.worker.reconciling import Reconciliation
from tests.conftest import Clock
from tests.store.books import forger
from tests.world import World

MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
GONE = "0190c0de-0000-7000-8000-0000000000ff"

Told = tuple[str, str, int | str | None, int | str | None]


class Books:
    """What an app and its provider keep of payments, and whoever spoils it."""

    def __init__(self, app: App, world: World, clock: Clock, database: str) -> None:
        assert isinstance(app.provider, EmbeddedProvider)
        self.app, self.world, self.clock, self.provider = app, world, clock, app.provider
        self.database = database
        self.read: list[tuple[str, int, int | None]] = []

    async def paid(self, token: str = "tok_visa", amount: str = "100.00") -> Any:  # noqa: S107 - a test token
        """A top-up of a new account, as it is stored after all was done that is due."""
        account_id = await self.world.account()
        await self.world.must(f"billing.payment_methods.add(account_id={account_id!r}, token={token!r})")
        made = await self.world.must(f"billing.topups.create(account_id={account_id!r}, amount={amount!r})")
        await self.app.worker().run_once()
        async with self.app.store.read(self.clock()) as tx:
            return await tx.payments.topup(account_id, made["topup_id"])

    async def later(self, days: int) -> None:
        """Days pass, and nobody hears of what happens at the provider."""
        self.clock.now += timedelta(days=days)

    async def heard(self, days: int = 0) -> None:
        """Days pass, and the provider's webhooks arrive."""
        self.clock.now += timedelta(days=days)
        await self.app.worker().run_once()

    def reconciliation(self) -> Reconciliation:
        return Reconciliation(self.app.store, self.clock, self.app.charging, lambda *told: self.read.append(told))

    async def differences(self, account_id: str | None = None, **span: Any) -> tuple[Difference, ...]:
        dates = {"since": MARCH, "until": APRIL} | span
        return (await self.reconciliation().compare(**dates, account_id=account_id)).differences

    async def damage(self, statement: str, *values: str) -> None:
        """Change the books behind everybody's back."""
        async with forger(self.database) as run:
            await run(statement, *values)


@pytest.fixture
def books(app: App, world: World, clock: Clock, database: str) -> Books:
    return Books(app, world, clock, database)


def told(difference: Difference) -> Told:
    return difference.kind, difference.fact, difference.ours, difference.theirs


def eur(text: str) -> int:
    return parse_micros(text)


async def test_clean_books_have_no_difference(books: Books) -> None:
    for token in ("tok_visa", "tok_declined", "tok_sepa", "tok_sepa_returned", "tok_sepa_fails", "tok_dispute_lost"):
        await books.paid(token)
    await books.paid("tok_dispute_won")
    await books.paid("tok_timeout_charged")
    await books.paid("tok_authenticate")
    await books.world.account(funds="0.00")

    for days in (0, 1, 4, 8):
        await books.heard(days)
        found = await books.reconciliation().compare(MARCH, APRIL)
        assert (found.differences, found.payments, found.topups) == ((), 9, 9)
    assert {what for what, *_ in books.read} == {"payments", "accounts"}
    assert books.read[-1][1] == books.read[-1][2]


async def test_each_planted_difference_is_found_and_nothing_else(books: Books) -> None:
    await books.paid()
    unheard, forgotten, forged, refunded = [await books.paid() for _ in range(4)]
    disputed = await books.paid("tok_dispute_lost")
    failed = await books.paid("tok_sepa_fails")
    planted = Payment("pay_x", GONE, GONE, eur("23.80"), "EUR", books.clock(), Facts("succeeded", eur("23.80")))
    await books.provider.plant(planted)
    await books.provider.forget(forgotten.payment_id)
    payment = await books.provider.payment(unheard.payment_id)
    await books.provider.plant(replace(payment, facts=replace(payment.facts, received_micros=eur("118.00"))))
    await books.provider.refund(refunded.payment_id, eur("10.00"), key="at the provider's desk")
    await books.damage(
        "UPDATE ledger_entries SET amount_micros = -100000000 WHERE account_id = $1 AND ledger_account = 'cash:test'",
        forged.account_id,
    )
    await books.later(5)

    found = await books.differences()

    assert {(each.payment_id or each.topup_id, *told(each)) for each in found} == {
        ("pay_x", "missing_in_ledger", "received", 0, eur("23.80")),
        (forgotten.payment_id, "missing_at_provider", "received", eur("119.00"), None),
        (unheard.payment_id, "amount_differs", "received", eur("119.00"), eur("118.00")),
        (refunded.payment_id, "status_differs", "refunded", 0, eur("10.00")),
        (disputed.payment_id, "status_differs", "withdrawn", 0, eur("119.00")),
        (failed.payment_id, "status_differs", "status", "processing", "failed"),
        (forged.payment_id, "ledger_differs", "received", eur("119.00"), eur("100.00")),
    }
    assert len(found) == 7
    (only,) = await books.differences(disputed.account_id)
    assert told(only) == ("status_differs", "withdrawn", 0, eur("119.00"))


async def test_learning_what_was_missed_books_it_and_leaves_the_rest_to_people(books: Books) -> None:
    disputed = await books.paid("tok_dispute_lost")
    settled = await books.paid("tok_sepa")
    planted = Payment("pay_x", None, None, eur("23.80"), "EUR", books.clock(), Facts("succeeded", eur("23.80")))
    await books.provider.plant(planted)
    await books.later(3)
    reconciliation = books.reconciliation()
    before = await reconciliation.compare(MARCH, APRIL)
    assert sorted(each.kind for each in before.differences) == [
        "missing_in_ledger",
        "missing_in_ledger",
        "status_differs",
    ]

    learned = await reconciliation.mend(before)

    assert learned == 2
    (left,) = await books.differences()
    assert (left.payment_id, left.account_id) == ("pay_x", None)
    assert await books.world.balance(disputed.account_id) == "0.00"
    assert await books.world.balance(settled.account_id) == "100.00"
    await books.heard()
    assert await books.world.balance(settled.account_id) == "100.00"
    assert (await books.world.audit()).findings == ()


async def test_a_second_payment_of_a_top_up_is_money_that_nobody_has_credited_and_stays_so(books: Books) -> None:
    topup = await books.paid()
    payment = await books.provider.payment(topup.payment_id)
    await books.provider.plant(replace(payment, payment_id="pay_twice"))

    (found,) = await books.differences()
    assert (found.payment_id, found.topup_id, *told(found)) == (
        "pay_twice",
        topup.topup_id,
        "missing_in_ledger",
        "received",
        0,
        eur("119.00"),
    )
    reconciliation = books.reconciliation()
    await reconciliation.mend(await reconciliation.compare(MARCH, APRIL))
    assert await books.differences() == (found,)
    assert await books.world.balance(topup.account_id) == "100.00"


async def test_a_credit_that_no_top_up_explains_has_no_payment_at_the_provider(books: Books) -> None:
    account_id = await books.world.account(funds="5.00")  # booked as received by the provider `test`

    (found,) = await books.differences()

    assert (found.account_id, found.topup_id, *told(found)) == (
        account_id,
        None,
        "missing_at_provider",
        "received",
        eur("5.00"),
        None,
    )
    assert found.transaction_id is not None


Spoil = Callable[[Books, Any], Awaitable[None]]


async def _delete_credit(books: Books, topup: Any) -> None:
    await books.damage("DELETE FROM ledger_entries WHERE account_id = $1", topup.account_id)


async def _change_row(books: Books, topup: Any) -> None:
    await books.damage("UPDATE topups SET received_micros = 1000000 WHERE topup_id = $1", topup.topup_id)


async def _change_currency(books: Books, topup: Any) -> None:
    payment = await books.provider.payment(topup.payment_id)
    await books.provider.plant(replace(payment, currency="USD"))


async def _invent_refund(books: Books, topup: Any) -> None:
    payment = await books.provider.payment(topup.payment_id)
    await books.provider.refund(topup.payment_id, eur("10.00"), key="r")
    await books.heard()
    await books.provider.plant(payment)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_delete_credit, ("missing_in_ledger", "received", 0, 119_000_000)),
        (_change_row, ("ledger_differs", "received", 1_000_000, 119_000_000)),
        (_change_currency, ("currency_differs", "currency", "EUR", "USD")),
        (_invent_refund, ("amount_differs", "refunded", 10_000_000, 0)),
    ],
    ids=["a credit is gone", "the top-up says otherwise", "another currency", "a refund that never was"],
)
async def test_one_thing_that_is_wrong_is_one_difference(books: Books, spoil: Spoil, expected: Told) -> None:
    await books.paid()
    topup = await books.paid()

    await spoil(books, topup)

    (found,) = await books.differences()
    assert (found.topup_id, told(found)) == (topup.topup_id, expected)


async def test_a_span_has_the_payments_that_were_made_in_it_with_all_that_came_of_them(books: Books) -> None:
    books.clock.now = APRIL - timedelta(seconds=1)
    topup = await books.paid()
    payment = await books.provider.payment(topup.payment_id)
    await books.provider.forget(topup.payment_id)
    await books.provider.plant(replace(payment, created_at=APRIL))  # it came there a moment later

    for since, until in ((MARCH, APRIL), (APRIL, APRIL + timedelta(days=30))):
        assert await books.differences(since=since, until=until) == ()

    await books.provider.forget(topup.payment_id)
    (found,) = await books.differences()
    assert found.kind == "missing_at_provider"
    assert await books.differences(since=APRIL, until=APRIL + timedelta(days=30)) == ()


async def test_an_account_that_is_not_there_is_not_found(books: Books) -> None:
    with pytest.raises(NotFound):
        await books.differences(GONE)
