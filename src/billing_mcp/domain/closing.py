"""Owns closing a billing period: what is settled, what its invoice comes to, and what of it is owed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing_mcp.domain.accrual import total_micros
from billing_mcp.domain.booking import ACTIVE_USER, MESSAGE
from billing_mcp.domain.invoices import Facts, Invoice, line_amount, whole_cents
from billing_mcp.domain.ledger import LineItem, Posting
from billing_mcp.domain.money import MICROS_PER_CENT
from billing_mcp.domain.periods import Period
from billing_mcp.domain.plans import Account, charge
from billing_mcp.domain.tally import CAPTURE
from billing_mcp.domain.tax import add_tax


@dataclass(frozen=True, slots=True)
class Settlement:
    """What closing a period charges, to be posted; and the lines of its invoice, all that was used in it."""

    lines: tuple[LineItem, ...]
    amount_micros: int
    posting: Posting | None


def settle(
    account: Account, period: Period, *, charged: Sequence[LineItem], owed_micros: int, now: datetime
) -> Settlement | None:
    """Charge what the plan accrued in the period and was not charged yet; None when nothing was used.

    `charged` is what was charged in the period already: messages as they were delivered, and what a change of plan
    settled on its way. Each line is rounded once; the wallet gives what brings the period's total to the sum of
    the rounded lines, and the difference to the exact sum is posted to `rounding`. What available does not cover
    becomes receivable; `owed_micros` is what is owed already, and on no invoice.
    """
    accrued = account.accrued(period.end)
    lines = _in_order((*charged, *accrued))
    if not lines:
        return None
    amount = sum(line_amount(line) for line in lines)
    rounding = amount - total_micros(lines)
    due = total_micros(accrued) + rounding
    # Rounding down is first taken off what is owed: nobody is given money they have not paid.
    short = account.shortfall_micros(due) if due >= 0 else max(due, -owed_micros)
    posting = None
    if accrued or rounding:
        posting = charge(account, accrued, now, receivable_micros=short, rounding_micros=rounding)
    return Settlement(lines, amount, posting)


def _in_order(lines: Sequence[LineItem]) -> tuple[LineItem, ...]:
    """What plans cost, by its days, and then what was sent and captured."""
    of_plans = [line for line in lines if line.source not in (MESSAGE, ACTIVE_USER, CAPTURE)]
    others = [line for line in lines if line.source in (MESSAGE, ACTIVE_USER, CAPTURE)]
    return (*sorted(of_plans, key=lambda line: line.period_start or ""), *others)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an account stands once a settlement is posted. `uninvoiced_micros` is owed, and on no earlier invoice.

    `credits_micros` was paid by credits, and is on no earlier invoice.
    """

    uninvoiced_micros: int
    credits_micros: int
    invoice_seq: int
    invoice_id: str
    number: str
    posting_seq: int | None


def invoice_of(
    account: Account, period: Period, settlement: Settlement, standing: Standing, facts: Facts, *, now: datetime
) -> Invoice:
    """The invoice of a period that was settled. More taken back than used makes it a credit note."""
    amount = settlement.amount_micros
    unpaid = min(max(0, standing.uninvoiced_micros), max(0, amount))
    credits_used = min(whole_cents(standing.credits_micros), whole_cents(max(0, amount - unpaid)))
    return Invoice(
        account_id=account.wallet.account_id,
        invoice_seq=standing.invoice_seq,
        invoice_id=standing.invoice_id,
        status="past_due" if unpaid >= MICROS_PER_CENT else "paid",
        currency=account.wallet.currency,
        amount_micros=amount,
        paid_micros=amount - unpaid,
        issued_at=now,
        period_start=period.start,
        period_end=period.end,
        lines=settlement.lines,
        number=standing.number,
        kind="invoice" if amount >= 0 else "credit_note",
        credits_micros=credits_used,
        tax_micros=add_tax(amount - credits_used, facts.tax),
        facts=facts,
        posting_seq=standing.posting_seq,
    )
