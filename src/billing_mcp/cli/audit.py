"""Owns `billing-mcp audit`: proof that the books are sound, for us and for whoever does not trust us."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from billing_mcp import terminal
from billing_mcp.app import now_on
from billing_mcp.cli.common import Database, Json, run
from billing_mcp.cli.opened import check_not_the_database, open_store
from billing_mcp.store.audit import Finding, verify_books
from billing_mcp.store.audit_export import export_books
from billing_mcp.store.checkpoints import Comparison, compare, read_checkpoint, take_checkpoint
from billing_mcp.store.files import written_whole

app = typer.Typer(help="Proof that the books are sound.", no_args_is_help=True, add_completion=False)

Force = Annotated[bool, typer.Option("--force", help="Replace a file of that name.")]

_COUNTED = ("accounts", "transactions", "entries", "holds")


@app.callback()
def _group() -> None:
    """Proof that the books are sound."""


@app.command()
def verify(as_json: Json = False, database: Database = None) -> None:
    """Recompute every chain, sum and balance; exit code 1 and the first wrong row if any is off."""

    async def work() -> None:
        async with open_store(database) as (store, settings), store.read(await now_on(store, settings)) as tx:
            with terminal.counting("Verifying transactions") as progress:
                report = await verify_books(tx, progress=progress)
        if as_json:
            terminal.print_json(asdict(report) | {"sound": not report.findings})
        else:
            verdict = "[red]Not sound[/]" if report.findings else "[green]Sound[/]"
            terminal.console().print(f"{verdict}: {_counted(asdict(report))}.")
            _print_findings(report.findings)
        if report.findings:
            raise typer.Exit(1)

    run(work())


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the books go.", resolve_path=True)],
    accounts: Annotated[
        list[UUID] | None, typer.Option("--account", metavar="ID", help="This account only; may be repeated.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Write the books into one file that anybody can verify offline, with audit/verify.py.

    It is of one moment, whoever writes meanwhile; and it holds all that the ledger says of the accounts.
    """

    async def work() -> None:
        async with open_store(database) as (store, settings), store.read(await now_on(store, settings)) as tx:
            check_not_the_database(file, settings)
            with terminal.counting("Exporting transactions") as progress:
                ids = [str(each) for each in accounts or ()]
                made = await export_books(tx, file, account_ids=ids, force=force, progress=progress)
        if as_json:
            terminal.print_json(asdict(made) | {"path": str(file)})
        else:
            terminal.say(f"Exported {_counted(asdict(made))} to {file}.")
            terminal.say(f"SHA-256 of its lines but the last: {made.sha256}")

    run(work())


@app.command()
def checkpoint(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Where it goes. Default: print it.", resolve_path=True)
    ] = None,
    force: Force = False,
    database: Database = None,
) -> None:
    """Note where each ledger ends, to prove later that nothing before it was rewritten.

    Keep it where nobody who can change the database can reach it: the digest alone fits into an e-mail.
    """

    async def work() -> None:
        async with open_store(database) as (store, settings), store.read(await now_on(store, settings)) as tx:
            if file is not None:
                check_not_the_database(file, settings)
            taken = await take_checkpoint(tx)
        if file is None:
            terminal.print_json(taken.to_dict())
            return
        with written_whole(file, replace=force) as handle:
            handle.write(json.dumps(taken.to_dict(), indent=2).encode("ascii") + b"\n")
        terminal.say(f"Checkpoint of {len(taken.accounts)} accounts at {taken.made_at} in {file}.")
        terminal.say(f"SHA-256: {taken.sha256}")

    run(work())


@app.command(name="compare")
def compare_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What checkpoint has written.", resolve_path=True)],
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Check that each ledger still has a checkpoint's hash where it was; exit code 1 if not.

    What comes before that hash is proved by `audit verify`: run both.
    """

    async def work() -> None:
        taken = read_checkpoint(file)
        async with open_store(database) as (store, settings), store.read(await now_on(store, settings)) as tx:
            with terminal.counting("Comparing accounts") as progress:
                result = await compare(tx, taken, progress=progress)
        if as_json:
            terminal.print_json(asdict(result) | {"matches": not result.findings, "sha256": taken.sha256})
        else:
            terminal.say(f"Checkpoint of {taken.made_at}, SHA-256 {taken.sha256}.")
            _print_comparison(result)
        if result.findings:
            raise typer.Exit(1)

    run(work())


def _print_comparison(result: Comparison) -> None:
    verdict = "[red]Does not match[/]" if result.findings else "[green]Matches[/]"
    counts = f"{result.unchanged} accounts unchanged, {len(result.grown)} grown, {len(result.new)} new"
    terminal.console().print(f"{verdict}: {counts}, {len(result.findings)} wrong.")
    _print_findings(result.findings)
    for grown in result.grown:
        terminal.say(f"  account {grown.account_id} grew from seq {grown.since} to {grown.seq}")
    for account_id in result.new:
        terminal.say(f"  account {account_id} is new")


def _print_findings(findings: Iterable[Finding]) -> None:
    for finding in findings:
        row = "wallet" if finding.seq is None else f"transaction seq {finding.seq}"
        terminal.console().print(f"  account {finding.account_id}, {row}: {finding.problem}")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{counts[what]} {what}" for what in _COUNTED)
