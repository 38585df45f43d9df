"""Money comes in exactly once: whatever is told, in whatever order, however often, and by how many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import pytest

from billing_mcp.domain.ids import new_id
from billing_mcp.domain.payments import Facts, Method, PaymentMethod
from billing_mcp.domain.topups import TopUp, TopUpStatus
from billing_mcp.operations.platform import open_account
from billing_mcp.operations.topup_start import begin_topup
from billing_mcp.payments.port import Heard
from billing_mcp.store.store import Store
from tests.conftest import Clock
from tests.worker.till import CENT, EUR, Till, Webhook, sums, webhook

NET, GROSS = 10 * EUR, 1190 * CENT
PART = 333 * CENT
REST = GROSS - PART
_CREATED = ("payment.created", Facts("created"))
_PROCESSING = ("payment.processing", Facts("processing"))
_SUCCEEDED = ("payment.succeeded", Facts("succeeded", GROSS))
_REFUNDED = ("payment.refunded", Facts("succeeded", GROSS, PART))
_RETURNED = ("payment.returned", Facts("succeeded", GROSS, 0, GROSS))

_DISPUTED = ("payment.disputed", Facts("succeeded", GROSS, PART, REST))
FIVE = (_CREATED, _PROCESSING, _SUCCEEDED, _REFUNDED, _DISPUTED)
STORIES: dict[str, tuple[tuple[str, Facts], ...]] = {
    "a dispute that is won": (
        _PROCESSING,
        _SUCCEEDED,
        ("payment.disputed", Facts("succeeded", GROSS, 0, GROSS)),
        ("payment.dispute_won", Facts("succeeded", GROSS, 0, GROSS, GROSS)),
    ),
    "a refund in two parts": (
        _PROCESSING,
        _SUCCEEDED,
        _REFUNDED,
        ("payment.refunded", Facts("succeeded", GROSS, GROSS)),
    ),
    "a debit that is returned": (_CREATED, _PROCESSING, _SUCCEEDED, _RETURNED),
    "a debit that fails": (
        _CREATED,
        _PROCESSING,
        ("payment.failed", Facts("failed", failure_code="insufficient_funds")),
    ),
}
ENDS: dict[str, tuple[TopUpStatus, int]] = {
    "a dispute that is won": ("succeeded", NET),
    "a refund in two parts": ("refunded", 0),
    "a debit that is returned": ("reversed", 0),
    "a debit that fails": ("failed", 0),
}


async def till_of(store: Store, clock: Clock, count: int) -> tuple[Till, list[TopUp]]:
    """A till with so many accounts, each with a top-up that was charged and of which nobody has heard."""
    till = await Till.open(store, clock)
    topups = []
    async with store.write(clock()) as tx:
        for number in range(count):
            account_id = f"0190c0de-0000-7000-8000-{number:012d}"
            await open_account(tx, account_id, "Payer", "EUR")
            method = PaymentMethod(
                account_id, new_id(clock()), "test", Method("active", "card", "pm_1"), True, clock(), clock()
            )
            await tx.payments.add_method(method)
            topup = replace(
                await begin_topup(tx, till.app.catalog, method, NET, "manual"), payment_id=f"pay_{account_id}"
            )
            await tx.payments.save_topup(topup, check_at=None)
            topups.append(topup)
    return till, topups


def told(topup: TopUp, story: Sequence[tuple[str, Facts]]) -> list[Webhook]:
    return [webhook(topup, topup.payment_id or "", *event) for event in story]


@pytest.mark.parametrize("repeated", ["each twice in a row", "all of them twice"])
async def test_in_all_orders_five_webhooks_that_come_twice_come_to_the_same(
    store: Store, clock: Clock, repeated: str
) -> None:
    orders = list(permutations(FIVE))
    till, topups = await till_of(store, clock, len(orders))
    for topup, order in zip(topups, orders, strict=True):
        events = told(topup, order)
        await till.hear([e for e in events for _ in range(2)] if repeated == "each twice in a row" else events * 2)

    usual = await assert_all_the_same(till, topups, "reversed", 0)
    assert usual == {
        ("topup", "available"): NET,
        ("topup", "tax"): GROSS - NET,
        ("topup", "cash:test"): -GROSS,
        ("refund", "available"): -280 * CENT,
        ("refund", "tax"): -53 * CENT,
        ("refund", "cash:test"): PART,
        ("reversal", "available"): -720 * CENT,
        ("reversal", "tax"): -137 * CENT,
        ("reversal", "cash:test"): REST,
    }


@pytest.mark.parametrize("story", STORIES)
async def test_in_all_orders_the_webhooks_of_other_stories_come_to_the_same_too(
    store: Store, clock: Clock, story: str
) -> None:
    orders = list(permutations(STORIES[story]))
    till, topups = await till_of(store, clock, len(orders))
    for topup, order in zip(topups, orders, strict=True):
        await till.hear(told(topup, order) * 2)

    usual = await assert_all_the_same(till, topups, *ENDS[story])
    assert sum(micros for (_, name), micros in usual.items() if name == "tax") == ENDS[story][1] * 19 // 100


async def assert_all_the_same(
    till: Till, topups: Sequence[TopUp], status: TopUpStatus, net_micros: int
) -> dict[tuple[str, str], int]:
    """All have ended so, and have posted the same, which is returned; the books are sound."""
    usual = sums(await till.ledger(topups[0].account_id))
    for topup in topups:
        ledger = await till.ledger(topup.account_id)
        assert (await till.known(topup.account_id, topup.topup_id)).status == status
        assert (await till.wallet(topup.account_id)).available_micros == net_micros
        assert sums(ledger) == usual
        assert [each.type for each in ledger].count("topup") == (status != "failed")
        assert len({(each.type, each.amount_micros, each.direction) for each in ledger}) == len(ledger)
    await till.assert_sound()
    return usual


async def test_a_hundred_copies_of_one_webhook_at_a_time_are_one_posting(
    store: Store, database: str, clock: Clock
) -> None:
    till, (topup,) = await till_of(store, clock, 1)
    (event,) = told(topup, [_SUCCEEDED])
    second = await Store.open(database)
    try:
        other = await Till.open(second, clock)
        async with asyncio.timeout(60):
            await asyncio.gather(*((till, other)[number % 2].hear([event]) for number in range(100)))
    finally:
        await second.close()

    (posted,) = await till.ledger(topup.account_id)
    assert (posted.type, posted.amount_micros) == ("topup", NET)
    assert len(await till.events(topup.account_id, "billing.topup.succeeded")) == 1
    await till.assert_sound()


async def test_what_a_webhook_leaves_out_is_looked_up(store: Store, clock: Clock) -> None:
    till = await Till.open(store, clock)
    account_id = await till.account()
    topup_id = await till.topup(account_id)
    await till.worker().run_once()
    topup = await till.known(account_id, topup_id)
    assert topup.payment_id is not None
    for number in range(2):
        await till.provider.refund(topup.payment_id, PART, key=f"refund-{number}")
    await till.told(account_id)

    one_of_two = Facts("succeeded", PART, PART)
    for _ in range(2):
        await till.charging.hear(Heard("evt", "refund.created", None, topup.payment_id, one_of_two, is_all=False))
    assert (await till.known(account_id, topup_id)).facts.refunded_micros == PART
    await till.worker().run_once()

    assert (await till.known(account_id, topup_id)).facts.refunded_micros == 2 * PART
    await till.assert_sound()


async def test_a_webhook_of_a_payment_that_is_nobodys_is_passed_over(store: Store, clock: Clock) -> None:
    till, (topup,) = await till_of(store, clock, 1)
    foreign = replace(topup, payment_id="pay_foreign")

    await till.hear(told(foreign, FIVE))

    assert await till.ledger(topup.account_id) == []
