"""Owns `billing-mcp bundle`: the server as one file for Claude Desktop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from billing_mcp import terminal
from billing_mcp.bundle.build import write_bundle
from billing_mcp.cli.common import errors_as_exit_codes

app = typer.Typer(add_completion=False)


@app.command()
def bundle(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", show_default=False, help="Default: billing-mcp-VERSION.mcpb in this folder."),
    ] = None,
) -> None:
    """Pack the server into one file that Claude Desktop installs.

    None of your settings is in it, --database and BILLING_MCP_DATABASE included: Claude Desktop
    asks for the database, for a key, and whether it is for reading only.
    """
    with errors_as_exit_codes():
        written = write_bundle(file)
        out = terminal.console()
        out.print(f"{written}: {written.stat().st_size:,} bytes", markup=False, soft_wrap=True)
        out.print("In Claude Desktop: Settings, Extensions, Advanced settings, Install Extension.", soft_wrap=True)
        out.print("At its first start it downloads what it requires, about 45 MB.", soft_wrap=True)
