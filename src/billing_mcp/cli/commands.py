"""Owns the top of the command line: serve, demo, run and call."""

from __future__ import annotations

import io
import logging
import os
import re
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from billing_mcp import __version__, terminal
from billing_mcp.app import clock_of
from billing_mcp.cli import accounts, audit, db, keys
from billing_mcp.cli.common import (
    Database,
    IdempotencyKey,
    Json,
    Preview,
    errors_as_exit_codes,
    finish,
    open_app,
    open_store,
    run,
    settings_with,
)
from billing_mcp.demo.history import STORIES, seed_demo
from billing_mcp.demo.show import show_demo
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.faces.mcp import build_server
from billing_mcp.kernel.registry import Operation
from billing_mcp.logs import configure_logs
from billing_mcp.operations import REGISTRY
from billing_mcp.sandbox.typing_text import type_text

app = typer.Typer(
    name="billing-mcp",
    help="A billing server that AI agents operate and finance teams trust.",
    epilog="Start here: billing-mcp demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(accounts.group, name="accounts")
app.add_typer(keys.group, name="keys")
app.add_typer(db.group, name="db")
app.add_typer(audit.group, name="audit")


def main() -> None:
    """Run the command line. Whatever the terminal cannot show, an answer is never lost for it."""
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


@app.command()
def serve(
    permissions: Annotated[
        str | None,
        typer.Option(
            envvar="BILLING_MCP_PERMISSIONS", metavar="LIST", help="What agents may do: view, manage or view,manage."
        ),
    ] = None,
    read_only: Annotated[
        bool | None, typer.Option("--read-only", help="Nothing that changes anything exists for agents.")
    ] = None,
    database: Database = None,
) -> None:
    """Serve agents over MCP on standard input and output.

    The agent is the key in BILLING_MCP_KEY; without one, it is you, on all accounts of the database.
    """

    async def work() -> None:
        settings = settings_with(database=database, permissions=permissions, read_only=read_only)
        # The SDK's thread waits for standard input and would outlast a KeyboardInterrupt; what
        # has not been committed is rolled back by the database.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if sys.stdin.isatty():
            terminal.error_console().print("Waiting for an MCP client on standard input; Ctrl-C ends.")
        await build_server(settings).run_stdio_async()

    run(work())


@app.command()
def demo(
    context: typer.Context,
    seed_only: Annotated[bool, typer.Option("--seed-only", help="Only fill the database; serve it yourself.")] = False,
    database: Database = None,
) -> None:
    """Watch an agent read a wallet, preview a change of plan, and commit it.

    Without --database everything happens in a new temporary one, whatever BILLING_MCP_DATABASE
    says. With --seed-only the three demo accounts go into your own database.
    """

    async def work(target: str | None) -> None:
        out = terminal.console()
        async with open_store(target) as (store, settings):
            with terminal.progress("Living through six months of billing") as bar:
                task = bar.add_task("")
                clock = clock_of(settings)
                new = await seed_demo(store, clock(), progress=lambda d, n: bar.update(task, completed=d, total=n))
        names = ", ".join(story.name for story in STORIES)
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


@app.command("run")
def run_script(
    file: Annotated[
        typer.FileBinaryRead, typer.Argument(metavar="FILE|-", help="The script, in UTF-8; - reads standard input.")
    ],
    preview: Preview = False,
    idempotency_key: IdempotencyKey = "",
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Run a script as an agent would, as one transaction."""

    async def work(source: str) -> None:
        async with open_app(database) as opened:
            principal = await opened.principal()
            answer = await opened.run_script(principal, source, preview=preview, idempotency_key=idempotency_key)
        finish(answer, as_json=as_json)

    with errors_as_exit_codes():
        source = read_script(file)
    run(work(source))


def read_script(file: typer.FileBinaryRead) -> str:
    """The script in a file, which is not read further than a script may be long."""
    enough = settings_with().code_kb * 1024 + 1
    data = bytearray()
    while len(data) < enough and (chunk := file.read1(enough - len(data))):  # piece by piece: Ctrl-C is heard
        data += chunk
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":  # cut off in a character: far too long anyway
            return error.object[: error.start].decode() + "?"
        raise InvalidArgument(f"the script is not UTF-8 at byte {error.start}", code="syntax_error") from None


@app.command()
def call(
    function: Annotated[str, typer.Argument(metavar="FUNCTION", help="For example billing.wallet_balance.get.")],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE")] = None,
    preview: Preview = False,
    idempotency_key: IdempotencyKey = "",
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Call one billing function: an execution of a single call."""

    async def work() -> None:
        parsed = parse_arguments(function, arguments or [])
        async with open_app(database) as opened:
            principal = await opened.principal()
            answer = await opened.call(principal, function, parsed, preview=preview, idempotency_key=idempotency_key)
        finish(answer, as_json=as_json)

    run(work())


def parse_arguments(function: str, arguments: list[str]) -> dict[str, object]:
    """The arguments in texts such as `page=2`, by the function's own types. Raises InvalidArgument."""
    operation = REGISTRY.get(function)
    parsed: dict[str, object] = {}
    for argument in arguments:
        name, separator, text = argument.partition("=")
        if not separator:
            raise InvalidArgument(f"{argument!r} is not of the form name=value", field=argument)
        if name in parsed:
            raise InvalidArgument(f"{name} is given twice", field=name)
        parsed[name] = _value(operation, name, text)
    return parsed


def _value(operation: Operation | None, name: str, text: str) -> object:
    types = {p.name: type_text(p.annotation) for p in operation.parameters} if operation else {}
    wanted = types.get(name, "str")
    if wanted == "int" and re.fullmatch(r"-?[0-9]{1,20}", text):
        return int(text)
    if wanted == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return None if text == "null" and "None" in wanted else text
