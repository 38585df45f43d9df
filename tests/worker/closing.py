"""What the tests of closing share: the scripts, the days, and what was charged and invoiced."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from billing_mcp.domain.invoices import Invoice
from billing_mcp.domain.ledger import LedgerTransaction, LineItem
from billing_mcp.domain.money import format_micros
from tests.world import World

TO_PROXY = "billing.plan.change(account_id={0!r}, plan_id='smtp_per_proxy')"
TO_MAILBOX = "billing.plan.change(account_id={0!r}, plan_id='smtp_per_mailbox')"
CANCEL_NOW = "billing.plan.cancel(account_id={0!r}, cancel_immediately=True)"
CANCEL = "billing.plan.cancel(account_id={0!r})"


def at(text: str, hour: int = 1) -> datetime:
    return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC) + timedelta(hours=hour)


async def close(world: World, account_id: str, on: str, hour: int = 1) -> None:
    world.clock.now = at(on, hour)
    await world.close_period(account_id)


async def invoices(world: World, account_id: str) -> list[Invoice]:
    """All invoices of an account, oldest first."""
    found, _ = (await world.snapshot(account_id))["invoices"]
    return list(reversed(found))


async def ledger(world: World, account_id: str) -> list[LedgerTransaction]:
    return list((await world.snapshot(account_id))["ledger"])


async def account_status(world: World, account_id: str) -> str:
    return str((await world.snapshot(account_id))["account"].status)


def amounts(lines: Sequence[LineItem]) -> list[tuple[str, str]]:
    return [(line.component_type, format_micros(line.amount_micros)) for line in lines]


def booked(transaction: LedgerTransaction) -> dict[str, str]:
    return {entry.ledger_account: format_micros(entry.amount_micros) for entry in transaction.entries}


async def assert_sound(world: World) -> None:
    assert (await world.audit()).findings == ()


def wallet_change(transaction: LedgerTransaction) -> int:
    """What a transaction moved in the wallet."""
    return sum(e.amount_micros for e in transaction.entries if e.ledger_account in ("available", "reserved"))
