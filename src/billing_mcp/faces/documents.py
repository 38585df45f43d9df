"""Owns who gets which document: what a credential may see of its account, or what a link names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from billing_mcp.domain.document_links import DOCUMENTS_KEY, open_link
from billing_mcp.domain.invoices import Invoice
from billing_mcp.kernel.principal import Principal

if TYPE_CHECKING:  # what lists the tools does not wait for a database to load
    from billing_mcp.app import App
    from billing_mcp.store.store import Transaction

MEDIA_TYPE = "application/pdf"


@dataclass(frozen=True, slots=True)
class Document:
    """A document, and what a file of it is called."""

    file_name: str
    pdf: bytes


async def document_of(app: App, principal: Principal, account_id: str, invoice_id: str) -> Document:
    """An invoice as PDF, for whom may see it. Raises what `billing.invoices.get` does, and Conflict: `server_busy`."""
    arguments: dict[str, object] = {"account_id": account_id, "invoice_id": invoice_id}
    shown = await app.read(principal, "billing.invoices.get", arguments)
    return await _set(app, lambda tx: tx.invoices.get(account_id.lower(), shown["id"]))


async def document_behind(app: App, signed: str) -> Document:
    """The document behind a link. Raises PermissionDenied: `invalid_link`, `link_expired`; Conflict: `server_busy`."""

    async def find(tx: Transaction) -> Invoice:
        linked = open_link(await tx.secrets.find(DOCUMENTS_KEY), signed, tx.now)
        return await tx.invoices.at(linked.account_id, linked.invoice_seq)

    return await _set(app, find)


async def _set(app: App, find: Callable[[Transaction], Awaitable[Invoice]]) -> Document:
    async with app.store.read(app.clock()) as tx:
        invoice = await find(tx)
    return Document(invoice.file_name, await app.press.invoice(invoice))
