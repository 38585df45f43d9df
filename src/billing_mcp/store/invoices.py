"""Owns stored invoices."""

from __future__ import annotations

from typing import cast

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.invoices import Invoice, InvoiceStatus
from billing_mcp.domain.ledger import line_items_from_json, line_items_to_json
from billing_mcp.store.changes import ChangeLog, SettingChange
from billing_mcp.store.tables import InvoiceRow, table

_INVOICES = table(InvoiceRow)


class Invoices:
    """Invoices, within one transaction."""

    def __init__(self, connection: AsyncConnection, changes: ChangeLog) -> None:
        self._connection = connection
        self._changes = changes

    async def count(self, account_id: str) -> int:
        """How many invoices an account has: their numbers are dense."""
        statement = select(func.max(_INVOICES.c.invoice_seq)).where(_INVOICES.c.account_id == account_id)
        return (await self._connection.execute(statement)).scalar() or 0

    async def add(self, invoice: Invoice) -> None:
        """Store a new invoice."""
        values = {
            "account_id": invoice.account_id,
            "invoice_seq": invoice.invoice_seq,
            "invoice_id": invoice.invoice_id,
            "status": invoice.status,
            "currency": invoice.currency,
            "amount_micros": invoice.amount_micros,
            "paid_micros": invoice.paid_micros,
            "issued_at_us": to_epoch_us(invoice.issued_at),
            "period_start": invoice.period_start,
            "period_end": invoice.period_end,
            "lines_json": line_items_to_json(invoice.lines),
        }
        await self._connection.execute(insert(_INVOICES).values(**values))
        self._changes.add(SettingChange(invoice.account_id, "invoice", None, invoice.invoice_id))

    async def page(self, account_id: str, *, page: int, page_size: int) -> tuple[list[Invoice], int]:
        """A page of invoices, newest first, and how many there are."""
        total = await self.count(account_id)
        last = total - (page - 1) * page_size
        c = _INVOICES.c
        within = (c.account_id == account_id) & (c.invoice_seq <= last) & (c.invoice_seq > last - page_size)
        rows = await self._connection.execute(select(_INVOICES).where(within).order_by(c.invoice_seq.desc()))
        found = [
            Invoice(
                account_id=row.account_id,
                invoice_seq=row.invoice_seq,
                invoice_id=row.invoice_id,
                status=cast("InvoiceStatus", row.status),
                currency=row.currency,
                amount_micros=row.amount_micros,
                paid_micros=row.paid_micros,
                issued_at=from_epoch_us(row.issued_at_us),
                period_start=row.period_start,
                period_end=row.period_end,
                lines=line_items_from_json(row.lines_json),
            )
            for row in rows
        ]
        return found, total
