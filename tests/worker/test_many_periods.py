"""Period after period: the chain of invoices has no gap, and adds up to what the wallet gave."""

from __future__ import annotations

from datetime import timedelta

from billing_mcp.domain.money import MICROS_PER_CENT, format_micros, round_to_cents
from tests.worker.closing import (
    TO_MAILBOX,
    TO_PROXY,
    assert_sound,
    at,
    close,
    invoices,
    ledger,
    wallet_change,
)
from tests.world import World


async def test_a_period_that_starts_on_the_31st_ends_on_the_last_day_of_shorter_months(world: World) -> None:
    world.clock.now = at("2026-01-31")
    account_id = await world.account(funds="500.00", plan="smtp_per_mailbox", mailbox=10)
    ends = ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30", "2026-07-31", "2026-08-31"]

    for end in ends:
        await close(world, account_id, end)

    found = await invoices(world, account_id)
    assert [invoice.period_start.isoformat() for invoice in found] == ["2026-01-31", *ends[:-1]]
    assert [invoice.period_end.isoformat() for invoice in found] == ends
    assert {format_micros(invoice.amount_micros) for invoice in found} == {"32.50"}
    assert await world.balance(account_id) == "272.50"
    await assert_sound(world)


async def test_invoices_are_numbered_without_a_gap_by_account(world: World) -> None:
    accounts = [await world.account(funds=funds, plan="smtp_per_mailbox") for funds in ("500.00", "0.00")]
    for month in range(4, 10):
        for account_id in accounts:
            await close(world, account_id, f"2026-{month:02d}-12")
            await close(world, account_id, f"2026-{month:02d}-13")

    for account_id in accounts:
        assert [invoice.invoice_seq for invoice in await invoices(world, account_id)] == [1, 2, 3, 4, 5, 6]
    ids = {invoice.invoice_id for account_id in accounts for invoice in await invoices(world, account_id)}
    assert len(ids) == 12


async def test_the_invoices_of_a_year_are_what_the_wallet_gave_in_it(world: World) -> None:
    world.clock.now = at("2025-12-31")
    account_id = await world.account(funds="2000.00", plan="smtp_per_mailbox", mailbox=33, proxy=1)
    start = world.clock.now
    for month in range(1, 13):
        world.clock.now = start.replace(year=2026, month=month, day=7)
        await world.count(account_id, "mailbox", 33 + 7 * month)
        await world.pay(account_id, "0.01")
        if month % 3 == 0:
            world.clock.now += timedelta(days=10)
            await world.must((TO_PROXY if month % 2 else TO_MAILBOX).format(account_id))
        following = start.replace(year=2026, month=month + 1, day=1) if month < 12 else start.replace(2027, 1, 1)
        await close(world, account_id, (following.date() - timedelta(days=1)).isoformat())

    found = await invoices(world, account_id)
    given = sum(-wallet_change(t) for t in await ledger(world, account_id) if t.type != "topup")

    assert len(found) == 12
    assert [invoice.period_start for invoice in found[1:]] == [invoice.period_end for invoice in found[:-1]]
    assert sum(invoice.amount_micros for invoice in found) == given
    assert await world.balance(account_id) == format_micros(2_000_120_000 - given)
    for invoice in found:
        rounded = sum(round_to_cents(line.amount_micros) for line in invoice.lines) * MICROS_PER_CENT
        assert invoice.amount_micros == invoice.paid_micros == rounded
    await assert_sound(world)
