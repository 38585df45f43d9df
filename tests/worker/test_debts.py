"""What a wallet could not pay is owed, and money that comes in pays it before anything else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from billing_mcp.domain.errors import BillingError
from billing_mcp.operations.credits import open_credits_micros
from billing_mcp.store.store import Store
from tests.conftest import Clock
from tests.worker.debtor import Debtor
from tests.worker.till import EUR


async def test_part_of_the_money_pays_part_of_a_debt_and_the_rest_lets_spending_go_on(
    store: Store, clock: Clock
) -> None:
    debtor = await Debtor.of(store, clock, funds=5, owes=20)
    assert await debtor.standing() == ("past_due", 0, 2000)
    await debtor.work()

    await debtor.pay(12)
    assert await debtor.standing() == ("past_due", 0, 800)
    with pytest.raises(BillingError, match="past_due"):
        await debtor.till.app.holds.place(debtor.account_id, EUR)

    await debtor.pay(12)
    assert await debtor.standing() == ("active", 400, 0)
    await debtor.till.app.holds.place(debtor.account_id, EUR)
    assert await debtor.settled() == [1200, 800]
    assert await debtor.told() == ["account.past_due", "account.recovered"]
    await debtor.till.assert_sound()


@pytest.mark.parametrize("way", ["by the desk", "in a transaction", "by card"])
async def test_whichever_way_money_comes_in_it_pays_the_debt(store: Store, clock: Clock, way: str) -> None:
    debtor = await Debtor.of(store, clock, funds=5, owes=20)
    await debtor.work()

    await debtor.pay(30, way)

    assert await debtor.standing() == ("active", 1000, 0)
    assert await debtor.settled() == [2000]


async def test_a_gift_pays_no_debt_and_is_there_for_what_comes_after_it(store: Store, clock: Clock) -> None:
    debtor = await Debtor.of(store, clock, funds=5, owes=20)
    await debtor.work()

    await debtor.pay(30, "as a gift")
    assert await debtor.standing() == ("past_due", 3000, 2000)

    await debtor.pay(20)
    assert await debtor.standing() == ("active", 3000, 0)
    async with store.read(clock()) as tx:
        assert await open_credits_micros(tx, debtor.account_id) == 30 * EUR
    await debtor.till.assert_sound()


async def test_money_that_comes_before_anybody_has_looked_at_the_debt_pays_it_too(store: Store, clock: Clock) -> None:
    debtor = await Debtor.of(store, clock, funds=5, owes=20)
    await debtor.money.receive(debtor.account_id, 30 * EUR, provider="manual")

    await debtor.work()

    assert await debtor.standing() == ("active", 1000, 0)


async def test_what_is_given_back_of_a_hold_pays_the_debt(store: Store, clock: Clock) -> None:
    debtor = await Debtor.of(store, clock, funds=30)
    hold = (await debtor.till.app.holds.place(debtor.account_id, 25 * EUR)).hold
    assert hold is not None
    await debtor.overrun(20)
    await debtor.work()
    assert await debtor.standing() == ("past_due", 0, 2000)

    await debtor.till.app.holds.release(debtor.account_id, hold.hold_id)
    await debtor.work()

    assert await debtor.standing() == ("active", 500, 0)


async def test_invoices_are_paid_in_their_order_and_what_is_on_none_yet_comes_last(store: Store, clock: Clock) -> None:
    debtor = await Debtor.of(store, clock, funds=1)
    till, account_id = debtor.till, debtor.account_id
    await till.must("plan.change", account_id, plan_id="smtp_per_mailbox")
    hold = (await till.app.holds.place(account_id, EUR, expires_at=clock() + timedelta(days=200))).hold
    assert hold is not None
    for day in ("2026-04-12", "2026-05-12"):
        await debtor.closed(day)
    await till.app.holds.capture(account_id, hold.hold_id, 11 * EUR)
    await debtor.work()
    assert (await debtor.standing())[2] == 2900 + 2900 + 1000

    await debtor.pay(40)
    assert await debtor.paid() == [("paid", 2900), ("past_due", 1100)]
    (told,) = await till.events(account_id, "billing.invoice.paid")
    assert (told.payload["number"], told.payload["amount"]) == ((await debtor.invoices())[0].number, "29.00")

    await debtor.pay(20)
    assert await debtor.paid() == [("paid", 2900), ("paid", 2900)]
    assert (await debtor.standing())[0::2] == ("suspended", 800)

    await debtor.pay(10)
    assert await debtor.standing() == ("active", 200, 0)
    assert len(await till.events(account_id, "billing.invoice.paid")) == 2
    await debtor.closed("2026-06-12")
    assert (await debtor.paid())[2] == ("past_due", 1100 + 200)
    await till.assert_sound()


async def test_less_than_a_cent_of_debt_freezes_nobody_and_is_paid_with_the_next_money(
    store: Store, clock: Clock
) -> None:
    debtor = await Debtor.of(store, clock, funds=5)
    hold = (await debtor.till.app.holds.place(debtor.account_id, 5 * EUR)).hold
    assert hold is not None
    await debtor.till.app.holds.capture(debtor.account_id, hold.hold_id, 5 * EUR + 9_999)
    await debtor.work()
    assert await debtor.till.status(debtor.account_id) == "active"

    await debtor.pay(1)

    assert (await debtor.till.wallet(debtor.account_id)).available_micros == EUR - 9_999
    assert await debtor.told() == ["account.past_due", "account.recovered"]


async def test_what_paid_a_debt_is_explained_and_its_amount_computed_again(store: Store, clock: Clock) -> None:
    debtor = await Debtor.of(store, clock, funds=5, owes=20)
    await debtor.pay(12)
    charge = (await debtor.till.ledger(debtor.account_id))[-1]
    read = debtor.till.must

    told = await read("charges.explain", debtor.account_id, transaction_id=charge.transaction_id)

    assert (told["kind"], told["type"], told["description"]) == ("debt", "charge", "Debt settled")
    assert (told["amount"], told["recomputed"], told["matches"], told["sealed"]) == ("12.00", "12.00", True, True)
    assert any("owes first" in step for step in told["steps"])
    (item,) = (await read("transactions.list", debtor.account_id, page_size=1))["items"]
    assert (item["type"], item["amount"], item["line_items"][0]["component_type"]) == ("charge", "12.00", "receivable")


async def test_one_reload_closes_the_debt_and_the_gap(store: Store, clock: Clock) -> None:
    debtor = await Debtor.of(store, clock, funds=30)
    await debtor.till.method(debtor.account_id, "tok_visa")
    await debtor.till.must("auto_reload.set", debtor.account_id, enabled=True, threshold="20.00", amount="50.00")
    await debtor.overrun(300)

    await debtor.work()

    assert await debtor.standing() == ("active", 2000, 0)
    (reload,) = await debtor.till.topups(debtor.account_id)
    assert (reload.origin, reload.net_micros) == ("auto_reload", 320 * EUR)
