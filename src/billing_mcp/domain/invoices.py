"""Owns invoices: rounds each line once to whole cents, and says what is paid and what is owed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from billing_mcp.domain.accrual import total_micros
from billing_mcp.domain.ledger import LineItem, Posting
from billing_mcp.domain.money import MICROS_PER_CENT, round_to_cents
from billing_mcp.domain.plans import Account, AccountStatus, Subscription, charge

InvoiceStatus = Literal["draft", "open", "paid", "past_due", "void"]


@dataclass(frozen=True, slots=True)
class Invoice:
    """What one billing period cost, in whole cents."""

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


@dataclass(frozen=True, slots=True)
class Closing:
    """What closing a period decided, to be posted and saved."""

    invoice: Invoice
    posting: Posting | None
    subscription: Subscription
    account_status: AccountStatus


def close_period(
    account: Account,
    *,
    period_start: date,
    period_end: date,
    already_charged: Sequence[LineItem],
    already_unpaid_micros: int,
    invoice_seq: int,
    invoice_id: str,
    now: datetime,
) -> Closing | None:
    """Charge what the period used and was not yet charged, and issue its invoice.

    The invoice holds every line of the period, also those that a change of plan settled on
    its way (`already_charged`, of which `already_unpaid_micros` is owed). Each line is rounded
    once; the wallet is charged what brings the period's total to the invoice's, and the
    difference to the exact sum is posted to `rounding`. What available does not cover is
    receivable, and the invoice past_due.

    None when the period used nothing.
    """
    accrued = account.accrued(period_end)
    lines = (*already_charged, *accrued)
    if not lines:
        return None
    amount = sum(round_to_cents(line.amount_micros) for line in lines) * MICROS_PER_CENT
    rounding = amount - total_micros(lines)
    due = total_micros(accrued) + rounding
    # Rounding down is first taken off what is owed: nobody is given money they have not paid.
    short = account.shortfall_micros(due) if due >= 0 else max(due, -already_unpaid_micros)
    posting = None
    if accrued or rounding:
        posting = charge(account, accrued, now, receivable_micros=short, rounding_micros=rounding)
    unpaid = short + already_unpaid_micros
    invoice = Invoice(
        account_id=account.wallet.account_id,
        invoice_seq=invoice_seq,
        invoice_id=invoice_id,
        status="past_due" if unpaid >= MICROS_PER_CENT else "paid",
        currency=account.wallet.currency,
        amount_micros=amount,
        paid_micros=amount - unpaid,
        issued_at=now,
        period_start=period_start,
        period_end=period_end,
        lines=lines,
    )
    return Closing(invoice, posting, account.subscription.settled(period_end), account.status_when_owing(unpaid))
