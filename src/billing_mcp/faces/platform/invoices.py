"""Owns the platform's routes of invoices: seeing them, correcting them, and who they are addressed to."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.faces.platform.desk import PREFIX, AccountId, AtDesk, Keyed, Reply
from billing_mcp.faces.platform.direct import hot_router
from billing_mcp.faces.platform.invoice_models import (
    Details,
    GivenBack,
    InvoiceId,
    Invoices,
    InvoicesAsked,
    InvoiceShown,
    NewCreditNote,
    NewDetails,
)
from billing_mcp.operations.account_details import set_details, shown_details
from billing_mcp.operations.credit_notes import issue_credit_note
from billing_mcp.operations.invoices import signer_of, url_of
from billing_mcp.operations.paging import cut
from billing_mcp.operations.shown_invoices import in_full, summary
from billing_mcp.store.store import Transaction

router = hot_router()


@router.put("/accounts/{account_id}/details", response_model=Details)
async def set_account_details(account_id: AccountId, given: NewDetails, asking: Keyed) -> Response:
    """Say who an account's invoices are addressed to from now on, and in which language they are.

    Those that are issued stay as they are. Where the account is, and its VAT id, is said with its tax.
    Errors: not_found.
    """

    async def work(tx: Transaction) -> Reply:
        shown = await set_details(
            tx,
            account_id,
            name=given.name,
            address=given.address,
            language=given.language,
            reference=given.reference,
        )
        return Reply.of(shown)

    return await asking.in_one_transaction(given, work)


@router.get("/accounts/{account_id}/details", response_model=Details)
async def get_account_details(account_id: AccountId, desk: AtDesk) -> dict[str, Any]:
    """Who an account's next invoices are addressed to.

    Errors: not_found.
    """

    async def work(tx: Transaction) -> dict[str, Any]:
        return dict(shown_details(await tx.accounts.get(account_id)))

    return await desk.read(work)


@router.get("/accounts/{account_id}/invoices", response_model=Invoices)
async def list_invoices(
    account_id: AccountId, asked: Annotated[InvoicesAsked, Query()], desk: AtDesk
) -> dict[str, Any]:
    """The invoices and credit notes of an account, newest first, some at a time.

    Give `next_cursor` of an answer as `cursor` to go on: none is skipped or repeated.
    Errors: not_found.
    """
    before = None if asked.cursor is None else int(asked.cursor, 16)

    async def work(tx: Transaction) -> dict[str, Any]:
        await tx.accounts.get(account_id)
        found = await tx.invoices.latest(account_id, before=before, limit=asked.limit + 1)
        shown, next_cursor = cut(found, asked.limit, lambda last: f"{last.invoice_seq:x}")
        signer = await signer_of(tx, desk.links)
        return {"items": [summary(each, url_of(each, signer)) for each in shown], "next_cursor": next_cursor}

    return await desk.read(work)


@router.get("/accounts/{account_id}/invoices/{invoice_id}", response_model=InvoiceShown)
async def get_invoice(account_id: AccountId, invoice_id: InvoiceId, desk: AtDesk) -> dict[str, Any]:
    """An invoice or credit note with all its lines.

    Errors: not_found.
    """

    async def work(tx: Transaction) -> dict[str, Any]:
        await tx.accounts.get(account_id)
        invoice = await tx.invoices.get(account_id, invoice_id)
        notes = await tx.invoices.corrections(account_id, invoice.invoice_id)
        return dict(in_full(invoice, notes, url_of(invoice, await signer_of(tx, desk.links))))

    return await desk.read(work)


@router.post("/accounts/{account_id}/invoices/{invoice_id}/credit-notes", status_code=201, response_model=InvoiceShown)
async def correct_invoice(
    account_id: AccountId, invoice_id: InvoiceId, given: NewCreditNote, asking: Keyed
) -> Response:
    """Correct an invoice by a credit note: give back amounts of its lines, net; by default all that is left.

    What is owed of the invoice is owed no more, the rest goes to the wallet. VAT is corrected with it. The invoice
    stays as it was issued; it is void once all of it is given back.
    Errors: not_found, invoice_not_correctable.
    """
    amounts = None if given.lines is None else _amounts(given.lines)

    async def work(tx: Transaction) -> Reply:
        note = await issue_credit_note(tx, asking.desk.catalog, account_id, invoice_id, amounts, reason=given.reason)
        shown = in_full(note, (), url_of(note, await signer_of(tx, asking.desk.links)))
        location = f"{PREFIX}/accounts/{account_id}/invoices/{note.invoice_id}"
        return Reply.of(shown, status=201, location=location)

    return await asking.in_one_transaction(given, work)


def _amounts(lines: list[GivenBack]) -> dict[int, int]:
    """What is given back, in micros, by line. Raises InvalidArgument for a line that is named twice."""
    amounts = {each.line: each.amount for each in lines}
    if len(amounts) < len(lines):
        raise InvalidArgument(
            "a line is named twice", field="lines", hint="Give each line once, with the whole amount."
        )
    return amounts
