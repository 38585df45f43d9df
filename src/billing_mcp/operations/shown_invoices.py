"""Owns what is shown of an invoice, to agents and to everybody else: the same names, and amounts as exact texts."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import TypedDict

from billing_mcp.domain.clock import iso
from billing_mcp.domain.invoices import Invoice, InvoiceKind, InvoiceStatus, line_amount
from billing_mcp.domain.ledger import LineItem
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.parties import Language, Party
from billing_mcp.domain.tax import Treatment, percent


class InvoiceSummary(TypedDict):
    """An invoice, or a credit note with a negative amount.

    `amount` is net. `download_url` leads to the PDF for a short time, with no credential; it is null where this server
    has no public address.
    """

    id: str
    number: str
    amount: str
    status: InvoiceStatus
    download_url: str | None
    date: str
    currency: str


class InvoiceLine(TypedDict):
    """A line. `amount` is in whole cents, and what the invoice sums up; `exact` is what was used.

    Its days are from `period_start` up to `period_end`, without it.
    """

    description: str
    quantity: str
    amount: str
    unit: str
    unit_price: str
    exact: str
    component_type: str
    position: int
    period_start: str | None
    period_end: str | None


class CreditNoteOfInvoice(TypedDict):
    """A credit note that gives back of an invoice. Its amounts are negative; `amount` is net, `total` with VAT."""

    id: str
    number: str
    date: str
    amount: str
    total: str


class InvoiceParty(TypedDict):
    """Who sells, or who buys, as it was when the invoice was issued. `country` is by ISO 3166."""

    name: str
    address: list[str]
    country: str | None
    vat_id: str | None


class InvoiceInFull(TypedDict):
    """An invoice, or a credit note that `corrects` another one: then its amounts are negative.

    `amount` is net, the sum of the lines. `credits` of it were paid by credits of the seller; on the rest there is VAT,
    `tax`. `total` is what the customer pays, `settled` what payments on account have paid of that, and `due` what is
    owed. The period is from `period_start` up to `period_end`, without it.
    """

    number: str
    status: InvoiceStatus
    amount: str
    total: str
    due: str
    lines: list[InvoiceLine]
    currency: str
    credits: str
    tax: str
    tax_percent: str
    tax_treatment: Treatment
    tax_note: str
    settled: str
    id: str
    kind: InvoiceKind
    date: str
    period_start: str
    period_end: str
    seller: InvoiceParty
    customer: InvoiceParty
    language: Language
    reference: str | None
    reason: str | None
    corrects: str | None
    corrects_number: str | None
    credit_notes: list[CreditNoteOfInvoice]
    download_url: str | None


def summary(invoice: Invoice, download_url: str | None) -> InvoiceSummary:
    """An invoice as lists show it."""
    return {
        "id": invoice.invoice_id,
        "number": invoice.number,
        "date": iso(invoice.issued_at),
        "amount": format_micros(invoice.amount_micros),
        "status": invoice.status,
        "download_url": download_url,
        "currency": invoice.currency,
    }


def in_full(invoice: Invoice, notes: Sequence[Invoice], download_url: str | None) -> InvoiceInFull:
    """All of an invoice, with the credit notes of it."""
    facts = invoice.facts
    return {
        "number": invoice.number,
        "status": invoice.status,
        "amount": format_micros(invoice.amount_micros),
        "total": format_micros(invoice.gross_micros),
        "due": format_micros(invoice.due_micros),
        "lines": [_line(place, line) for place, line in enumerate(invoice.lines, start=1)],
        "currency": invoice.currency,
        "credits": format_micros(invoice.credits_micros),
        "tax": format_micros(invoice.tax_micros),
        "tax_percent": percent(facts.tax.rate_basis_points),
        "tax_treatment": facts.tax.treatment,
        "tax_note": facts.tax.note,
        "settled": format_micros(invoice.settled_micros),
        "id": invoice.invoice_id,
        "kind": invoice.kind,
        "date": iso(invoice.issued_at),
        "period_start": invoice.period_start.isoformat(),
        "period_end": invoice.period_end.isoformat(),
        "seller": _party(facts.seller),
        "customer": _party(facts.customer),
        "language": facts.language,
        "reference": facts.reference,
        "reason": facts.reason,
        "corrects": invoice.corrects,
        "corrects_number": facts.corrects_number,
        "credit_notes": [_note(note) for note in notes],
        "download_url": download_url,
    }


def _line(position: int, line: LineItem) -> InvoiceLine:
    return {
        "description": line.description,
        "quantity": line.quantity,
        "amount": format_micros(line_amount(line)),
        "unit": line.unit,
        "unit_price": format_micros(line.unit_price_micros),
        "exact": format_micros(line.amount_micros),
        "component_type": line.component_type,
        "position": position,
        "period_start": line.period_start,
        "period_end": line.period_end,
    }


def _note(note: Invoice) -> CreditNoteOfInvoice:
    return {
        "id": note.invoice_id,
        "number": note.number,
        "date": iso(note.issued_at),
        "amount": format_micros(note.amount_micros),
        "total": format_micros(note.gross_micros),
    }


def _party(party: Party) -> InvoiceParty:
    return {
        "name": party.name,
        "address": list(party.address),
        "country": party.country,
        "vat_id": party.vat_id,
    }
