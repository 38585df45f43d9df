"""Owns `billing-mcp demo`: the product at work on its own demo data."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from billing_mcp import terminal
from billing_mcp.app import now_on
from billing_mcp.cli.common import Database, run
from billing_mcp.cli.opened import open_store
from billing_mcp.demo.history import STORIES, seed_demo
from billing_mcp.demo.show import show_demo
from billing_mcp.demo.traffic import MESSAGES, SENDER

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    context: typer.Context,
    seed_only: Annotated[bool, typer.Option("--seed-only", help="Only fill the database; serve it yourself.")] = False,
    messages: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="About how many messages one of the accounts has sent.")
    ] = MESSAGES,
    database: Database = None,
) -> None:
    """Watch an agent read a wallet, preview a change of plan, and commit it.

    Without --database everything happens in a new temporary one, whatever BILLING_MCP_DATABASE
    says. With --seed-only the four demo accounts go into your own database. Half a year of messages takes
    some seconds: --messages 1000 is quicker.
    """

    async def work(target: str | None) -> None:
        out = terminal.console()
        async with open_store(target) as (store, settings):
            with terminal.counting("Living through six months of billing") as progress:
                now, stands = await now_on(store, settings), settings.now is not None
                new = await seed_demo(store, now, messages=messages, stands=stands, progress=progress)
        names = ", ".join([*(story.name for story in STORIES), SENDER.name])
        out.print(f"{'Seeded' if new else 'Already there'}: [bold]{names}[/]")
        if seed_only:
            option = f" --database {database}" if database else ""
            out.print(f"Serve them with: billing-mcp serve{option}", markup=False)
            return
        if not await show_demo(settings.database, out):
            raise typer.Exit(1)
        out.print("Your turn: [bold]billing-mcp demo --seed-only[/], then connect an agent as the README shows.")

    chosen = context.get_parameter_source("database")
    if seed_only or (database is not None and chosen is not None and chosen.name == "COMMANDLINE"):
        run(work(database))
    else:
        with tempfile.TemporaryDirectory(prefix="billing-mcp-demo-") as folder:
            run(work(str(Path(folder) / "demo.db")))
