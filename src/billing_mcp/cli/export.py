"""Owns `billing-mcp export`: the ledger for the programs of finance."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Literal
from uuid import UUID

import typer

from billing_mcp import terminal
from billing_mcp.app import now_on
from billing_mcp.cli.common import Database, day_of, run
from billing_mcp.cli.opened import check_not_the_database, open_store
from billing_mcp.exports.books import Export, Wanted
from billing_mcp.store.files import written_whole

app = typer.Typer(add_completion=False)

Format = Literal["csv", "beancount"]
_TEXT: dict[Format, Callable[[Export], AsyncGenerator[str, None]]] = {"csv": Export.csv, "beancount": Export.beancount}
_PATIENCE_S = 2.0


@app.command()
def export(
    format_: Annotated[Format, typer.Option("--format", help="For a spreadsheet, or for double-entry bookkeeping.")],
    account: Annotated[UUID | None, typer.Option(metavar="ACCOUNT_ID", help="Of this account alone.")] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="The first day (UTC), such as 2026-03-01.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="The day after the last one, such as 2026-04-01.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where it goes, once it is whole. Default: print it.", resolve_path=True),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
    database: Database = None,
) -> None:
    """Write the ledger as a table of its entries, or as books that prove their own balances.

    It is of one moment, whoever writes meanwhile; docs/exports.md has the columns, the accounts and their signs.

    billing-mcp export --format csv --from 2026-03-01 --to 2026-04-01 --output march.csv

    billing-mcp export --format beancount --output books.beancount && bean-check books.beancount
    """

    async def work() -> Export:
        wanted = Wanted(
            account_id=None if account is None else str(account),
            first=None if from_ is None else day_of(from_, "from"),
            end=None if to is None else day_of(to, "to"),
        )
        async with (
            open_store(database) as (store, settings),
            store.read(await now_on(store, settings), unhurried=True) as tx,
        ):
            if output is not None:
                check_not_the_database(output, settings)
            with _written(output, force=force) as file, _counting(output) as progress:
                made = Export(tx, wanted, progress)
                async with aclosing(_TEXT[format_](made)) as texts:
                    async for text in texts:
                        file.write(text.encode("utf-8", "replace"))
            return made

    made = run(work())
    if output is not None:
        terminal.say(f"Exported {made.transactions} transactions of {made.accounts} accounts to {output}.")


@contextmanager
def _written(output: Path | None, *, force: bool) -> Iterator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        return
    with written_whole(output, replace=force) as file:
        yield file


@contextmanager
def _counting(output: Path | None) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar when it takes long, but for who sees the export itself go by in the same terminal."""
    if output is None and sys.stdout.isatty():
        yield None
        return
    with terminal.counting("Exporting transactions", after_s=_PATIENCE_S) as progress:
        yield progress
