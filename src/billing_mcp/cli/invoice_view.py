"""Owns how an invoice is read in a terminal: as a letter would say it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from billing_mcp import terminal
from billing_mcp.domain.invoices import Invoice
from billing_mcp.domain.money import format_micros
from billing_mcp.operations.shown_invoices import InvoiceInFull, InvoiceParty

_TITLES = {"invoice": "Invoice", "credit_note": "Credit note"}
_TONES = {"paid": "green", "past_due": "red", "void": "dim"}
_LIST = ("account", "number", "issued", "net", "due", "status")
_LINES = ("#", "description", "days", "quantity", "unit price", "amount")
_NONE = "0.00"


def listed(invoices: Sequence[Invoice], title: str) -> RenderableType:
    """Invoices, one in a row."""
    rows = [
        (
            each.account_id,
            each.number,
            each.issued_at.date().isoformat(),
            f"{format_micros(each.amount_micros)} {each.currency}",
            format_micros(each.due_micros),
            each.status,
        )
        for each in invoices
    ]
    return terminal.table(title, _LIST, rows, right=("net", "due"), whole=("account", "number", "issued"))


def whole(invoice: InvoiceInFull) -> Iterable[RenderableType]:
    """An invoice: who, what for, the lines, and what they come to."""
    yield _head(invoice)
    yield _parties(invoice)
    rows = [
        (
            str(line["position"]),
            line["description"],
            _days(line["period_start"], line["period_end"]),
            f"{line['quantity']} {line['unit'].replace('_', ' ')}",
            line["unit_price"],
            line["amount"],
        )
        for line in invoice["lines"]
    ]
    right = ("#", "quantity", "unit price", "amount")
    yield terminal.table(f"Lines, {invoice['currency']}", _LINES, rows, right=right, whole=("amount", "unit price"))
    yield _totals(invoice)
    for note in invoice["credit_notes"]:
        yield Text(terminal.printable(f"Credit note {note['number']} of {note['date'][:10]}: {note['total']}"))
    if invoice["tax_note"]:
        yield Text(terminal.printable(invoice["tax_note"]), style="dim")


def _head(invoice: InvoiceInFull) -> Text:
    text = Text.assemble(
        (f"{_TITLES[invoice['kind']]} {terminal.printable(invoice['number'])}", "bold"),
        "  ",
        (invoice["status"].replace("_", " "), _TONES.get(invoice["status"], "")),
        f"\nissued {invoice['date'][:10]} for {_days(invoice['period_start'], invoice['period_end'])}",
        (f"\n{invoice['id']}", "dim"),
    )
    for name, value in (
        ("of invoice", invoice["corrects_number"]),
        ("because", invoice["reason"]),
        ("reference", invoice["reference"]),
    ):
        if value:
            text.append(f"\n{name} {terminal.printable(value)}")
    return text


def _parties(invoice: InvoiceInFull) -> RenderableType:
    grid = Table.grid(padding=(0, 4))
    grid.add_row(_party("From", invoice["seller"]), _party("To", invoice["customer"]))
    return Padding(grid, (1, 0))


def _party(title: str, party: InvoiceParty) -> Text:
    lines = [party["name"], *party["address"], party["country"], party["vat_id"] and f"VAT id {party['vat_id']}"]
    shown = "\n".join(terminal.printable(line) for line in lines if line)
    return Text.assemble((f"{title}\n", "dim"), shown or "nobody was named")


def _totals(invoice: InvoiceInFull) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(justify="right")
    vat = f"VAT {invoice['tax_percent']} % ({invoice['tax_treatment'].replace('_', ' ')})"
    for name, amount in (
        ("Net", invoice["amount"]),
        ("Paid by credits", invoice["credits"]),
        (vat, invoice["tax"]),
        ("Total", invoice["total"]),
        ("Settled on account", invoice["settled"]),
        ("Due", invoice["due"]),
    ):
        settles = name in ("Settled on account", "Due")
        if invoice["kind"] == "credit_note" and settles:  # it gives back at once
            continue
        if amount != _NONE or name in ("Net", "Total", "Due"):
            grid.add_row(name, f"{amount} {invoice['currency']}", style="bold" if name in ("Total", "Due") else None)
    return Padding(grid, (1, 0))


def _days(start: str | None, end: str | None) -> str:
    """The days from one up to the other, which is not among them."""
    return f"{start} to {end}" if start and end else start or end or ""
