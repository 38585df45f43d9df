"""Owns closing a billing period: what it used is charged, and its invoice issued."""

from __future__ import annotations

from datetime import timedelta

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.clock import start_of
from billing_mcp.domain.events import INVOICE_ISSUED, Event
from billing_mcp.domain.ids import derived_id
from billing_mcp.domain.invoices import Invoice, close_period
from billing_mcp.domain.ledger import RECEIVABLE, LineItem
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.periods import Period, period_of
from billing_mcp.domain.plans import ADJUSTMENT
from billing_mcp.operations.account import load_account
from billing_mcp.store.store import Transaction


async def close_ended_period(tx: Transaction, catalog: Catalog, account_id: str) -> Invoice | None:
    """Close the billing period that ended last before now, if it is still open.

    Returns its invoice, or None when it used nothing or is closed already. The account is
    locked for the transaction, so two workers close a period once.
    """
    await tx.accounts.get(account_id, lock=True)
    record, account = await load_account(tx, catalog, account_id)
    subscription = account.subscription
    current = period_of(tx.now.date(), anchor_day=subscription.anchor_day)
    ended = period_of(current.start - timedelta(days=1), anchor_day=subscription.anchor_day)
    latest, total = await tx.invoices.page(account_id, page=1, page_size=1)
    if latest and latest[0].period_end >= ended.end:
        return None
    charges = await tx.ledger.charges(account_id, since=start_of(ended.start))
    charged = [line for lines in charges for line in _within(lines, ended)]
    closing = close_period(
        account,
        period_start=ended.start,
        period_end=ended.end,
        already_charged=[line for line in charged if line.source != ADJUSTMENT],
        already_unpaid_micros=-sum(line.amount_micros for line in charged if line.component_type == RECEIVABLE),
        invoice_seq=total + 1,
        invoice_id=derived_id(tx.now, "invoice", account_id, total + 1),
        now=tx.now,
    )
    if closing is None:
        return None
    if closing.posting is not None:
        await tx.ledger.post([closing.posting])
    await tx.invoices.add(closing.invoice)
    await tx.subscriptions.save(closing.subscription)
    await tx.accounts.set_status(record, closing.account_status)
    await tx.outbox.add(_issued(closing.invoice))
    return closing.invoice


def _issued(invoice: Invoice) -> Event:
    payload = {
        "invoice_id": invoice.invoice_id,
        "status": invoice.status,
        "amount": format_micros(invoice.amount_micros),
        "paid": format_micros(invoice.paid_micros),
        "currency": invoice.currency,
        "period_start": invoice.period_start.isoformat(),
        "period_end": invoice.period_end.isoformat(),
    }
    return Event(invoice.account_id, INVOICE_ISSUED, payload)


def _within(lines: tuple[LineItem, ...], period: Period) -> list[LineItem]:
    """The lines of a charge for use within the period; with the last of them, what stayed unpaid."""
    start, end = period.start.isoformat(), period.end.isoformat()
    used = [line for line in lines if line.source != ADJUSTMENT and line.period_start]
    found = [line for line in used if start <= (line.period_start or "") < end]
    if found and found[-1] is used[-1]:
        found += [line for line in lines if line.component_type == RECEIVABLE]
    return found
