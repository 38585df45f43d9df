"""Owns issuing credit notes: an invoice is corrected by another document, and never changed."""

from __future__ import annotations

from collections.abc import Mapping

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.credit_notes import correct
from billing_mcp.domain.debts import invoice_paid
from billing_mcp.domain.ids import derived_id
from billing_mcp.domain.invoices import Invoice
from billing_mcp.operations.balance_watch import look_at_balance
from billing_mcp.operations.closing import issued_event, next_number
from billing_mcp.operations.platform_money import check_reason
from billing_mcp.store.store import Transaction


async def issue_credit_note(
    tx: Transaction,
    catalog: Catalog,
    account_id: str,
    invoice_id: str,
    amounts: Mapping[int, int] | None,
    *,
    reason: str,
) -> Invoice:
    """Give back amounts (micros) of an invoice's lines, counted from 1; None is all that is left of it.

    What is owed of the invoice is owed no more, the rest goes to the wallet. The invoice is named by id or number.
    Raises NotFound, InvalidArgument, and Refused with code `invoice_not_correctable`.
    """
    check_reason(reason)
    await tx.accounts.get(account_id, lock=True)
    invoice = await tx.invoices.get(account_id, invoice_id)
    earlier = await tx.invoices.corrections(account_id, invoice.invoice_id)
    note_seq = await tx.invoices.count(account_id) + 1
    done = correct(
        invoice,
        earlier,
        amounts,
        reason=reason,
        note_seq=note_seq,
        note_id=derived_id(tx.now, "invoice", account_id, note_seq),
        number=await next_number(tx, catalog),
        posting_seq=(await tx.ledger.wallet(account_id)).last_seq + 1,
        now=tx.now,
    )
    await tx.ledger.post([done.posting])
    await tx.invoices.add(done.note)
    await tx.invoices.save_payment(invoice, status=done.status, paid_micros=done.paid_micros)
    await tx.outbox.add(issued_event(done.note))
    if (invoice.status, done.status) == ("past_due", "paid"):
        await tx.outbox.add(invoice_paid(invoice))
    await look_at_balance(tx, catalog, account_id)
    return done.note
