"""Owns stored invoices."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, cast

from sqlalchemy import ColumnElement, Row, func, insert, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.invoices import NO_FACTS, Facts, Invoice, InvoiceKind, InvoiceStatus
from billing_mcp.domain.ledger import line_items_from_json, line_items_to_json
from billing_mcp.domain.parties import Party
from billing_mcp.domain.tax import Tax
from billing_mcp.store.changes import ChangeLog, SettingChange
from billing_mcp.store.tables import InvoiceRow, table

_INVOICES = table(InvoiceRow)
_C = _INVOICES.c


@dataclass(frozen=True, slots=True)
class Issued:
    """What tells which invoice a ledger transaction is on; `posting_seq` is the one that was posted with it, if any."""

    number: str
    kind: InvoiceKind
    period_start: date
    period_end: date
    posting_seq: int | None


class Invoices:
    """Invoices, within one transaction."""

    def __init__(self, connection: AsyncConnection, changes: ChangeLog) -> None:
        self._connection = connection
        self._changes = changes

    async def count(self, account_id: str) -> int:
        """How many invoices an account has, credit notes among them: `invoice_seq` is dense."""
        statement = select(func.max(_C.invoice_seq)).where(_C.account_id == account_id)
        return (await self._connection.execute(statement)).scalar() or 0

    async def add(self, invoice: Invoice) -> None:
        """Store a new invoice. Nothing of it can be changed later but its status and what is paid."""
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
            "number": invoice.number,
            "kind": invoice.kind,
            "corrects": invoice.corrects,
            "credits_micros": invoice.credits_micros,
            "tax_micros": invoice.tax_micros,
            "posting_seq": invoice.posting_seq,
            "facts_json": json.dumps(asdict(invoice.facts), sort_keys=True, ensure_ascii=False),
        }
        await self._connection.execute(insert(_INVOICES).values(**values))
        self._changes.add(SettingChange(invoice.account_id, invoice.kind, None, invoice.invoice_id))

    async def get(self, account_id: str, invoice_id: str) -> Invoice:
        """One invoice, by its id or its number. Raises NotFound."""
        named = (_C.invoice_id == invoice_id) | (_C.number == invoice_id)
        for invoice in await self._where((_C.account_id == account_id) & named):
            return invoice
        raise NotFound(
            f"invoice {invoice_id} does not exist",
            field="invoice_id",
            hint="billing.invoices.list lists the account's invoices.",
        )

    async def at(self, account_id: str, invoice_seq: int) -> Invoice:
        """One invoice, by its place among those of its account. Raises NotFound."""
        for invoice in await self._where((_C.account_id == account_id) & (_C.invoice_seq == invoice_seq)):
            return invoice
        raise NotFound("this invoice does not exist", field="invoice_id")

    async def named(self, name: str) -> list[Invoice]:
        """Those of any account with this number, or else this id: at most one, as long as series are kept apart.

        Ids are looked through one by one: that is for an operator who has nothing else.
        """
        return await self._where(_C.number == name) or await self._where(_C.invoice_id == name)

    async def page(self, account_id: str, *, page: int, page_size: int) -> tuple[list[Invoice], int]:
        """A page of invoices, newest first, and how many there are."""
        total = await self.count(account_id)
        last = total - (page - 1) * page_size
        within = (_C.account_id == account_id) & (_C.invoice_seq <= last) & (_C.invoice_seq > last - page_size)
        return list(reversed(await self._where(within))), total

    async def latest(self, account_id: str, *, before: int | None, limit: int) -> list[Invoice]:
        """Up to `limit` invoices, newest first, that came before the one with that number in sequence."""
        last = await self.count(account_id) if before is None else before - 1
        within = (_C.account_id == account_id) & (_C.invoice_seq <= last) & (_C.invoice_seq > last - limit)
        return list(reversed(await self._where(within)))

    async def unpaid(self, account_id: str) -> list[Invoice]:
        """Those that are past due, oldest first."""
        return await self._where((_C.account_id == account_id) & (_C.status == literal_column("'past_due'")))

    async def unpaid_of_all(self) -> list[Invoice]:
        """Those of all accounts that are past due, oldest first."""
        found = await self._where(_C.status == literal_column("'past_due'"))
        return sorted(found, key=lambda each: (each.issued_at, each.account_id, each.invoice_seq))

    async def corrections(self, account_id: str, invoice_id: str) -> list[Invoice]:
        """The credit notes of an invoice, oldest first."""
        return await self._where((_C.account_id == account_id) & (_C.corrects == invoice_id))

    async def issued(self, account_id: str) -> list[Issued]:
        """All of an account without their lines, oldest first; one from before there were numbers has its id."""
        columns = _C.number, _C.invoice_id, _C.kind, _C.period_start, _C.period_end, _C.posting_seq
        found = select(*columns).where(_C.account_id == account_id).order_by(_C.invoice_seq)
        return [
            Issued(number or invoice_id, *rest) for number, invoice_id, *rest in await self._connection.execute(found)
        ]

    async def save_payment(self, invoice: Invoice, *, status: InvoiceStatus, paid_micros: int) -> None:
        """Store what is paid of an invoice by now."""
        named = (_C.account_id == invoice.account_id) & (_C.invoice_seq == invoice.invoice_seq)
        values = {"status": status, "paid_micros": paid_micros}
        await self._connection.execute(update(_INVOICES).where(named).values(**values))
        if status != invoice.status:
            what = f"invoice {invoice.number or invoice.invoice_id}"
            self._changes.add(SettingChange(invoice.account_id, what, invoice.status, status))

    async def _where(self, condition: ColumnElement[bool]) -> list[Invoice]:
        rows = await self._connection.execute(select(_INVOICES).where(condition).order_by(_C.invoice_seq))
        return [_invoice(row) for row in rows]


def _invoice(row: Row[Any]) -> Invoice:
    return Invoice(
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
        number=row.number,
        kind=cast("InvoiceKind", row.kind),
        corrects=row.corrects,
        credits_micros=row.credits_micros,
        tax_micros=row.tax_micros,
        facts=_facts(json.loads(row.facts_json)),
        posting_seq=row.posting_seq,
    )


def _facts(stored: dict[str, Any]) -> Facts:
    """What was said besides amounts; of those issued before it was kept, nothing is known."""
    if not stored:
        return NO_FACTS
    parties = {name: _party(stored[name]) for name in ("seller", "customer")}
    return Facts(**stored | parties | {"tax": Tax(**stored["tax"])})


def _party(stored: Mapping[str, Any]) -> Party:
    facts: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}
    return Party(**facts)
