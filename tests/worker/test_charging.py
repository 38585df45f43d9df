"""A top-up is charged once, whatever fails; and what becomes of a wallet, a reload and an account by it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from billing_mcp.domain.alerts import BALANCE_MOVED
from billing_mcp.domain.errors import Refused
from billing_mcp.domain.topups import TopUpStatus
from billing_mcp.operations.platform_money import PlatformMoney
from billing_mcp.operations.topup_news import not_answered
from billing_mcp.operations.topup_start import CHARGE
from billing_mcp.store.store import Store
from billing_mcp.worker.watching import look_at_moved_balance
from tests.conftest import Clock
from tests.worker.till import EUR, Till

TIME_OUTS: dict[str, tuple[TopUpStatus, int]] = {
    "tok_timeout_charged": ("succeeded", 1),
    "tok_timeout_declined": ("failed", 1),
    "tok_timeout_not_charged": ("succeeded", 2),
}


@pytest.mark.parametrize("webhooks", ["arrive", "are lost"])
@pytest.mark.parametrize("token", TIME_OUTS)
async def test_a_charge_whose_answer_is_lost_is_unknown_and_looked_up_before_it_is_asked_for_again(
    store: Store, clock: Clock, token: str, webhooks: str
) -> None:
    till = await Till.open(store, clock)
    account_id = await till.account(token)
    topup_id = await till.topup(account_id)
    worker = till.worker()
    till.provider.silent = webhooks == "are lost"

    await worker.run_once()
    assert len(await till.events(account_id, "billing.topup.unknown")) == 1
    if webhooks == "are lost":
        assert (await till.known(account_id, topup_id)).status == "unknown"
        assert (await till.wallet(account_id)).available_micros == 0
    clock.now += timedelta(seconds=10)
    await worker.run_once()

    known = await till.known(account_id, topup_id)
    status, asked = TIME_OUTS[token]
    assert (known.status, known.answered) == (status, True)
    assert till.provider.asked == {known.payment_id: asked}
    if status == "succeeded":
        await till.assert_charged_and_credited_once(account_id)
    else:
        assert await till.ledger(account_id) == []
    assert await charges_waiting(till) == 0


async def charges_waiting(till: Till) -> int:
    async with till.store.read(till.clock()) as tx:
        return sum(work.topic == CHARGE for work in await tx.outbox.listed(None, limit=1000))


async def test_a_webhook_that_is_quicker_than_a_time_out_is_not_forgotten_by_it(store: Store, clock: Clock) -> None:
    till = await Till.open(store, clock)
    account_id = await till.account("tok_sepa")
    topup_id = await till.topup(account_id)
    await till.worker().run_once()

    async with store.write(clock()) as tx:
        told = await not_answered(tx, account_id, topup_id)

    assert (told.status, told.answered) == ("processing", True)


async def test_the_same_job_done_by_several_at_a_time_charges_and_credits_once(
    store: Store, database: str, clock: Clock
) -> None:
    second = await Store.open(database)
    try:
        tills = [await Till.open(store, clock), await Till.open(second, clock)]
        for _ in range(5):
            account_id = await tills[0].account()
            topup_id = await tills[0].topup(account_id)
            async with store.read(clock()) as tx:
                (work,) = [each for each in await tx.outbox.listed(None, limit=1000) if each.topic == CHARGE]
            await asyncio.gather(*(tills[number % 2].charging.charge(work) for number in range(6)))
            await tills[0].assert_charged_and_credited_once(account_id)
            assert len(await tills[1].events(account_id, "billing.topup.succeeded")) == 1
            assert (await tills[0].known(account_id, topup_id)).payment_id is not None
            await tills[0].worker().run_once()
        await tills[0].assert_sound()
    finally:
        await second.close()


async def test_a_notice_that_several_follow_at_a_time_makes_one_reload(
    store: Store, database: str, clock: Clock
) -> None:
    second = await Store.open(database)
    try:
        tills = [await Till.open(store, clock), await Till.open(second, clock)]
        for _ in range(5):
            account_id = await tills[0].account(funds=30 * EUR)
            await tills[0].must("auto_reload.set", account_id, enabled=True, threshold="20.00", amount="50.00")
            await tills[0].app.holds.place(account_id, 11 * EUR)
            async with store.read(clock()) as tx:
                (work,) = [each for each in await tx.outbox.listed(None, limit=1000) if each.topic == BALANCE_MOVED]
            jobs = [look_at_moved_balance(till.store, till.app.catalog, clock) for till in tills]
            await asyncio.gather(*(jobs[number % 2](work) for number in range(6)))
            assert len(await tills[0].topups(account_id)) == 1
            await tills[0].worker().run_once()
            await tills[0].assert_charged_and_credited_once(account_id)
    finally:
        await second.close()


async def test_what_a_provider_does_not_know_keeps_neither_other_topups_waiting_nor_the_worker_busy(
    store: Store, clock: Clock
) -> None:
    till = await Till.open(store, clock)
    account_id = await till.account("tok_sepa")
    lost, kept = await till.topup(account_id), await till.topup(account_id)
    worker = till.worker()
    await worker.run_once()
    await till.provider.forget((await till.known(account_id, lost)).payment_id or "")
    await till.told(account_id)
    clock.now += timedelta(days=4)
    await till.told(account_id)

    async with asyncio.timeout(30):
        await worker.run_once()

    assert (await till.known(account_id, kept)).status == "succeeded"
    assert (await till.known(account_id, lost)).status == "processing"
    assert worker.outcomes["dead"] == 1


async def test_topups_of_another_provider_are_left_to_it(store: Store, clock: Clock) -> None:
    till = await Till.open(store, clock)
    account_id = await till.account("tok_sepa")
    topup_id = await till.topup(account_id)
    await till.worker().run_once()
    clock.now += timedelta(hours=1)
    till.provider.name = "other"
    worker = till.worker()

    async with asyncio.timeout(30):
        await worker.run_once()

    assert worker.outcomes == {}
    assert (await till.known(account_id, topup_id)).status == "processing"


async def test_a_charge_that_the_provider_refuses_to_register_has_failed_at_once(store: Store, clock: Clock) -> None:
    till = await Till.open(store, clock)
    account_id = await till.account()
    topup_id = await till.topup(account_id)
    async with store.read(clock()) as tx:
        (method,) = await tx.payments.methods(account_id)
    await till.provider.detach_method(method.known.reference or "")

    await till.worker().run_once()

    known = await till.known(account_id, topup_id)
    assert (known.status, known.facts.failure_code) == ("failed", "payment_refused")


@pytest.mark.parametrize("way", ["a hold is released", "the platform gives credit", "another top-up"])
async def test_spending_is_frozen_while_a_reversal_has_left_less_than_nothing(
    store: Store, clock: Clock, way: str
) -> None:
    till = await Till.open(store, clock)
    account_id = await till.account("tok_sepa_returned")
    await till.topup(account_id)
    worker = till.worker()
    await worker.run_once()
    clock.now += timedelta(days=4)
    await worker.run_once()
    hold = (await till.app.holds.place(account_id, 6 * EUR)).hold
    assert hold is not None
    clock.now += timedelta(days=6)
    await worker.run_once()
    assert (await till.wallet(account_id)).available_micros == -6 * EUR
    assert await till.status(account_id) == "past_due"
    (told,) = await till.events(account_id, "billing.account.past_due")
    assert (told.payload["owed"], told.payload["reason"]) == ("6.00", "topup_reversed")
    with pytest.raises(Refused, match="past_due"):
        await till.app.holds.place(account_id, 1)

    if way == "a hold is released":
        await till.app.holds.release(account_id, hold.hold_id)
    elif way == "the platform gives credit":
        money = PlatformMoney(store, clock)
        await money.credit(account_id, 6 * EUR - 1, reason="Not enough")
        await worker.run_once()
        assert await till.status(account_id) == "past_due"
        await money.credit(account_id, 1, reason="The rest")
    else:
        await till.method(account_id, "tok_visa")
        await till.topup(account_id)
    await worker.run_once()

    assert await till.status(account_id) == "active"
    assert len(await till.events(account_id, "billing.account.recovered")) == 1


async def test_an_account_without_a_method_to_charge_is_not_told_so_every_hour_for_ever(
    store: Store, clock: Clock
) -> None:
    till = await Till.open(store, clock)
    account_id = await till.account(funds=30 * EUR)
    await till.must("auto_reload.set", account_id, enabled=True, threshold="20.00", amount="50.00")
    async with store.write(clock()) as tx:
        (method,) = await tx.payments.methods(account_id)
        await tx.payments.save_method(method, replace(method, known=replace(method.known, status="failed")))
    worker = till.worker()

    await till.app.holds.place(account_id, 11 * EUR)
    for _ in range(48):
        await worker.run_once()
        clock.now += timedelta(hours=1)

    assert len(await till.events(account_id, "billing.auto_reload.failed")) == 2
    (disabled,) = await till.events(account_id, "billing.auto_reload.disabled")
    assert disabled.payload["last_failure"] == "no_payment_method"
    assert await till.topups(account_id) == []


async def test_a_topup_that_is_on_its_way_counts_until_it_fails(store: Store, clock: Clock) -> None:
    till = await Till.open(store, clock)
    account_id = await till.account("tok_sepa_fails", funds=30 * EUR)
    worker = till.worker()
    await till.topup(account_id, 25 * EUR)
    await worker.run_once()
    await till.method(account_id, "tok_visa")
    await till.must("auto_reload.set", account_id, enabled=True, threshold="20.00", amount="50.00")

    await till.app.holds.place(account_id, 30 * EUR, expires_at=clock.now + timedelta(days=90))
    await worker.run_once()
    await till.must("auto_reload.set", account_id, enabled=True)  # somebody looks
    assert [each.status for each in await till.topups(account_id)] == ["processing"]
    clock.now += timedelta(days=6)
    await worker.run_once()

    assert [(each.origin, each.status) for each in await till.topups(account_id)] == [
        ("manual", "failed"),
        ("auto_reload", "succeeded"),
    ]
    assert (await till.wallet(account_id)).available_micros == 50 * EUR


async def test_a_dispute_that_is_won_is_no_second_success(store: Store, clock: Clock) -> None:
    till = await Till.open(store, clock)
    account_id = await till.account("tok_dispute_won")
    topup_id = await till.topup(account_id)
    for _ in range(3):
        await till.worker().run_once()
        clock.now += timedelta(days=5)

    assert (await till.known(account_id, topup_id)).status == "succeeded"
    told = [each.event for each in await till.events(account_id) if each.event.startswith("billing.topup.")]
    assert sorted(told) == [
        "billing.topup.created",
        "billing.topup.reinstated",
        "billing.topup.reversed",
        "billing.topup.succeeded",
    ]


async def test_a_customer_who_never_authenticates_keeps_nothing_waiting_for_ever(store: Store, clock: Clock) -> None:
    till = await Till.open(store, clock)
    account_id = await till.account("tok_authenticate")
    topup_id = await till.topup(account_id)
    for _ in range(4):
        await till.worker().run_once()
        assert (await till.known(account_id, topup_id)).status == "requires_action"
        clock.now += timedelta(hours=20)
    await till.worker().run_once()

    known = await till.known(account_id, topup_id)
    assert (known.status, known.facts.failure_code) == ("failed", "not_authenticated")
    await till.provider.authenticate(known.payment_id or "", succeeds=True)
    await till.worker().run_once()
    assert (await till.known(account_id, topup_id)).status == "succeeded"
    await till.assert_charged_and_credited_once(account_id)
