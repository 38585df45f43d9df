"""Owns `billing-mcp plans`: moving accounts to other prices of their plan."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated
from uuid import UUID

import typer

from billing_mcp import terminal
from billing_mcp.app import clock_on
from billing_mcp.catalog.loader import load_catalog
from billing_mcp.cli.common import Database, Json, run
from billing_mcp.cli.opened import open_store
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.plan_migration import MigrationStatus
from billing_mcp.domain.plan_terms import PlanId
from billing_mcp.operations.plan_migration import Migrated, PlanMigrations, migrated_item

app = typer.Typer(help="Plans, and the prices that accounts keep.", no_args_is_help=True, add_completion=False)

_WORDS: Mapping[MigrationStatus, str] = {
    "migrated": "moved",
    "already": "on it already",
    "leaves": "not on the plan by then",
    "not_sold_yearly": "paid by the year, for which it has no price",
}
_MOST_SHOWN = 50


@app.callback()
def _plans() -> None:
    """Plans, and the prices that accounts keep."""


@app.command()
def migrate(
    plan_id: Annotated[PlanId, typer.Argument(metavar="PLAN_ID", help="As billing-mcp catalog show names it.")],
    to: Annotated[str, typer.Option("--to", metavar="VERSION", help="A version of the plan in the catalog.")],
    on: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="From which day on. Default: the end of each account's month or plan year."),
    ] = None,
    account: Annotated[UUID | None, typer.Option(metavar="ID", help="This account alone.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would become of each, and do nothing.")] = False,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Move the accounts on a plan to another version of its prices, from a day on.

    Until then, and without it, each keeps the prices that it came to the plan under. Nothing is charged by it. A
    pending change or cancel stays: who leaves the plan by that day is not moved. To do it again does nothing more.

    billing-mcp plans migrate smtp_per_mailbox --to 2027 --on 2027-01-01 --dry-run
    """

    async def work() -> None:
        day = None if on is None else _day(on)
        async with open_store(database) as (store, settings):
            migrations = PlanMigrations(store, load_catalog(settings.catalog), await clock_on(store, settings))
            one = None if account is None else str(account)
            with terminal.counting("Moving accounts") as progress:
                found = await migrations.run(
                    plan_id, to, on=day, account_id=one, dry_run=dry_run, progress=progress
                )  # fmt: skip
        if as_json:
            terminal.print_json({"dry_run": dry_run, "items": [migrated_item(each) for each in found]})
            return
        _show(found, f"{plan_id} {to}", dry_run=dry_run)

    run(work())


def _show(found: list[Migrated], what: str, *, dry_run: bool) -> None:
    moved = sum(each.status == "migrated" for each in found)
    would = "Would move" if dry_run else "Moved"
    terminal.say(f"{would} {moved} of {len(found)} {'account' if len(found) == 1 else 'accounts'} to {what}.")
    if not found:
        return
    columns = ("account", "was on", "is", "on")
    rows = [(each.account_id, each.previous_version or "", _WORDS[each.status], each.on.isoformat()) for each in found]
    terminal.console().print(terminal.table("Accounts", columns, rows[:_MOST_SHOWN], whole=("account", "on")))
    if len(rows) > _MOST_SHOWN:
        terminal.say(f"And {len(rows) - _MOST_SHOWN} more: --json tells all of them.")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"--on must be an ISO date, such as 2027-01-01; got {text!r}"
        raise InvalidArgument(message, field="on") from None
