"""Owns invoices: what one says, and what of it is paid. `closing.py` issues them, `credit_notes.py` corrects them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from billing_mcp.domain.ledger import LineItem
from billing_mcp.domain.money import MICROS_PER_CENT, round_to_cents
from billing_mcp.domain.parties import Language, Party
from billing_mcp.domain.tax import Tax, add_tax

InvoiceStatus = Literal["draft", "open", "paid", "past_due", "void"]
InvoiceKind = Literal["invoice", "credit_note"]

NOBODY = Party("")
_NO_TAX = Tax("outside_eu", 0, "", "")


@dataclass(frozen=True, slots=True)
class Facts:
    """What an invoice says besides amounts, as it was when it was issued."""

    seller: Party = NOBODY
    customer: Party = NOBODY
    language: Language = "en"
    reference: str | None = None
    tax: Tax = _NO_TAX
    reason: str | None = None
    """Why a credit note was issued."""
    corrects_number: str | None = None


NO_FACTS = Facts()
"""Of an invoice that was issued before they were kept."""


@dataclass(frozen=True, slots=True)
class Invoice:
    """What one billing period cost, or what is given back of it: `amount_micros` is net, in whole cents."""

    account_id: str
    invoice_seq: int
    invoice_id: str
    status: InvoiceStatus
    currency: str
    amount_micros: int
    paid_micros: int
    issued_at: datetime
    period_start: date
    period_end: date
    lines: tuple[LineItem, ...]
    """What was used, exact; `line_amount` rounds each once. Those of a credit note are negative."""
    number: str = ""
    kind: InvoiceKind = "invoice"
    corrects: str | None = None
    """The `invoice_id` that a credit note gives back of."""
    credits_micros: int = 0
    """What of `amount_micros` was paid by credits of the seller, in whole cents; there is no VAT on it."""
    tax_micros: int = 0
    """The VAT on what was not."""
    facts: Facts = NO_FACTS
    posting_seq: int | None = None
    """The ledger transaction that was posted with it, if there was any: nothing of that is on another invoice."""

    @property
    def file_name(self) -> str:
        """What a file of it is called: by its number, in which no folder is named."""
        return f"{(self.number or self.invoice_id).replace('/', '-')}.pdf"

    @property
    def taxable_micros(self) -> int:
        """What VAT is on."""
        return self.amount_micros - self.credits_micros

    @property
    def gross_micros(self) -> int:
        """What the customer pays for it, with VAT."""
        return self.taxable_micros + self.tax_micros

    @property
    def unpaid_micros(self) -> int:
        """What is still owed of it, net."""
        return self.amount_micros - self.paid_micros

    @property
    def due_micros(self) -> int:
        """What is still owed of it, with the VAT on it; less than a cent is not."""
        unpaid = round_to_cents(self.unpaid_micros) * MICROS_PER_CENT
        return unpaid + add_tax(unpaid, self.facts.tax)

    @property
    def settled_micros(self) -> int:
        """What was settled by payments on account, with the VAT in them."""
        return self.gross_micros - self.due_micros


def line_amount(line: LineItem) -> int:
    """What a line comes to on an invoice, in micros: whole cents."""
    return round_to_cents(line.amount_micros) * MICROS_PER_CENT


def whole_cents(amount_micros: int) -> int:
    """An amount without its part of a cent, in micros, towards zero."""
    cents = abs(amount_micros) // MICROS_PER_CENT * MICROS_PER_CENT
    return cents if amount_micros >= 0 else -cents
