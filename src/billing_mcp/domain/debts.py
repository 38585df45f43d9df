"""Owns debts: what is told when an account begins to owe, what money that comes in pays first, and which invoices.

A debt is what the wallet could not give: it lies on the ledger's `receivable`, for an invoice or for none yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing_mcp.domain.events import INVOICE_PAID, Event
from billing_mcp.domain.invoices import Invoice, InvoiceStatus
from billing_mcp.domain.ledger import AVAILABLE, RECEIVABLE, Entry, LedgerTransaction, Posting, Wallet
from billing_mcp.domain.money import MICROS_PER_CENT, format_micros
from billing_mcp.domain.plans import adjustment

SETTLED = "Debt settled"
"""The description of the transaction, and of its line, by which money pays what was owed."""


@dataclass(frozen=True, slots=True)
class InvoicePayment:
    """What is paid of an invoice by now."""

    invoice: Invoice
    status: InvoiceStatus
    paid_micros: int


def settle(wallet: Wallet, owed_micros: int, *, credits_micros: int, now: datetime) -> Posting | None:
    """The posting by which the customer's money pays what is owed, as far as it goes; None where there is none.

    Open credits of the seller (`credits_micros`) are in the wallet, too, and pay no debt: an issued invoice says which
    VAT is on it, and on what credits pay there is none. What should be given of an invoice is given by a credit note.
    """
    micros = min(owed_micros, wallet.available_micros, wallet.total_micros - credits_micros)
    if micros <= 0:
        return None
    return Posting(
        account_id=wallet.account_id,
        type="charge",
        description=SETTLED,
        entries=(Entry(AVAILABLE, -micros, wallet.currency), Entry(RECEIVABLE, micros, wallet.currency)),
        effective_at=now,
        line_items=(adjustment(RECEIVABLE, SETTLED, micros),),
    )


def pay(unpaid: Sequence[Invoice], micros: int) -> list[InvoicePayment]:
    """Which invoices an amount pays, the first one first. What is left over belongs to none of them.

    An invoice of which less than a cent is missing is paid: nobody can pay less. That rest stays on the ledger.
    """
    payments = []
    for invoice in unpaid:
        part = min(invoice.unpaid_micros, micros)
        if part <= 0:
            break
        micros -= part
        if invoice.unpaid_micros - part < MICROS_PER_CENT:
            payments.append(InvoicePayment(invoice, "paid", invoice.amount_micros))
        else:
            payments.append(InvoicePayment(invoice, invoice.status, invoice.paid_micros + part))
    return payments


def past_due(charged: LedgerTransaction, owed_micros: int) -> Event:
    """What the world is told when a charge has left a debt that freezes the account."""
    payload = {
        "transaction_id": charged.transaction_id,
        "hold_id": charged.hold_id,
        "owed": format_micros(owed_micros),
        "currency": charged.currency,
    }
    return Event(charged.account_id, "billing.account.past_due", payload)


def invoice_paid(invoice: Invoice) -> Event:
    """What the world is told of an invoice that is paid now."""
    payload = {
        "invoice_id": invoice.invoice_id,
        "number": invoice.number,
        "amount": format_micros(invoice.amount_micros),
        "currency": invoice.currency,
        "period_start": invoice.period_start.isoformat(),
        "period_end": invoice.period_end.isoformat(),
    }
    return Event(invoice.account_id, INVOICE_PAID, payload)
