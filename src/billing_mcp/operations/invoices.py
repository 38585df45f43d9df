"""billing.invoices.*: what billing periods cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from billing_mcp.domain.document_links import DOCUMENTS_KEY, Links, LinkSigner
from billing_mcp.domain.invoices import Invoice
from billing_mcp.kernel.arguments import AccountId, InvoiceId, Page, PageSize
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource
from billing_mcp.operations.shown_invoices import InvoiceInFull, InvoiceSummary, in_full, summary

if TYPE_CHECKING:
    from billing_mcp.store.store import Transaction

INVOICES = Resource("invoices", doc="What billing periods cost.")


class InvoicePage(TypedDict):
    """A page of invoices, newest first."""

    items: list[InvoiceSummary]
    total: int
    page: int
    page_size: int


@INVOICES.operation(requires=Permission.VIEW, route="GET /invoices", own_route="GET /invoices")
async def list_(ctx: Context, *, account_id: AccountId, page: Page = 1, page_size: PageSize = 20) -> InvoicePage:
    """A page of the account's invoices, newest first; page_size is 1 to 100.

    Errors: not_found.
    """
    await ctx.tx.accounts.get(account_id)
    invoices, total = await ctx.tx.invoices.page(account_id, page=page, page_size=page_size)
    signer = await signer_of(ctx.tx, ctx.links)
    items = [summary(invoice, url_of(invoice, signer)) for invoice in invoices]
    return {"items": items, "page": page, "page_size": page_size, "total": total}


@INVOICES.operation(
    requires=Permission.VIEW, route="GET /invoices/{invoice_id}", own_route="GET /invoices/{invoice_id}"
)
async def get(ctx: Context, *, account_id: AccountId, invoice_id: InvoiceId) -> InvoiceInFull:
    """An invoice or credit note with all its lines, by its id or its number: what was used, VAT, and what is owed.

    As PDF it is at download_url, and the resource billing://accounts/{account_id}/invoices/{invoice_id}.pdf.
    Errors: not_found.
    """
    await ctx.tx.accounts.get(account_id)
    invoice = await ctx.tx.invoices.get(account_id, invoice_id)
    notes = await ctx.tx.invoices.corrections(account_id, invoice.invoice_id)
    return in_full(invoice, notes, url_of(invoice, await signer_of(ctx.tx, ctx.links)))


async def signer_of(tx: Transaction, links: Links | None) -> LinkSigner | None:
    """What makes links to documents now; None where there can be none."""
    key = await tx.secrets.find(DOCUMENTS_KEY) if links is not None else None
    return None if links is None or key is None else links.signer(key, tx.now)


def url_of(invoice: Invoice, signer: LinkSigner | None) -> str | None:
    """The link to an invoice, if there can be one."""
    return None if signer is None else signer.url(invoice)
