"""Accounts with a past of everything that moves money, for exports to be right about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from billing_mcp.domain.money import parse_micros
from billing_mcp.operations.credit_notes import issue_credit_note
from billing_mcp.operations.platform import open_account
from billing_mcp.operations.platform_money import PlatformMoney
from tests.operations.paying import Customer
from tests.operations.platform import Platform
from tests.world import World

DOLLARS = "0190c0de-0000-7000-8000-00000000d011"
HOSTILE = 'Müller & Söhne "=1+1" \\ 😀'


async def live(world: World) -> None:
    """From 12 March to 13 May 2026: plans, closed periods, debts, holds, messages, top-ups, refunds, notes."""
    planned = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=107)
    owing = await world.account(funds="10.00", plan="smtp_per_mailbox", mailbox=3)
    held = await world.account(funds="80.00")
    await world.account()
    sender = await Platform.of(world)
    payer, disputed = [Customer(world, await world.account(), []) for _ in range(2)]
    money = PlatformMoney(world.app.store, world.clock)
    async with world.app.store.write(world.clock()) as tx:
        await open_account(tx, DOLLARS, HOSTILE, "USD")

    await _pay(payer, "tok_visa", refund="13.37")
    await _pay(disputed, "tok_dispute_won")
    await money.credit(held, parse_micros("5.25"), reason='=HYPERLINK("x")')
    _at(world, 3, 20)
    await sender.delivered(await sender.sms())
    await money.receive(DOLLARS, parse_micros("70.00"), provider="wire")
    await _hold(world, held, "10.00", capture="6.123457")
    await world.count(planned, "mailbox", 211)
    _at(world, 4, 1)
    await _hold(world, DOLLARS, "30.00", capture="30.00")
    await _hold(world, held, "8.50", capture=None)
    # Two servers' clocks differ a little, and the ledger has the later transaction before the earlier one.
    _at(world, 4, 2)
    await money.credit(held, 1, reason="one")
    world.clock.now -= timedelta(seconds=1)
    await money.credit(held, 2, reason="two")
    _at(world, 4, 12)
    for account_id in (planned, owing):
        await world.close_period(account_id)
    await payer.pass_time(days=1)
    await disputed.pass_time(days=9)
    _at(world, 5, 1, 9)
    await world.pay(owing, "50.00")
    await money.credit(DOLLARS, parse_micros("0.01"), reason="A cent")
    _at(world, 5, 12)
    await world.close_period(planned)
    await _hold(world, held, "0.50", capture="0.25")
    await _hold(world, held, "0.000001", capture=None)
    async with world.app.store.write(world.clock()) as tx:
        ((invoice, *_), _) = await tx.invoices.page(planned, page=1, page_size=1)
        amounts = {1: parse_micros("1.23")}
        await issue_credit_note(tx, world.app.catalog, planned, invoice.number, amounts, reason="An outage")
    _at(world, 5, 13, 12)


def _at(world: World, month: int, day: int, hour: int = 0) -> None:
    world.clock.now = datetime(2026, month, day, hour, tzinfo=UTC)


async def _pay(customer: Customer, token: str, *, refund: str | None = None) -> None:
    await customer.add(token)
    await customer.top_up("50.00")
    if refund is not None:
        now = customer.world.clock()
        found = customer.provider.payments(now - timedelta(days=1), now + timedelta(days=1))
        (payment,) = [each async for each in found if each.account_id == customer.account_id]
        await customer.provider.refund(payment.payment_id, parse_micros(refund), key=refund)
    await customer.pass_time(days=3)


async def _hold(world: World, account_id: str, amount: str, *, capture: str | None) -> None:
    """A hold that is captured and ends, or stays open."""
    hold = (await world.app.holds.place(account_id, parse_micros(amount), reference="Überweisung")).hold
    assert hold is not None
    if capture is not None:
        await world.app.holds.capture(account_id, hold.hold_id, parse_micros(capture), final=True)
