"""Owns `billing-mcp audit`: proof that the books are sound."""

from __future__ import annotations

from dataclasses import asdict

import typer

from billing_mcp import terminal
from billing_mcp.app import clock_of
from billing_mcp.cli.common import Database, Json, run
from billing_mcp.cli.opened import open_store
from billing_mcp.store.audit import verify_books

app = typer.Typer(help="Proof that the books are sound.", no_args_is_help=True, add_completion=False)

_COUNTED = ("accounts", "transactions", "entries", "holds")


@app.callback()
def _group() -> None:
    """Proof that the books are sound."""


@app.command()
def verify(as_json: Json = False, database: Database = None) -> None:
    """Recompute every chain, sum and balance; exit code 1 and the first wrong row if any is off."""

    async def work() -> None:
        async with open_store(database) as (store, settings), store.read(clock_of(settings)()) as tx:
            with terminal.progress("Verifying transactions") as bar:
                task = bar.add_task("")
                report = await verify_books(tx, progress=lambda d, n: bar.update(task, completed=d, total=n))
        if as_json:
            terminal.print_json(asdict(report) | {"sound": not report.findings})
        else:
            counted = ", ".join(f"{getattr(report, what)} {what}" for what in _COUNTED)
            verdict = "[red]Not sound[/]" if report.findings else "[green]Sound[/]"
            terminal.console().print(f"{verdict}: {counted}.")
            for finding in report.findings:
                row = "wallet" if finding.seq is None else f"transaction seq {finding.seq}"
                terminal.console().print(f"  account {finding.account_id}, {row}: {finding.problem}")
        if report.findings:
            raise typer.Exit(1)

    run(work())
