"""Owns `billing-mcp backup` and `restore`: a SQLite database in one file, and back."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from billing_mcp import terminal
from billing_mcp.app import clock_of
from billing_mcp.cli.common import Database, Json, errors_as_exit_codes, run, settings_with
from billing_mcp.domain.clock import system_clock
from billing_mcp.store.backup import (
    Copy,
    back_up,
    database_file,
    exclusive,
    put,
    take,
    verify,
)
from billing_mcp.store.files import draft_beside

app = typer.Typer(add_completion=False)
restore_app = typer.Typer(add_completion=False)

_PG_DUMP = "pg_dump --format=custom --file=billing.dump URL"
_PG_RESTORE = "pg_restore --exit-on-error --no-owner --dbname=URL billing.dump"


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.", resolve_path=True)],
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Copy the SQLite database into one file, while servers write to it.

    The copy is of one moment, and has been checked before it gets its name.
    """
    with errors_as_exit_codes():
        source = database_file(settings_with(database=database).database, instead=_PG_DUMP)
        with terminal.counting("Copying pages") as progress:
            made = back_up(source, file, force=force, progress=progress)
        if as_json:
            terminal.print_json(_shown(made))
        else:
            terminal.say(f"Backed up {source} to {_described(made)}.")
            terminal.say(
                f"To restore it: {shlex.join(['billing-mcp', 'restore', str(file), '--database', str(source)])}"
            )


@restore_app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What backup has made.", resolve_path=True)],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the database that is there; it is kept beside it.")
    ] = False,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Put a backup where the SQLite database is, once its books are proved sound.

    FILE stays as it is. Stop the servers before: a database that is open is not replaced.
    """
    with errors_as_exit_codes():
        settings = settings_with(database=database)
        settings.ensure_database_folder()
        target = database_file(settings.database, instead=_PG_RESTORE)
        # Not one coroutine: the event loop would hear an interrupt only when a copy is done.
        with exclusive(target, replace=replace) as old, draft_beside(target) as draft:
            with terminal.counting("Copying pages") as progress:
                take(file, draft, database=target, progress=progress)
            with terminal.counting("Verifying transactions") as progress:
                report = run(verify(draft, file, clock_of(settings)(), progress=progress))
            with terminal.counting("Keeping the old database") as progress:
                made, kept = put(draft, target, old, now=system_clock(), progress=progress)
        if as_json:
            counted = {"transactions": report.transactions, "entries": report.entries}
            terminal.print_json(_shown(made) | counted | {"kept": kept and str(kept)})
        else:
            terminal.say(f"Restored {_described(made)}.")
            terminal.say(f"Its books are sound: {report.transactions} transactions, {report.entries} entries.")
            if kept is not None:
                terminal.say(f"What was there before is in {kept}.")


def _shown(copy: Copy) -> dict[str, str | int]:
    return asdict(copy) | {"path": str(copy.path)}


def _described(copy: Copy) -> str:
    return f"{copy.path}: {copy.size:,} bytes, {copy.accounts} accounts, schema {copy.revision}"
