"""billing.invoices.*: what billing periods cost."""

from __future__ import annotations

from typing_extensions import TypedDict

from billing_mcp.domain.clock import iso
from billing_mcp.domain.invoices import Invoice, InvoiceStatus
from billing_mcp.domain.money import format_micros
from billing_mcp.kernel.arguments import AccountId, Page, PageSize
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource

INVOICES = Resource("invoices", doc="What billing periods cost.")


class InvoiceSummary(TypedDict):
    """An invoice. `download_url` is null where no document is kept."""

    id: str
    date: str
    amount: str
    currency: str
    status: InvoiceStatus
    download_url: str | None


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
    return {"items": [_summary(invoice) for invoice in invoices], "page": page, "page_size": page_size, "total": total}


def _summary(invoice: Invoice) -> InvoiceSummary:
    return {
        "amount": format_micros(invoice.amount_micros),
        "currency": invoice.currency,
        "date": iso(invoice.issued_at),
        "download_url": None,
        "id": invoice.invoice_id,
        "status": invoice.status,
    }
