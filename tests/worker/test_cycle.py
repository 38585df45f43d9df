"""Closing a period: what was used is charged once, and the invoice is what the wallet gave."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest

from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.money import format_micros
from billing_mcp.operations.closing import close_ended
from tests.worker.closing import (
    CANCEL,
    CANCEL_NOW,
    TO_MAILBOX,
    TO_PROXY,
    account_status,
    amounts,
    assert_sound,
    at,
    booked,
    close,
    invoices,
    ledger,
)
from tests.world import World


async def test_closing_a_period_charges_what_it_used_and_issues_its_invoice(world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=10)

    await close(world, account_id, "2026-04-12")

    (invoice,) = await invoices(world, account_id)
    assert (invoice.period_start, invoice.period_end) == (date(2026, 3, 12), date(2026, 4, 12))
    assert (invoice.status, format_micros(invoice.amount_micros)) == ("paid", "32.50")
    assert invoice.paid_micros == invoice.amount_micros
    assert (invoice.invoice_seq, invoice.currency, invoice.issued_at) == (1, "EUR", world.clock.now)
    assert amounts(invoice.lines) == [("base", "29.00"), ("mailbox", "3.50")]
    assert booked((await ledger(world, account_id))[-1]) == {"available": "-32.50", "revenue": "32.50"}
    assert await world.balance(account_id) == "67.50"
    assert await account_status(world, account_id) == "active"
    await assert_sound(world)


async def test_the_wallet_gives_whole_cents_and_the_rest_is_booked_as_rounding(world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=100)
    await world.count(account_id, "mailbox", 107, date(2026, 3, 22))

    await close(world, account_id, "2026-04-12")

    # 100 x 0.35 x 10/31 = 11.290323, and 107 x 0.35 x 21/31 = 25.369355, each line rounded once.
    (invoice,) = await invoices(world, account_id)
    assert amounts(invoice.lines) == [("base", "29.00"), ("mailbox", "11.290323"), ("mailbox", "25.369355")]
    assert format_micros(invoice.amount_micros) == "65.66"
    posted = (await ledger(world, account_id))[-1]
    assert booked(posted) == {"available": "-65.66", "revenue": "65.659678", "rounding": "0.000322"}
    assert amounts(posted.line_items) == [*amounts(invoice.lines), ("rounding", "0.000322")]
    assert await world.balance(account_id) == "34.34"
    await assert_sound(world)


async def test_closing_a_period_twice_does_nothing_the_second_time(world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=10)
    await close(world, account_id, "2026-04-12")
    before = await world.snapshot(account_id)

    for day in ("2026-04-12", "2026-04-13", "2026-05-11"):
        await close(world, account_id, day, hour=23)

    assert await world.snapshot(account_id) == before


async def test_workers_that_close_a_period_at_once_close_it_once(world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=10)
    world.clock.now = at("2026-04-12")

    await asyncio.gather(*(world.close_period(account_id) for _ in range(5)))

    assert len(await invoices(world, account_id)) == 1
    assert await world.balance(account_id) == "67.50"
    await assert_sound(world)


async def test_a_period_that_has_not_ended_is_not_closed(world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=10)
    before = await world.snapshot(account_id)

    await close(world, account_id, "2026-04-11", hour=23)

    assert await world.snapshot(account_id) == before


async def test_an_account_without_use_gets_no_invoice(world: World) -> None:
    account_id = await world.account(funds="100.00", mailbox=10)
    before = await world.snapshot(account_id)

    await close(world, account_id, "2026-04-12")

    assert await world.snapshot(account_id) == before


async def test_an_account_that_does_not_exist_cannot_be_closed(world: World) -> None:
    with pytest.raises(NotFound):
        await world.close_period("0190c0de-0000-7000-8000-ffffffffffff")


async def test_a_plan_change_within_the_period_is_on_its_invoice_once(world: World) -> None:
    account_id = await world.account(funds="200.00", plan="smtp_per_mailbox", mailbox=100, proxy=2)
    world.clock.now = at("2026-03-22")
    await world.must(TO_PROXY.format(account_id))
    assert await world.balance(account_id) == "179.354838"

    await close(world, account_id, "2026-04-12")

    # 10 days of one plan were charged at the change; 21 days of the other: 99.00 and 2 x 18.00 x 21/31.
    (invoice,) = await invoices(world, account_id)
    assert amounts(invoice.lines) == [
        ("base", "9.354839"),
        ("mailbox", "11.290323"),
        ("base", "67.064516"),
        ("proxy", "24.387097"),
    ]
    assert [line.period_start for line in invoice.lines] == ["2026-03-12"] * 2 + ["2026-03-22"] * 2
    assert format_micros(invoice.amount_micros) == "112.09"
    assert await world.balance(account_id) == "87.91"
    await close(world, account_id, "2026-05-12")
    assert amounts((await invoices(world, account_id))[1].lines) == [("base", "99.00"), ("proxy", "36.00")]
    await assert_sound(world)


async def test_a_pending_plan_change_within_the_period_is_on_its_invoice_once(world: World) -> None:
    account_id = await world.account(funds="200.00", plan="smtp_per_mailbox", mailbox=100, proxy=2)
    await world.must(TO_PROXY.format(account_id).replace(")", ", effective_date='2026-03-22')"))

    await close(world, account_id, "2026-04-12")

    (invoice,) = await invoices(world, account_id)
    assert format_micros(invoice.amount_micros) == "112.09"
    assert await world.balance(account_id) == "87.91"
    await assert_sound(world)


async def test_a_plan_change_on_the_day_a_period_ends_settles_the_period_for_its_invoice(world: World) -> None:
    account_id = await world.account(funds="500.00", plan="smtp_per_mailbox", mailbox=10)
    world.clock.now = at("2026-04-12", hour=0)
    await world.must(TO_PROXY.format(account_id))
    assert await world.balance(account_id) == "467.50"

    await close(world, account_id, "2026-04-12", hour=2)
    await close(world, account_id, "2026-05-12")

    assert [format_micros(invoice.amount_micros) for invoice in await invoices(world, account_id)] == ["32.50", "99.00"]
    assert await world.balance(account_id) == "368.50"
    await assert_sound(world)


async def test_a_plan_change_before_a_late_close_is_split_over_both_invoices(world: World) -> None:
    account_id = await world.account(funds="500.00", plan="smtp_per_mailbox", mailbox=10)
    world.clock.now = at("2026-04-14")
    await world.must(TO_PROXY.format(account_id))

    await close(world, account_id, "2026-04-14", hour=2)
    await close(world, account_id, "2026-05-12")

    # 2 of 30 days of the old plan, 1.933333 and 0.233333, and 28 of the new one, 92.40.
    first, second = await invoices(world, account_id)
    assert (first.period_start, format_micros(first.amount_micros)) == (date(2026, 3, 12), "32.50")
    assert amounts(second.lines) == [("base", "1.933333"), ("mailbox", "0.233333"), ("base", "92.40")]
    assert format_micros(second.amount_micros) == "94.56"
    assert await world.balance(account_id) == "372.94"
    await assert_sound(world)


async def test_several_plan_changes_in_a_period_are_all_on_its_invoice(world: World) -> None:
    account_id = await world.account(funds="500.00", plan="smtp_per_mailbox", mailbox=7, proxy=1)
    for day, script in (("2026-03-15", TO_PROXY), ("2026-03-29", TO_MAILBOX), ("2026-04-11", TO_PROXY)):
        world.clock.now = at(day)
        await world.must(script.format(account_id))

    await close(world, account_id, "2026-04-12")

    (invoice,) = await invoices(world, account_id)
    assert [(line.component_type, line.period_start) for line in invoice.lines] == [
        ("base", "2026-03-12"), ("mailbox", "2026-03-12"),
        ("base", "2026-03-15"), ("proxy", "2026-03-15"),
        ("base", "2026-03-29"), ("mailbox", "2026-03-29"),
        ("base", "2026-04-11"), ("proxy", "2026-04-11"),
    ]  # fmt: skip
    assert await world.balance(account_id) == format_micros(500_000_000 - invoice.amount_micros)
    await assert_sound(world)


async def test_what_the_wallet_cannot_pay_is_owed_and_the_account_is_past_due(world: World) -> None:
    account_id = await world.account(funds="10.00", plan="smtp_per_mailbox", mailbox=10)

    await close(world, account_id, "2026-04-12")

    (invoice,) = await invoices(world, account_id)
    assert (invoice.status, format_micros(invoice.amount_micros)) == ("past_due", "32.50")
    assert format_micros(invoice.paid_micros) == "10.00"
    assert booked((await ledger(world, account_id))[-1]) == {
        "available": "-10.00",
        "receivable": "-22.50",
        "revenue": "32.50",
    }
    assert await world.balance(account_id) == "0.00"
    assert await account_status(world, account_id) == "past_due"
    await assert_sound(world)


async def test_what_a_cancelled_plan_left_unpaid_is_owed_on_its_invoice_too(world: World) -> None:
    world.clock.now = at("2026-04-12")
    account_id = await world.account(funds="5.00", plan="smtp_per_mailbox", mailbox=10)
    world.clock.now = at("2026-04-27")
    await world.must(CANCEL_NOW.format(account_id))

    await close(world, account_id, "2026-05-12")

    # Half a period of 30 days: 14.50 and 1.75.
    (invoice,) = await invoices(world, account_id)
    assert (invoice.status, format_micros(invoice.amount_micros)) == ("past_due", "16.25")
    assert format_micros(invoice.paid_micros) == "5.00"
    assert amounts(invoice.lines) == [("base", "14.50"), ("mailbox", "1.75")]
    assert await world.balance(account_id) == "0.00"
    assert await account_status(world, account_id) == "past_due"
    await assert_sound(world)


async def test_rounding_lowers_what_is_owed_before_anybody_is_paid(world: World) -> None:
    account_id = await world.account(funds="5.00", plan="smtp_per_mailbox", mailbox=100)
    world.clock.now = at("2026-03-22")
    await world.must(CANCEL_NOW.format(account_id))

    await close(world, account_id, "2026-04-12")

    # 20.645162 was due for 10 days, and the invoice says 9.35 and 11.29.
    (invoice,) = await invoices(world, account_id)
    assert (invoice.status, format_micros(invoice.amount_micros)) == ("past_due", "20.64")
    assert format_micros(invoice.paid_micros) == "5.00"
    assert booked((await ledger(world, account_id))[-1]) == {"receivable": "0.005162", "rounding": "-0.005162"}
    assert await world.balance(account_id) == "0.00"
    await assert_sound(world)


async def test_a_period_without_any_money_is_owed_in_full(world: World) -> None:
    account_id = await world.account(plan="smtp_per_mailbox", mailbox=10)

    await close(world, account_id, "2026-04-12")
    await close(world, account_id, "2026-05-12")

    found = await invoices(world, account_id)
    assert [(invoice.status, invoice.paid_micros) for invoice in found] == [("past_due", 0)] * 2
    assert [booked(transaction) for transaction in await ledger(world, account_id)] == [
        {"receivable": "-32.50", "revenue": "32.50"}
    ] * 2
    await assert_sound(world)


async def test_money_that_came_after_a_past_due_invoice_pays_that_before_the_next_one(world: World) -> None:
    account_id = await world.account(funds="10.00", plan="smtp_per_mailbox", mailbox=10)
    await close(world, account_id, "2026-04-12")
    await world.pay(account_id, "40.00")

    await close(world, account_id, "2026-05-12")

    found = await invoices(world, account_id)
    assert [invoice.status for invoice in found] == ["paid", "past_due"]
    assert [format_micros(invoice.unpaid_micros) for invoice in found] == ["0.00", "15.00"]  # 10 + 40 - 2 x 32.50
    assert await world.balance(account_id) == "0.00"
    assert await account_status(world, account_id) == "past_due"


async def test_a_plan_that_was_cancelled_is_on_one_last_invoice(world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=100)
    world.clock.now = at("2026-03-22")
    await world.must(CANCEL_NOW.format(account_id))

    await close(world, account_id, "2026-04-12")
    await close(world, account_id, "2026-05-12")

    (invoice,) = await invoices(world, account_id)
    assert amounts(invoice.lines) == [("base", "9.354839"), ("mailbox", "11.290323")]
    assert format_micros(invoice.amount_micros) == "20.64"
    assert await world.balance(account_id) == "79.36"
    await assert_sound(world)


async def test_a_plan_that_ends_with_its_period_is_charged_to_the_end(world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=10)
    world.clock.now = at("2026-03-22")
    await world.must(CANCEL.format(account_id))

    for day in ("2026-04-12", "2026-05-12"):
        await close(world, account_id, day)

    (invoice,) = await invoices(world, account_id)
    assert format_micros(invoice.amount_micros) == "32.50"
    await assert_sound(world)


async def test_a_failed_close_leaves_nothing(world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=10)
    before = await world.snapshot(account_id)
    world.clock.now = at("2026-04-12")

    async def fail() -> None:
        async with world.app.store.write(world.clock()) as tx:
            assert await close_ended(tx, world.app.catalog, account_id)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()

    assert await world.snapshot(account_id) == before
    await world.close_period(account_id)
    assert await world.balance(account_id) == "67.50"
