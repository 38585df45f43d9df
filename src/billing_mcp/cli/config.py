"""Owns `billing-mcp config`: connecting the MCP clients on this machine."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from billing_mcp import terminal
from billing_mcp.cli.common import CatalogFile, Database, errors_as_exit_codes, settings_with
from billing_mcp.clients import Client, Place, add_server, entry, place_of
from billing_mcp.domain.clock import system_clock
from billing_mcp.settings import Settings

app = typer.Typer(add_completion=False)


@app.command()
def config(
    client: Annotated[Client, typer.Argument(help="Which client shall start the server.")],
    write: Annotated[
        bool, typer.Option("--write", help="Add it to the client's file, after a backup, instead of printing it.")
    ] = False,
    project: Annotated[
        bool, typer.Option("--project", help="For the project in this folder only (Cursor, VS Code).")
    ] = False,
    name: Annotated[str, typer.Option(help="What the client calls the server.")] = "billing",
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Nothing that changes anything exists for its agent.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="With --write: replace another server of this name.")] = False,
    catalog: CatalogFile = None,
    database: Database = None,
) -> None:
    """Connect Claude Desktop, Claude Code, Cursor or VS Code.

    Prints what goes into the client's file, with the full paths of this machine; with --write it
    goes there.
    """
    with errors_as_exit_codes():
        place = place_of(client, project=project, folder=Path.cwd())
        settings = settings_with(database=database, catalog=catalog)
        arguments = [*_database(settings), *_catalog(settings), *(["--read-only"] if read_only else [])]
        server = entry(client, arguments)
        if write:
            _write(place, name, server, replace=force)
        else:
            _show(client, place, name, server)


def _database(settings: Settings) -> list[str]:
    if settings.has_own_database:
        return []
    given = settings.database
    return ["--database", given if "://" in given else str(Path(given).expanduser().absolute())]


def _catalog(settings: Settings) -> list[str]:
    return [] if settings.catalog is None else ["--catalog", str(settings.catalog.expanduser().absolute())]


def _show(client: Client, place: Place, name: str, server: dict[str, Any]) -> None:
    terminal.print_json({place.servers: {name: server}})
    say = terminal.error_console().print
    say(f"This goes into {place.file}: with --write it does. {place.then}", markup=False)
    if client == "claude-code":
        command = shlex.join(["claude", "mcp", "add", name, "-s", "user", "--", server["command"], *server["args"]])
        say(f"Or for all your projects: {command}", markup=False)
    if client == "vscode":
        say(f"Or: code --add-mcp {shlex.quote(json.dumps({'name': name, **server}))}", markup=False)


def _write(place: Place, name: str, server: dict[str, Any], *, replace: bool) -> None:
    backup = add_server(place, name, server, replace=replace, now=system_clock())
    out = terminal.console()
    out.print(f"The server {name} is in {place.file}.", markup=False, soft_wrap=True)
    if backup is not None:
        out.print(f"What was there before is in {backup}.", markup=False, soft_wrap=True)
    out.print(place.then, markup=False, soft_wrap=True)
