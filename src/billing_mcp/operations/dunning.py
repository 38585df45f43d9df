"""Owns reminding and suspending accounts that owe, and who they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.clock import iso
from billing_mcp.domain.dunning import Step, due_step, next_step, steps
from billing_mcp.domain.events import Event
from billing_mcp.domain.invoices import Invoice
from billing_mcp.domain.money import format_micros
from billing_mcp.operations.balance_watch import look_at_balance
from billing_mcp.operations.debts import owed_micros

if TYPE_CHECKING:
    from billing_mcp.store.accounts import AccountRecord
    from billing_mcp.store.store import Transaction


@dataclass(frozen=True, slots=True)
class Debtor:
    """An account that owes: how much and since when, its unpaid invoices, and what is done next, if anything is."""

    account: AccountRecord
    owed_micros: int
    since: datetime
    invoices: tuple[Invoice, ...]
    next: Step | None


async def dun(tx: Transaction, catalog: Catalog, account_id: str) -> None:
    """Take the step that is due on an account that owes, once, and note when the next one is.

    The account must be locked. Its own money pays its debt first; with nothing left to pay it is not dunned.
    """
    await look_at_balance(tx, catalog, account_id)
    account = await tx.accounts.get(account_id)
    if account.status != "past_due":
        await tx.accounts.dun_next(account_id, None, reminders=account.reminders)
        return
    since, terms = _since(account), catalog.dunning
    step, reminders = due_step(terms, since, account.reminders, tx.now), account.reminders
    if step is not None:
        debtor = await _debtor(tx, catalog, account)
        if step.reminder is None:
            await tx.accounts.set_status(account, "suspended")
            await tx.outbox.add(Event(account_id, "billing.account.suspended", _told(debtor)))
            return
        reminders = step.reminder
        told = {"number": reminders, "suspends_at": iso(steps(terms, since)[-1].at), **_told(debtor)}
        await tx.outbox.add(Event(account_id, "billing.account.reminder", told))
    await tx.accounts.dun_next(account_id, next_step(terms, since, reminders).at, reminders=reminders)


async def debtors(tx: Transaction, catalog: Catalog) -> list[Debtor]:
    """Every account that is frozen by a debt, those that owe longest first."""
    return [await _debtor(tx, catalog, account) for account in await tx.accounts.owing()]


async def _debtor(tx: Transaction, catalog: Catalog, account: AccountRecord) -> Debtor:
    owed = await owed_micros(tx, await tx.ledger.wallet(account.account_id))
    invoices = tuple(await tx.invoices.unpaid(account.account_id))
    since = _since(account)
    following = next_step(catalog.dunning, since, account.reminders) if account.status == "past_due" else None
    return Debtor(account, owed, since, invoices, following)


def _since(account: AccountRecord) -> datetime:
    """Since when an account owes: it is stored whenever one becomes past_due."""
    return account.status_since or account.created_at


def _told(debtor: Debtor) -> dict[str, str | list[str]]:
    """What the world is told of a debt."""
    return {
        "owed": format_micros(debtor.owed_micros),
        "currency": debtor.account.currency,
        "since": iso(debtor.since),
        "invoices": [each.number or each.invoice_id for each in debtor.invoices],
    }
