"""Owns the top of the command line: which commands there are, and how a process of ours ends."""

from __future__ import annotations

import gc
import io
import logging
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from billing_mcp import __version__
from billing_mcp.domain.card_numbers import contains
from billing_mcp.domain.no_card_numbers import refuse_card_numbers
from billing_mcp.logs import configure_logs

COMMANDS = (
    *(
        "demo",
        "serve",
        "config",
        "doctor",
        "run",
        "call",
        "accounts",
        "holds",
        "topups",
        "payments",
        "reconcile",
        "cycle",
        "invoices",
        "catalog",
        "plans",
        "report",
        "export",
        "keys",
        "db",
        "audit",
    ),
    *("worker", "clock", "outbox", "webhooks", "backup", "restore", "bundle"),
)
"""Each is a module of this package that has its `app`, but for those that share one."""
_SHARED = {"restore": ("backup", "restore_app")}


class _Commands(TyperGroup):
    """Imports the one command that is wanted: a server that agents wait for must not load them all."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Before anything shows or stores what a command was given."""
        for place, argument in enumerate(args):
            if contains(argument):
                _refuse(_name(args, place), argument)
        rest: list[str] = super().parse_args(ctx, args)
        return rest

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the library's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, name = _SHARED.get(cmd_name, (cmd_name, "app"))
        command = typer.main.get_command(getattr(import_module(f"{__package__}.{module}"), name))
        command.name = cmd_name
        return command


def _name(args: list[str], place: int) -> str:
    """What an argument is called: its option, what is before its equals sign, or else its place."""
    name, equals, _ = args[place].partition("=")
    before = args[place - 1] if place else ""
    if equals and not contains(name):
        return name
    return before if before.startswith("-") else f"argument {place + 1}"


def _refuse(name: str, argument: str) -> None:
    common = import_module(f"{__package__}.common")
    with common.errors_as_exit_codes():
        refuse_card_numbers(argument, field=name)


app = typer.Typer(
    name="billing-mcp",
    cls=_Commands,
    help="A billing server that AI agents operate and finance teams trust.",
    epilog="Start here: billing-mcp demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line. Whatever the terminal cannot show, an answer is never lost for it."""
    gc.disable()  # what a command imports stays: looking through it for garbage takes a seventh of its start
    if sys.stdout is None:  # closed by whoever started us: no database file may take its place
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OSError as error:  # standard output is full, or its reader is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer has nowhere to go
        sys.exit(1 if isinstance(error, BrokenPipeError) else f"error output_failed: {error.strerror}")


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"billing-mcp {__version__}\n")
        raise typer.Exit


@app.callback()
def _start(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more, on standard error.")] = False,
) -> None:
    configure_logs(level=logging.INFO if verbose else logging.WARNING)
