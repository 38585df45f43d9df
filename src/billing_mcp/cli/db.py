"""Owns `billing-mcp db`: the database's schema."""

from __future__ import annotations

import typer

from billing_mcp import terminal
from billing_mcp.cli.common import Database, run, settings_with
from billing_mcp.store.migrate import upgrade_database

app = typer.Typer(help="The database's schema.", no_args_is_help=True, add_completion=False)


@app.callback()
def _group() -> None:
    """The database's schema."""


@app.command()
def upgrade(database: Database = None) -> None:
    """Bring the database to this version's schema. A SQLite file does it by itself at start."""

    async def work() -> None:
        settings = settings_with(database=database)
        settings.ensure_database_folder()
        before, after = await upgrade_database(settings.database)
        done = "is up to date at" if before == after else f"upgraded from {before or 'nothing'} to"
        terminal.console().print(f"The schema {done} {after}.")

    run(work())
