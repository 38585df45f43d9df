"""Owns `billing-mcp invoices`: seeing invoices, setting them as PDF, and correcting them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from billing_mcp import terminal
from billing_mcp.app import clock_on, now_on
from billing_mcp.catalog.loader import load_catalog
from billing_mcp.cli.common import Database, IdempotencyKey, Json, Preview, run
from billing_mcp.cli.invoice_view import listed, whole
from billing_mcp.cli.opened import open_store
from billing_mcp.documents.press import Press
from billing_mcp.domain.clock import Clock
from billing_mcp.domain.errors import InvalidArgument, NotFound
from billing_mcp.domain.ids import uuid_of
from billing_mcp.domain.invoices import Invoice
from billing_mcp.domain.money import format_micros, parse_micros
from billing_mcp.domain.parties import Language
from billing_mcp.operations.credit_notes import issue_credit_note
from billing_mcp.operations.platform_requests import OnceUnderKey
from billing_mcp.operations.shown_invoices import InvoiceInFull, in_full, summary
from billing_mcp.store.platform_requests import KeyedRequest
from billing_mcp.store.store import Store, Transaction

app = typer.Typer(
    help="Invoices: seeing them, setting them as PDF, correcting them.", no_args_is_help=True, add_completion=False
)

InvoiceArgument = Annotated[str, typer.Argument(metavar="INVOICE", help="Its number, or its id.")]
OfAccount = Annotated[
    UUID | None, typer.Option("--account", metavar="ACCOUNT_ID", help="Whose it is, where that is not clear.")
]

_OPERATOR = "operator"
"""Whose the idempotency keys of the command line are."""


@app.callback()
def _group() -> None:
    """Invoices."""


@app.command("list")
def list_invoices(
    account_id: Annotated[UUID | None, typer.Argument(metavar="[ACCOUNT_ID]", help="Default: all accounts.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """List the invoices of an account, newest first; without one, all that are past due, oldest first."""

    async def work() -> None:
        async with open_store(database) as (store, settings), store.read(await now_on(store, settings)) as tx:
            if account_id is None:
                found = (await tx.invoices.unpaid_of_all())[:limit]
            else:
                await tx.accounts.get(str(account_id))
                found = await tx.invoices.latest(str(account_id), before=None, limit=limit)
        if as_json:
            terminal.print_json([_item(each) for each in found])
        elif found:
            terminal.console().print(listed(found, "Past due" if account_id is None else "Invoices"))
        else:
            terminal.say("Nothing is past due." if account_id is None else "No invoice yet.")

    run(work())


@app.command()
def show(invoice: InvoiceArgument, account: OfAccount = None, as_json: Json = False, database: Database = None) -> None:
    """Show an invoice or credit note with all its lines."""

    async def work() -> None:
        async with open_store(database) as (store, settings), store.read(await now_on(store, settings)) as tx:
            found = await _found(tx, invoice, account)
            notes = await tx.invoices.corrections(found.account_id, found.invoice_id)
        _show(in_full(found, notes, None), as_json=as_json)

    run(work())


@app.command()
def render(
    invoice: InvoiceArgument,
    account: OfAccount = None,
    language: Annotated[Language | None, typer.Option(help="Default: that of the invoice.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: NUMBER.pdf; - is standard output.")
    ] = None,
    database: Database = None,
) -> None:
    """Set an invoice as PDF: the same bytes as everywhere else, as long as it stands as it does."""

    async def work() -> None:
        async with open_store(database) as (store, settings):
            async with store.read(await now_on(store, settings)) as tx:
                found = await _found(tx, invoice, account)
            pdf = await Press.with_logo(settings.invoice_logo).invoice(found, language)
        if output == Path("-"):
            sys.stdout.buffer.write(pdf)
            return
        file = output or Path(found.file_name)
        _write(file, pdf)
        terminal.say(f"{file}: {len(pdf):,} bytes.")

    run(work())


@app.command()
def correct(
    invoice: InvoiceArgument,
    reason: Annotated[str, typer.Option(help="It stands on the credit note for good: no personal data.")],
    line: Annotated[
        list[int] | None, typer.Option("--line", min=1, metavar="N", help="Give back of this line, from 1 on.")
    ] = None,
    amount: Annotated[
        list[str] | None, typer.Option("--amount", metavar="X", help="So much of it, net. One for each --line.")
    ] = None,
    account: OfAccount = None,
    preview: Preview = False,
    idempotency_key: IdempotencyKey = "",
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Correct an invoice by a credit note: give back amounts of its lines; without --line, all that is left of it.

    What is owed of the invoice is owed no more, the rest goes to the wallet. VAT is corrected with it. The invoice
    itself stays as it was issued.
    """

    async def work() -> None:
        amounts = _amounts(line or [], amount or [])
        async with open_store(database) as (store, settings):
            catalog, clock = load_catalog(settings.catalog), await clock_on(store, settings)

            async def issue(tx: Transaction) -> Invoice:
                found = await _found(tx, invoice, account)
                return await issue_credit_note(tx, catalog, found.account_id, found.invoice_id, amounts, reason=reason)

            if preview:
                async with store.write(clock()) as tx:
                    tx.rollback_only = True
                    note = await issue(tx)
                _show(in_full(note, (), None), as_json=as_json, title="It would be issued, and was not")
                return

            async def once(tx: Transaction) -> str:
                made = await issue(tx)
                return f"{made.account_id} {made.invoice_id}"

            asked = f"correct {invoice} {account} {sorted((amounts or {}).items())} {reason}"
            request = KeyedRequest.of(_OPERATOR, idempotency_key, asked) if idempotency_key else None
            answered = await OnceUnderKey(store, clock).in_one_transaction(request, once)
            note = await _again(store, clock, *answered.text.split())
        title = "Issued before, under the same key" if answered.replayed else "Issued"
        _show(in_full(note, (), None), as_json=as_json, title=title)

    run(work())


async def _again(store: Store, clock: Clock, account_id: str, invoice_id: str) -> Invoice:
    async with store.read(clock()) as tx:
        return await tx.invoices.get(account_id, invoice_id)


async def _found(tx: Transaction, name: str, account: UUID | None) -> Invoice:
    """The invoice with this number or id. Raises NotFound; InvalidArgument where several accounts have one."""
    name = uuid_of(name) or name
    if account is not None:
        return await tx.invoices.get(str(account), name)
    found = await tx.invoices.named(name)
    if not found:
        message = f"invoice {ascii(name)[1:65]} does not exist"
        raise NotFound(message, field="invoice", hint="billing-mcp invoices list ACCOUNT_ID lists those of an account.")
    if len(found) > 1:
        message = f"{len(found)} accounts have an invoice {name}"
        raise InvalidArgument(message, field="invoice", hint="Say whose it is with --account.")
    return found[0]


def _amounts(lines: list[int], texts: list[str]) -> dict[int, int] | None:
    """What is given back of each line, in micros; None for all that is left of the invoice."""
    if len(lines) != len(texts) or len(set(lines)) < len(lines):
        raise InvalidArgument(
            f"{len(lines)} times --line, {len(texts)} times --amount: each line takes one amount, and is named once",
            field="line",
            hint="Such as --line 1 --amount 5.00 --line 3 --amount 0.50.",
        )
    try:
        return {line: parse_micros(text) for line, text in zip(lines, texts, strict=True)} or None
    except ValueError as error:
        raise InvalidArgument(str(error), field="amount") from None


def _show(invoice: InvoiceInFull, *, as_json: bool, title: str | None = None) -> None:
    if as_json:
        terminal.print_json(invoice)
        return
    if title:
        terminal.say(f"{title}:")
    for part in whole(invoice):
        terminal.console().print(part)


def _item(invoice: Invoice) -> dict[str, object]:
    item: dict[str, object] = dict(summary(invoice, None))
    del item["download_url"]
    return {"account_id": invoice.account_id, **item, "due": format_micros(invoice.due_micros)}


def _write(file: Path, pdf: bytes) -> None:
    try:
        file.write_bytes(pdf)
    except OSError as error:
        reason = error.strerror or "the system refuses it"
        raise InvalidArgument(f"{file} cannot be written: {reason}", field="output") from None
