"""Owns what stands on an invoice: every word and figure of it, in its language, as the template sets them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import NotRequired, TypedDict

from billing_mcp.documents.figures import Figures, decimals_of, missing_decimals
from billing_mcp.documents.plain import plain, short
from billing_mcp.documents.words import WORDS, Words, describe, note_of, unit_of
from billing_mcp.domain.invoices import NO_FACTS, Invoice, line_amount
from billing_mcp.domain.ledger import LineItem
from billing_mcp.domain.parties import Language, Party

_SHORT_NAME_CHARS = 60
_RETURN_LINE_CHARS = 110
_SHORT_NUMBER_CHARS = 40
_CURRENCY_CHARS = 12
_COUNTRY_CHARS = 40
_KEPT_CHARS = 300
"""A last line up to here stays with the totals; a longer one may need a page of its own."""
_BESIDE_CHARS = 420
"""Notes up to here stand beside the totals."""

_TO = " \u2013 "

Pair = tuple[str, str]
"""A name and its value."""


class Line(TypedDict):
    """A row of the table. The price's end is so many figures before its column's."""

    position: str
    description: str
    period: str
    quantity: str
    unit: str
    price: str
    price_pad: int
    amount: str


class Due(TypedDict):
    """What stands last, and how loud: calm, due or late."""

    name: str
    amount: str
    tone: str


class Totals(TypedDict):
    """The sums, in their order."""

    before: list[Pair]
    total: Pair
    after: list[Pair]
    due: Due


class SellerWords(TypedDict):
    """The seller, on the letterhead, above the address and at the foot."""

    name: str
    short_name: str
    return_line: str
    columns: list[list[str]]


class Content(TypedDict):
    """All that the template is given. What it says is there in full once; elsewhere it may be shortened."""

    language: str
    region: str
    title: str
    short_title: str
    heading: str
    number: str
    mark: str | None
    subject: list[str]
    page: str
    seller: SellerWords
    customer: list[str]
    info: list[Pair]
    columns: dict[str, str]
    has_periods: bool
    lines: list[Line]
    lines_keep: bool
    totals: Totals
    notes: list[str]
    notes_beside: bool
    logo: NotRequired[str]


def content_of(invoice: Invoice, language: Language | None = None) -> Content:
    """What stands on the invoice, in that language or else in its own."""
    language = language or invoice.facts.language
    words = WORDS[language]
    figures = Figures(words.locale)
    is_credit = invoice.kind == "credit_note"
    number = plain(invoice.number or invoice.invoice_id)
    currency = _currency(invoice)
    heading = words.credit_note if is_credit else words.invoice
    lines = _lines(invoice, words, figures)
    notes = _notes(invoice, words, figures)
    return {
        "language": language,
        "region": words.locale.rpartition("_")[2],
        "title": f"{heading} {number}",
        "short_title": f"{heading} {short(number, _SHORT_NUMBER_CHARS)}",
        "heading": heading,
        "number": short(number, _SHORT_NUMBER_CHARS),
        "mark": words.marks.get(invoice.status),
        "subject": _subject(invoice, words),
        "page": words.page,
        "seller": _seller(invoice, words, figures),
        "customer": _customer(invoice, figures),
        "info": _info(invoice, number, words, figures),
        "columns": {key: name.replace("{currency}", currency) for key, name in words.columns.items()},
        "has_periods": any(line["period"] for line in lines),
        "lines": lines,
        "lines_keep": bool(lines) and _chars(lines[-1]) <= _KEPT_CHARS,
        "totals": _totals(invoice, words, figures),
        "notes": notes,
        "notes_beside": sum(map(len, notes)) <= _BESIDE_CHARS,
    }


def _currency(invoice: Invoice) -> str:
    return short(plain(invoice.currency), _CURRENCY_CHARS)


def _chars(line: Line) -> int:
    return sum(len(str(value)) for value in line.values())


def _subject(invoice: Invoice, words: Words) -> list[str]:
    """What a credit note corrects, and why."""
    facts = invoice.facts
    corrected = facts.corrects_number or invoice.corrects
    texts = []
    if corrected:
        texts.append(words.corrects.replace("{number}", plain(corrected)))
    if facts.reason:
        texts.append(words.reason.replace("{reason}", plain(facts.reason)))
    return texts


def _seller(invoice: Invoice, words: Words, figures: Figures) -> SellerWords:
    seller = invoice.facts.seller
    name = plain(seller.name)
    address = _plain(seller.address)
    vat_id = [words.vat_id.replace("{vat_id}", plain(seller.vat_id))] if seller.vat_id else []
    home = [figures.country(plain(seller.country))] if seller.country and _abroad(invoice) else []
    return {
        "name": name,
        "short_name": short(name, _SHORT_NAME_CHARS),
        "return_line": short(" · ".join(_said([name, *address, *home])), _RETURN_LINE_CHARS),
        "columns": [_said([name, *address, *home]), [*_plain(seller.contact), *vat_id], _plain(seller.footer)],
    }


def _customer(invoice: Invoice, figures: Figures) -> list[str]:
    """The address as the post wants it: the country last and in capitals, if it goes abroad."""
    customer = invoice.facts.customer
    lines = _said([plain(customer.name) or plain(invoice.account_id), *_plain(customer.address)])
    if customer.country and _abroad(invoice):
        lines.append(figures.country(plain(customer.country)).upper())
    return lines


def _abroad(invoice: Invoice) -> bool:
    facts = invoice.facts
    return facts.customer.country not in (None, facts.seller.country)


def _info(invoice: Invoice, number: str, words: Words, figures: Figures) -> list[Pair]:
    is_credit = invoice.kind == "credit_note"
    customer: Party = invoice.facts.customer
    return [
        (words.credit_note_number if is_credit else words.invoice_number, number),
        (words.issued, figures.day(invoice.issued_at.date())),
        (words.period, figures.days(invoice.period_start, invoice.period_end)),
        *([(words.customer_vat_id, plain(customer.vat_id))] if customer.vat_id else []),
        *([(words.reference, plain(invoice.facts.reference))] if invoice.facts.reference else []),
    ]


def _lines(invoice: Invoice, words: Words, figures: Figures) -> list[Line]:
    decimals = max([decimals_of(line.unit_price_micros) for line in invoice.lines], default=2)
    return [
        {
            "position": figures.quantity(str(position)),
            "description": plain(describe(line, words, figures)),
            "period": _period(line, figures),
            "quantity": plain(figures.quantity(line.quantity)),
            "unit": plain(unit_of(line.unit, line.quantity, words)),
            "price": figures.price(line.unit_price_micros),
            "price_pad": missing_decimals(line.unit_price_micros, decimals),
            "amount": figures.amount(line_amount(line)),
        }
        for position, line in enumerate(invoice.lines, 1)
    ]


def _period(line: LineItem, figures: Figures) -> str:
    """The days of a line by first and last; what is no day stays as it is."""
    if line.period_start is None or line.period_end is None:
        return plain(line.period_start or line.period_end or "")
    try:
        return figures.days(date.fromisoformat(line.period_start), date.fromisoformat(line.period_end))
    except ValueError:
        return _TO.join(_plain([line.period_start, line.period_end]))


def _totals(invoice: Invoice, words: Words, figures: Figures) -> Totals:
    def money(micros: int) -> str:
        return figures.money(micros, _currency(invoice))

    before = [(words.net, money(invoice.amount_micros))]
    if invoice.credits_micros:
        before.append((words.credits_used, money(-invoice.credits_micros)))
    if invoice.tax_micros or invoice.facts.tax != NO_FACTS.tax:
        base = words.vat_base.replace("{amount}", money(invoice.taxable_micros)) if invoice.credits_micros else ""
        before.append((f"{_vat(invoice, words, figures)}{base}", money(invoice.tax_micros)))
    is_credit = invoice.kind == "credit_note"
    after = []
    if invoice.settled_micros and invoice.status != "void" and not (is_credit and not invoice.due_micros):
        after.append((words.credited if is_credit else words.settled, money(-invoice.settled_micros)))
    return {
        "before": before,
        "total": (words.total, money(invoice.gross_micros)),
        "after": after,
        "due": _due(invoice, words, figures),
    }


def _vat(invoice: Invoice, words: Words, figures: Figures) -> str:
    tax = invoice.facts.tax
    name = words.vat.get(tax.treatment, words.vat["domestic"])
    country = short(figures.country(plain(tax.country)), _COUNTRY_CHARS)
    return name.replace("{rate}", figures.percent(tax.rate_basis_points)).replace("{country}", country)


def _due(invoice: Invoice, words: Words, figures: Figures) -> Due:
    def money(micros: int) -> str:
        return figures.money(micros, _currency(invoice))

    due = invoice.due_micros
    if invoice.status == "void":
        return {"name": words.void, "amount": "", "tone": "calm"}
    if invoice.kind == "credit_note":
        if due:
            return {"name": words.to_credit, "amount": money(-due), "tone": "due"}
        return {"name": words.credited, "amount": money(-invoice.gross_micros), "tone": "calm"}
    if due:
        return {"name": words.due, "amount": money(due), "tone": "late" if invoice.status == "past_due" else "due"}
    return {"name": words.nothing_due, "amount": "", "tone": "calm"}


def _notes(invoice: Invoice, words: Words, figures: Figures) -> list[str]:
    tax = invoice.facts.tax
    notes = [note_of(tax, figures.country(tax.country), words)]
    if invoice.kind == "invoice" and invoice.due_micros and invoice.status != "void":
        notes.append(words.pays_first)
    return _said(plain(note) for note in notes)


def _plain(texts: Sequence[str]) -> list[str]:
    return _said(plain(text) for text in texts)


def _said(texts: Iterable[str]) -> list[str]:
    return [text for text in texts if text.strip()]
