"""An account that owes is reminded, then suspended; money that covers the debt ends all of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from billing_mcp.domain.errors import BillingError
from billing_mcp.domain.messages import Message
from billing_mcp.operations.drafts import Draft
from billing_mcp.operations.dunning import dun
from billing_mcp.store.store import Store
from tests.conftest import Clock
from tests.worker.debtor import Debtor
from tests.worker.till import EUR

REMINDER, SUSPENDED = "billing.account.reminder", "billing.account.suspended"
_PAST_DUE = "billing.account.past_due"


async def test_reminders_come_on_their_days_and_the_suspension_after_them(store: Store, clock: Clock) -> None:
    debtor = await Debtor.of(store, clock, funds=5, owes=20)
    told = [(number, *news) for number in range(40) for news in await debtor.day(number)]

    debt = {"owed": "20.00", "currency": "EUR", "since": "2026-03-12T10:00:00Z", "invoices": []}
    soon = {"suspends_at": "2026-03-26T10:00:00Z"}
    assert told == [
        (3, REMINDER, {"number": 1} | soon | debt),
        (7, REMINDER, {"number": 2} | soon | debt),
        (14, SUSPENDED, debt),
    ]
    assert await debtor.standing() == ("suspended", 0, 2000)


async def test_nobody_is_reminded_after_recovery_and_the_next_debt_begins_anew(store: Store, clock: Clock) -> None:
    debtor = await Debtor.of(store, clock, funds=5, owes=20)
    first = [name for number in (3, 4) for name, _ in await debtor.day(number)]
    await debtor.pay(25)
    between = [name for number in range(5, 20) for name, _ in await debtor.day(number)]
    await debtor.overrun(20)
    again = [(number, *news) for number in range(20, 40) for news in await debtor.day(number)]

    assert (first, between) == ([REMINDER], [])
    # It owes since day 19: nobody had looked at the moment it began.
    assert [(number, name) for number, name, _ in again] == [(22, REMINDER), (26, REMINDER), (33, SUSPENDED)]
    assert [payload.get("number") for _, _, payload in again] == [1, 2, None]


@pytest.mark.parametrize(
    ("day", "news"),
    [(2.999, []), (3, [1]), (6.999, [1]), (8, [2]), (13.999, [2]), (14, [None]), (300, [None])],
)
async def test_who_is_late_sends_the_last_reminder_alone_and_suspends_when_it_is_time(
    store: Store, clock: Clock, day: float, news: list[int | None]
) -> None:
    debtor = await Debtor.of(store, clock, funds=5, owes=20)

    told = await debtor.day(day)

    assert [payload.get("number") for _, payload in told] == news
    assert await debtor.till.status(debtor.account_id) == ("suspended" if news == [None] else "past_due")


async def test_a_step_is_taken_once_however_many_take_it_and_whoever_dies(store: Store, clock: Clock) -> None:
    debtor = await Debtor.of(store, clock, funds=5, owes=20)

    async def take(*, dies: bool = False) -> None:
        async with store.write(clock()) as tx:
            await tx.accounts.get(debtor.account_id, lock=True)
            await dun(tx, debtor.till.app.catalog, debtor.account_id)
            tx.rollback_only = dies

    for days, names in ((3, {REMINDER: 1}), (11, {REMINDER: 1, SUSPENDED: 1})):
        clock.now += timedelta(days=days)
        await take(dies=True)
        async with asyncio.timeout(30):
            await asyncio.gather(*(take() for _ in range(5)))
        await debtor.work()
        told = [event.event for event in await debtor.till.events(debtor.account_id)]
        assert {name: told.count(name) for name in (REMINDER, SUSPENDED) if name in told} == names


async def test_a_suspended_account_is_read_and_paid_and_cancelled_but_spends_nothing(
    store: Store, clock: Clock
) -> None:
    debtor = await Debtor.of(store, clock, funds=5)
    till, account_id = debtor.till, debtor.account_id
    await till.must("plan.change", account_id, plan_id="smtp_per_mailbox")
    message = await _sent(debtor)
    await debtor.overrun(20)
    assert [name for name, _ in await debtor.day(14)] == [SUSPENDED]

    assert (await till.must("current_plan.get", account_id))["status"] == "suspended"
    assert (await till.must("wallet_balance.get", account_id))["balance"] == "0.00"
    for function in ("balance.get", "ledger.list", "invoices.list", "tier.get", "usage.get", "plans.list"):
        await till.must(function, account_id)
    changed = await till.call("plan.change", account_id, plan_id="smtp_per_proxy")
    assert changed.error is not None
    assert changed.error.code == "account_not_active"
    for spending in (till.app.holds.place(account_id, EUR), till.app.messages.send(account_id, _draft())):
        with pytest.raises(BillingError) as refused:
            await spending
        assert refused.value.code == "account_not_active"
    await till.app.messages.submit(await till.app.messages.reporting(account_id, message.message_id, "delivered"))
    assert (await till.must("plan.cancel", account_id))["status"] == "scheduled"

    await debtor.pay(19)
    assert await till.status(account_id) == "suspended"
    await debtor.pay(10, "by card")

    assert await debtor.standing() == ("active", 900, 0)
    assert (await till.must("current_plan.get", account_id))["status"] == "canceling"
    assert await debtor.told() == ["account.past_due", "account.recovered", "account.suspended"]
    await till.assert_sound()


def _draft() -> Draft:
    return Draft("sms", to=["+4915112345601"], market="DE", segments=1)


async def _sent(debtor: Debtor) -> Message:
    message = (await debtor.till.app.messages.send(debtor.account_id, _draft())).message
    assert message is not None
    return message


async def test_money_that_was_taken_back_is_dunned_until_it_comes_again(store: Store, clock: Clock) -> None:
    debtor = await Debtor.of(store, clock, funds=0)
    till, account_id = debtor.till, debtor.account_id
    await till.method(account_id, "tok_sepa_returned")
    await till.topup(account_id, 50 * EUR)
    for day in (0, 4):
        await debtor.day(day)
    hold = (await till.app.holds.place(account_id, 30 * EUR)).hold
    assert hold is not None
    await till.app.holds.capture(account_id, hold.hold_id)

    told = [(number, *news) for number in range(5, 26) for news in await debtor.day(number)]

    began = next(number for number, name, _ in told if name == _PAST_DUE)
    dunned = [(number - began, name) for number, name, _ in told if name != _PAST_DUE]
    assert dunned == [(3, REMINDER), (7, REMINDER), (14, SUSPENDED)]
    assert {payload["owed"] for _, _, payload in told} == {"30.00"}
    await debtor.pay(30)
    assert await debtor.standing() == ("active", 0, 0)


async def test_a_plan_that_is_cancelled_without_money_leaves_a_debt_that_is_told_and_dunned(
    store: Store, clock: Clock
) -> None:
    debtor = await Debtor.of(store, clock, funds=5)
    await debtor.till.must("plan.change", debtor.account_id, plan_id="smtp_per_mailbox")
    await debtor.day(10)

    await debtor.till.must("plan.cancel", debtor.account_id, cancel_immediately=True)
    (told,) = await debtor.till.events(debtor.account_id, _PAST_DUE)
    assert told.payload["owed"] == "4.354839"
    assert await debtor.day(12) == []
    assert [name for name, _ in await debtor.day(13)] == [REMINDER]
    await debtor.pay(5)

    assert await debtor.standing() == ("active", 64, 0)
