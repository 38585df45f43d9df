"""Owns `billing-mcp outbox`: seeing the work that waits or is dead, and having it tried again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from billing_mcp import terminal
from billing_mcp.app import now_on
from billing_mcp.cli.common import Database, Json, run
from billing_mcp.cli.opened import open_store
from billing_mcp.domain.clock import iso
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.store.outbox import Work

app = typer.Typer(
    help="Work that is done after the change that made it due.", no_args_is_help=True, add_completion=False
)

_COLUMNS = ("event_id", "work", "status")


@app.command("list")
def list_work(
    status: Annotated[Literal["waiting", "dead", "all"], typer.Option(help="Which work.")] = "dead",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the oldest.")] = 100,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """List work that waits, or that was given up for dead. What is done is not kept."""

    async def work() -> None:
        async with open_store(database) as (store, settings), store.read(await now_on(store, settings)) as tx:
            found = await tx.outbox.listed(None if status == "all" else status, limit=limit)
        rows = [_item(each) for each in found]
        if as_json:
            terminal.print_json(rows)
        elif rows:
            terminal.console().print(terminal.table("Outbox", _COLUMNS, map(_cells, found), whole=_COLUMNS[:1]))
        else:
            terminal.console().print("No work." if status == "all" else f"No {status} work.")

    run(work())


@app.command()
def retry(
    event_id: Annotated[str | None, typer.Argument(metavar="EVENT_ID", help="As outbox list shows it.")] = None,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="All that is dead.")] = False,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Have dead work tried again, with all its attempts: mend first what it died of."""

    async def work() -> None:
        if (event_id is None) != all_dead:
            raise InvalidArgument(
                "say what to retry: either an EVENT_ID, or --all-dead",
                field="event_id",
                hint="See what is dead: billing-mcp outbox list",
            )
        async with open_store(database) as (store, settings), store.write(await now_on(store, settings)) as tx:
            revived = await tx.outbox.revive(event_id)
        if as_json:
            terminal.print_json({"revived": revived})
        elif revived:
            terminal.say(f"{revived} due now. A server over HTTP takes it up by itself; else: billing-mcp worker")
        else:
            terminal.say("Nothing is dead.")

    run(work())


def _item(work: Work) -> dict[str, Any]:
    return {
        "event_id": work.event_id,
        "topic": work.topic,
        "account_id": work.account_id,
        "status": work.status,
        "attempts": work.attempts,
        "leased": work.lease is not None,
        "created_at": iso(work.created_at),
        "due_at": iso(work.due_at),
        "ended_at": iso(work.ended_at) if work.ended_at else None,
        "last_error": work.last_error,
    }


def _cells(work: Work) -> list[str]:
    due = f"due {iso(work.due_at)[:16].replace('T', ' ')}"
    tried = f"dead after {work.attempts}" if work.status == "dead" else "taken" if work.lease else due
    return [work.event_id, f"{work.topic}\n{work.account_id}", f"{tried}\n{work.last_error or ''}".rstrip()]
