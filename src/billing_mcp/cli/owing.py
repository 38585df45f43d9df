"""Owns `billing-mcp accounts owing`: who owes what since when, and what is done next about it."""

from __future__ import annotations

from typing import Any

from billing_mcp import terminal
from billing_mcp.app import now_on
from billing_mcp.catalog.loader import load_catalog
from billing_mcp.cli.common import Database, Json, run
from billing_mcp.cli.opened import open_store
from billing_mcp.domain.clock import iso
from billing_mcp.domain.money import format_micros
from billing_mcp.operations.dunning import Debtor, debtors

_COLUMNS = ("account", "owed", "status, since", "invoices", "next")


def owing(as_json: Json = False, database: Database = None) -> None:
    """List the accounts that are frozen by a debt: what each owes since when, its reminders, and the next step."""

    async def work() -> None:
        async with open_store(database) as (store, settings), store.read(await now_on(store, settings)) as tx:
            rows = [_row(each) for each in await debtors(tx, load_catalog(settings.catalog))]
        if as_json:
            terminal.print_json(rows)
        elif rows:
            cells = [_cells(row) for row in rows]
            table = terminal.table("Who owes", _COLUMNS, cells, right=("owed",), whole=_COLUMNS[1:])
            terminal.console().print(table)
        else:
            terminal.console().print("Nobody owes anything.")

    run(work())


def _row(debtor: Debtor) -> dict[str, Any]:
    step = debtor.next
    return {
        "account_id": debtor.account.account_id,
        "name": debtor.account.name,
        "status": debtor.account.status,
        "owed": format_micros(debtor.owed_micros),
        "currency": debtor.account.currency,
        "since": iso(debtor.since),
        "invoices": [each.number or each.invoice_id for each in debtor.invoices],
        "reminders": debtor.account.reminders,
        "next_step": None if step is None else "suspension" if step.reminder is None else f"reminder {step.reminder}",
        "next_at": None if step is None else iso(step.at),
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['name']}\n{row['account_id']}",
        f"{row['owed']} {row['currency']}",
        f"{row['status']}\n{_day(row['since'])}\n{_counted(row['reminders'])}",
        "\n".join(row["invoices"]),
        f"{row['next_step']}\n{_day(row['next_at'])}" if row["next_step"] else "",
    )


def _counted(reminders: int) -> str:
    return f"{reminders} reminder{'' if reminders == 1 else 's'}"


def _day(moment: str) -> str:
    return moment.partition("T")[0]
