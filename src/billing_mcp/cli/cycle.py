"""Owns `billing-mcp cycle`: closing billing periods that have ended, of all accounts at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from billing_mcp import terminal
from billing_mcp.app import clock_on
from billing_mcp.catalog.loader import load_catalog
from billing_mcp.cli.common import Database, Json, run
from billing_mcp.cli.opened import open_store
from billing_mcp.domain.clock import start_of
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.invoices import Invoice
from billing_mcp.domain.money import format_micros
from billing_mcp.operations.closing import Closed, Step
from billing_mcp.store.engine import uninterrupted
from billing_mcp.worker.cycle import Cycle

app = typer.Typer(help="The billing cycle: periods that end, invoices.", no_args_is_help=True, add_completion=False)

_COLUMNS = ("account", "ended", "number", "net", "VAT", "paid", "status")
_SHOWN = 25
"""So many invoices are listed; all of them with --json."""


@app.callback()
def _group() -> None:
    """The billing cycle."""


@app.command("run")
def run_command(
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only periods that end on this day (UTC) or before it.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do it, show the invoices, and roll back.")] = False,
    account: Annotated[UUID | None, typer.Option(metavar="ACCOUNT_ID", help="Of this account alone.")] = None,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Close every billing period that has ended: charge what accrued, issue the invoice, collect from the wallet.

    A worker does this by itself. What was missed is caught up period by period, credits expire on their day in
    between. Each period is closed once, in one transaction: run it twice, or kill it, and nothing happens twice. With
    --dry-run each account is closed and rolled back, and the invoices have the numbers that they would have alone.
    """

    async def work() -> None:
        async with open_store(database) as (store, settings):
            clock = await clock_on(store, settings)
            moment = _until(until, clock())
            cycle = Cycle(store, load_catalog(settings.catalog), clock)
            named = [str(account)] if account else list(await cycle.due(moment))
            done = _Done()
            try:
                with terminal.counting("Closing periods") as progress:
                    for number, account_id in enumerate(named, start=1):
                        # An interrupt waits for the account at hand: what is committed is told, too.
                        await uninterrupted(done.work_off(cycle, account_id, moment, dry_run=dry_run))
                        progress(number, len(named))
            except BaseException:  # also when it is interrupted: what is closed stays so
                if done.accounts:
                    _show(done, dry_run=dry_run, as_json=as_json)
                raise
            _show(done, dry_run=dry_run, as_json=as_json)

    run(work())


@dataclass(slots=True)
class _Done:
    """What was done."""

    accounts: set[str] = field(default_factory=set)
    periods: int = 0
    expired_micros: int = 0
    invoices: list[Invoice] = field(default_factory=list)

    async def work_off(self, cycle: Cycle, account_id: str, until: datetime, *, dry_run: bool) -> None:
        """Work off an account's calendar, or rehearse it, and note what was done."""
        if dry_run:
            for step in await cycle.rehearse(account_id, until):
                self._add(account_id, step)
            return
        async for step in cycle.run(account_id, until):
            self._add(account_id, step)

    def _add(self, account_id: str, step: Step) -> None:
        self.accounts.add(account_id)
        if not isinstance(step, Closed):
            self.expired_micros += step.amount_micros
            return
        self.periods += 1
        if step.invoice is not None:
            self.invoices.append(step.invoice)


def _until(text: str | None, now: datetime) -> datetime:
    if text is None:
        return now
    try:
        moment = start_of(date.fromisoformat(text))
    except ValueError:
        message = f"--until must be an ISO date, such as 2026-03-01; got {ascii(text)[:40]}"
        raise InvalidArgument(message, field="until") from None
    if moment > now:
        raise InvalidArgument(
            f"--until {text} has not begun; now it is {now.isoformat(timespec='minutes')}",
            field="until",
            hint="A database for tests has a clock of its own: billing-mcp clock advance --to DATE",
        )
    return moment


def _show(done: _Done, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        terminal.print_json(
            {
                "dry_run": dry_run,
                "accounts": len(done.accounts),
                "periods": done.periods,
                "credits_expired": format_micros(done.expired_micros),
                "invoices": [_item(each) for each in done.invoices],
            }
        )
        return
    if done.invoices:
        cells = [_cells(each) for each in done.invoices[:_SHOWN]]
        title = "Invoices that would be issued" if dry_run else "Invoices"
        table = terminal.table(title, _COLUMNS, cells, right=_COLUMNS[3:6], whole=(_COLUMNS[0], _COLUMNS[2]))
        terminal.console().print(table)
        if len(done.invoices) > _SHOWN:
            terminal.say(f"and {len(done.invoices) - _SHOWN:,} more: --json lists all of them.")
    terminal.say(_summary(done, "would be closed" if dry_run else "closed"))


def _summary(done: _Done, verb: str) -> str:
    parts = [f"{done.periods:,} {'period' if done.periods == 1 else 'periods'} {verb}"]
    sums: dict[str, int] = {}
    for each in done.invoices:
        sums[each.currency] = sums.get(each.currency, 0) + each.amount_micros
    count = len(done.invoices)
    amounts = " and ".join(f"{format_micros(micros)} {currency}" for currency, micros in sorted(sums.items()))
    parts.append(f"{count:,} {'invoice' if count == 1 else 'invoices'}{f' of {amounts} net' if amounts else ''}")
    past_due = sum(each.status == "past_due" for each in done.invoices)
    if past_due:
        parts.append(f"{past_due:,} past due")
    if done.expired_micros:
        parts.append(f"credits of {format_micros(done.expired_micros)} expired")
    return ", ".join(parts) + "."


def _item(invoice: Invoice) -> dict[str, Any]:
    return {
        "account_id": invoice.account_id,
        "invoice_id": invoice.invoice_id,
        "number": invoice.number,
        "period_start": invoice.period_start.isoformat(),
        "period_end": invoice.period_end.isoformat(),
        "amount": format_micros(invoice.amount_micros),
        "tax": format_micros(invoice.tax_micros),
        "paid": format_micros(invoice.paid_micros),
        "currency": invoice.currency,
        "status": invoice.status,
    }


def _cells(invoice: Invoice) -> list[str]:
    return [
        invoice.account_id,
        invoice.period_end.isoformat(),
        invoice.number,
        format_micros(invoice.amount_micros),
        format_micros(invoice.tax_micros),
        format_micros(invoice.paid_micros),
        invoice.status,
    ]
