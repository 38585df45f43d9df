"""Owns `billing-mcp reconcile`: whether the ledger and the payment provider say the same of the same money."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

import typer

from billing_mcp import terminal
from billing_mcp.app import clock_on
from billing_mcp.catalog.loader import load_catalog
from billing_mcp.cli.common import Database, Json, day_of, run
from billing_mcp.cli.opened import open_store
from billing_mcp.domain.clock import start_of
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.reconciliation import Difference
from billing_mcp.payments.providers import open_provider
from billing_mcp.worker.charging import Charging
from billing_mcp.worker.reconciling import Progress, Reconciled, Reconciliation

app = typer.Typer(add_completion=False)

_COLUMNS = ("kind", "of", "fact", "ours", "theirs")


@app.command()
def reconcile(
    from_: Annotated[str, typer.Option("--from", metavar="DATE", help="The first day (UTC), such as 2026-03-01.")],
    to: Annotated[str, typer.Option("--to", metavar="DATE", help="The day after the last one, such as 2026-04-01.")],
    account: Annotated[UUID | None, typer.Option(metavar="ACCOUNT_ID", help="Of this account alone.")] = None,
    mend: Annotated[
        bool, typer.Option("--mend", help="Learn what the provider says of our top-ups; then compare.")
    ] = False,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Compare the ledger with the payment provider, and list every difference; exit code 1 if there is any.

    It is of the payments that were made in these days, with all that came of them since. Kinds: missing_in_ledger
    (the provider received what no top-up has credited), missing_at_provider (a credit has no payment there),
    amount_differs, currency_differs, status_differs (the provider tells of a refund, a dispute or an end that is not
    booked), ledger_differs (the top-up says otherwise than the ledger; there, theirs is the ledger).

    With --mend, what the provider says of our top-ups is booked as if its webhook had come; the rest is for people.
    """

    async def work() -> None:
        since, until = start_of(day_of(from_, "from")), start_of(day_of(to, "to"))
        if since >= until:
            raise InvalidArgument(
                "--to must be a later day than --from", field="to", hint="It is the day after the last."
            )
        async with open_store(database) as (store, settings):
            clock = await clock_on(store, settings)
            provider = await open_provider(settings, store, clock)
            charging = Charging(store, load_catalog(settings.catalog), clock, provider)
            try:
                with _counting() as progress:
                    books = Reconciliation(store, clock, charging, progress)
                    account_id = None if account is None else str(account)
                    found = await books.compare(since, until, account_id)
                    learned = await books.mend(found) if mend else 0
                    found = await books.compare(since, until, account_id) if learned else found
            finally:
                await provider.close()
        _show(found, provider.name, learned if mend else None, as_json=as_json)
        if found.differences:
            raise typer.Exit(1)

    run(work())


def _show(found: Reconciled, provider: str, learned: int | None, *, as_json: bool) -> None:
    if as_json:
        items = [_item(each) for each in found.differences]
        terminal.print_json(asdict(found) | {"provider": provider, "learned": learned, "differences": items})
        return
    if learned is not None:
        terminal.say(f"Learned what {provider} says of {learned} top-up{'s' if learned != 1 else ''}.")
    if found.differences:
        cells = [_cells(each) for each in found.differences]
        title = f"Differences between the ledger and {provider}"
        terminal.console().print(terminal.table(title, _COLUMNS, cells, right=_COLUMNS[3:], whole=_COLUMNS[:2]))
    verdict = "[red]Differs[/]" if found.differences else "[green]Agrees[/]"
    compared = f"{found.payments} payments, {found.topups} top-ups, {found.transactions} ledger transactions"
    terminal.console().print(f"{verdict}: {compared}, {len(found.differences)} differences.")


def _item(difference: Difference) -> dict[str, Any]:
    return asdict(difference) | {"ours": _said(difference.ours), "theirs": _said(difference.theirs)}


def _cells(difference: Difference) -> list[str]:
    ids = {
        "account": difference.account_id,
        "top-up": difference.topup_id,
        "payment": difference.payment_id,
        "posted": difference.transaction_id,
    }
    of_what = "\n".join(f"{name:7} {value}" for name, value in ids.items() if value is not None)
    ours, theirs = (_said(each) or "nothing" for each in (difference.ours, difference.theirs))
    return [difference.kind, of_what, difference.fact, ours, theirs]


def _said(value: int | str | None) -> str | None:
    return format_micros(value) if isinstance(value, int) else value


@contextmanager
def _counting() -> Iterator[Progress]:
    """A bar for each side, from when it is being read."""
    with terminal.progress("{task.description}") as bar:
        tasks = {}

        def progress(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(f"Reading {what}", total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield progress
