"""Owns correcting invoices: what a credit note gives back, of which lines, and where that money goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from billing_mcp.domain.errors import InvalidArgument, Refused
from billing_mcp.domain.invoices import Invoice, InvoiceStatus, line_amount
from billing_mcp.domain.ledger import AVAILABLE, RECEIVABLE, REVENUE, Entry, LineItem, Posting
from billing_mcp.domain.money import MICROS_PER_CENT, divide_half_even, format_micros
from billing_mcp.domain.plans import ADJUSTMENT
from billing_mcp.domain.tax import add_tax

LINE = "invoice_line"
"""In the metadata of a credit note's line: which line of the invoice it gives back of, counted from 1."""


@dataclass(frozen=True, slots=True)
class Correction:
    """A credit note, what it posts, and how the invoice stands after it."""

    note: Invoice
    posting: Posting
    status: InvoiceStatus
    paid_micros: int


def correct(
    invoice: Invoice,
    earlier: Sequence[Invoice],
    wanted: Mapping[int, int] | None,
    *,
    reason: str,
    note_seq: int,
    note_id: str,
    number: str,
    posting_seq: int,
    now: datetime,
) -> Correction:
    """Give back amounts of an invoice, by the number of the line from 1 on, in micros; None is all that is left.

    What is still owed of the invoice is owed no more, and the rest goes to the wallet. `earlier` are its credit notes.
    Raises InvalidArgument for a line that is not there, or an amount that is no whole cents or more than is left;
    Refused with code `invoice_not_correctable` for a credit note, and where nothing is left.
    """
    if invoice.kind != "invoice":
        raise Refused(
            f"{invoice.number} is a credit note; only an invoice is corrected",
            code="invoice_not_correctable",
            field="invoice_id",
            hint="Name the invoice that it corrects.",
        )
    left = _left(invoice, earlier)
    amounts = {place: micros for place, micros in left.items() if micros > 0} if wanted is None else dict(wanted)
    if not amounts:
        raise Refused(
            f"of invoice {invoice.number} everything has been given back",
            code="invoice_not_correctable",
            field="invoice_id",
        )
    for place, micros in amounts.items():
        _check(invoice, place, micros, left)
    lines = tuple(_line(invoice, place, micros) for place, micros in sorted(amounts.items()))
    total = sum(amounts.values())
    note = _note(invoice, earlier, lines, total, reason=reason, seq=note_seq, note_id=note_id, number=number, now=now)
    off_debt = min(max(0, invoice.unpaid_micros), total)
    paid = invoice.paid_micros + off_debt
    gone = sum(left.values()) == total
    status: InvoiceStatus = "paid" if invoice.amount_micros - paid < MICROS_PER_CENT else "past_due"
    return Correction(
        replace(note, posting_seq=posting_seq),
        _posting(invoice, number, lines, total, off_debt, now),
        "void" if gone else status,
        paid,
    )


def _left(invoice: Invoice, earlier: Sequence[Invoice]) -> dict[int, int]:
    """What can still be given back of each line."""
    left = {place: line_amount(line) for place, line in enumerate(invoice.lines, start=1)}
    for line in (line for note in earlier for line in note.lines):
        left[int((line.metadata or {})[LINE])] += line.amount_micros
    return left


def _check(invoice: Invoice, place: int, micros: int, left: Mapping[int, int]) -> None:
    if place not in left:
        raise InvalidArgument(
            f"invoice {invoice.number} has no line {place}; it has {len(left)}", field="lines", hint="Count from 1."
        )
    if micros <= 0 or micros % MICROS_PER_CENT or micros > left[place]:
        raise InvalidArgument(
            f"of line {place}, {format_micros(max(0, left[place]))} {invoice.currency} can be given back, in whole "
            f"cents; got {format_micros(micros)}",
            field="amount",
            hint="Give a positive amount in whole cents, or leave it out for all that is left.",
        )


def _line(invoice: Invoice, place: int, micros: int) -> LineItem:
    of = invoice.lines[place - 1]
    whole = micros == line_amount(of)
    return replace(
        of,
        quantity=_negative(of.quantity) if whole else "-1",
        unit=of.unit if whole else "part",
        unit_price_micros=of.unit_price_micros if whole else micros,
        amount_micros=-micros,
        source=ADJUSTMENT,
        metadata={**(of.metadata or {}), LINE: str(place)},
    )


def _negative(quantity: str) -> str:
    return quantity[1:] if quantity.startswith("-") else f"-{quantity}"


def _note(
    invoice: Invoice,
    earlier: Sequence[Invoice],
    lines: tuple[LineItem, ...],
    total_micros: int,
    *,
    reason: str,
    seq: int,
    note_id: str,
    number: str,
    now: datetime,
) -> Invoice:
    """Credits and VAT are those of all that was given back, less those of earlier notes: they sum to the whole."""
    before = -sum(note.amount_micros for note in earlier)
    credits_back = _credits_within(invoice, before + total_micros) - _credits_within(invoice, before)
    taxed_before = before - _credits_within(invoice, before)
    taxed_after = before + total_micros - _credits_within(invoice, before + total_micros)
    tax = add_tax(taxed_after, invoice.facts.tax) - add_tax(taxed_before, invoice.facts.tax)
    return Invoice(
        account_id=invoice.account_id,
        invoice_seq=seq,
        invoice_id=note_id,
        status="paid",
        currency=invoice.currency,
        amount_micros=-total_micros,
        paid_micros=-total_micros,
        issued_at=now,
        period_start=invoice.period_start,
        period_end=invoice.period_end,
        lines=lines,
        number=number,
        kind="credit_note",
        corrects=invoice.invoice_id,
        credits_micros=-credits_back,
        tax_micros=-tax,
        facts=replace(invoice.facts, reason=reason, corrects_number=invoice.number),
    )


def _credits_within(invoice: Invoice, micros: int) -> int:
    """What of so much of an invoice was paid by credits, in whole cents."""
    if not invoice.credits_micros or not invoice.amount_micros:
        return 0
    cents = divide_half_even(invoice.credits_micros * micros, invoice.amount_micros * MICROS_PER_CENT)
    return cents * MICROS_PER_CENT


def _posting(
    invoice: Invoice, number: str, lines: tuple[LineItem, ...], total: int, off_debt: int, now: datetime
) -> Posting:
    legs = ((AVAILABLE, total - off_debt), (RECEIVABLE, off_debt), (REVENUE, -total))
    return Posting(
        account_id=invoice.account_id,
        type="adjustment",
        description=f"Credit note {number} to invoice {invoice.number}",
        entries=tuple(Entry(name, micros, invoice.currency) for name, micros in legs if micros),
        effective_at=now,
        line_items=lines,
    )
