"""Owns `billing-mcp doctor`: the check-up, as people and machines read it."""

from __future__ import annotations

from dataclasses import asdict

import typer

from billing_mcp import terminal
from billing_mcp.cli.common import Database, Json, run, settings_with
from billing_mcp.doctor import Finding, examine

app = typer.Typer(add_completion=False)

_MARKS = {"ok": "[green]ok[/]   ", "note": "[yellow]note[/] ", "wrong": "[red]wrong[/]"}


@app.command()
def doctor(as_json: Json = False, database: Database = None) -> None:
    """Check what serving needs: database, sandbox and jail, port, clock; each line is ok or says how to mend it.

    Exit code 1 when something is wrong; a note keeps nothing from working.
    """

    async def work() -> None:
        findings: list[Finding] = []
        async for finding in examine(settings_with(database=database)):
            findings.append(finding)
            if not as_json:
                _show(finding)
        if as_json:
            terminal.print_json([asdict(finding) for finding in findings])
        if any(finding.verdict == "wrong" for finding in findings):
            raise typer.Exit(1)

    run(work())


def _show(finding: Finding) -> None:
    out = terminal.console()
    found = terminal.printable(finding.found)
    out.print(f"{_MARKS[finding.verdict]} {finding.what:10} ", end="", soft_wrap=True)
    out.print(found, markup=False, soft_wrap=True)
    if finding.mend:
        out.print(f"{'':17}{terminal.printable(finding.mend)}", markup=False, soft_wrap=True, style="bold")
