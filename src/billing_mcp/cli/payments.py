"""Owns `billing-mcp payments`: how accounts pay, and what the test provider's tokens do."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import typer

from billing_mcp import terminal
from billing_mcp.app import now_on
from billing_mcp.cli.common import Database, Json, run
from billing_mcp.cli.opened import open_store
from billing_mcp.operations.payment_methods import shown
from billing_mcp.payments.tokens import TOKENS

app = typer.Typer(help="How accounts pay, and the test provider's tokens.", no_args_is_help=True, add_completion=False)


@app.command()
def tokens(as_json: Json = False) -> None:
    """List the tokens of the test provider, each of which does what it says: no network, and no money.

    An agent adds one with billing.payment_methods.add(account_id=..., token="tok_visa").
    """
    rows = [{"token": each.token, "type": each.type, "does": each.does} for each in TOKENS.values()]
    if as_json:
        terminal.print_json(rows)
        return
    cells = [list(row.values()) for row in rows]
    terminal.console().print(terminal.table("Test tokens", ("token", "type", "does"), cells, whole=("token", "type")))


@app.command()
def methods(
    account_id: Annotated[UUID, typer.Argument(metavar="ACCOUNT_ID")], as_json: Json = False, database: Database = None
) -> None:
    """List an account's payment methods, oldest first, those that were removed too. No number is kept of any."""

    async def work() -> None:
        async with open_store(database) as (store, settings), store.read(await now_on(store, settings)) as tx:
            found = await tx.payments.methods_of_account(str(account_id))
        rows: list[Any] = [shown(each) for each in found]
        if as_json:
            terminal.print_json(rows)
        elif rows:
            columns = ("payment_method_id", "method", "expires", "status")
            cells = [[row["payment_method_id"], _method(row), _expiry(row), _status(row)] for row in rows]
            terminal.console().print(terminal.table("Payment methods", columns, cells, whole=columns[:1]))
        else:
            terminal.console().print("No payment method.")

    run(work())


def _method(row: dict[str, Any]) -> str:
    last = f" ...{row['last4']}" if row["last4"] else ""
    return f"{row['brand'] or row['type']}{last}"


def _expiry(row: dict[str, Any]) -> str:
    return f"{row['exp_month']:02d}/{row['exp_year']}" if row["exp_month"] else ""


def _status(row: dict[str, Any]) -> str:
    said = [row["status"], "default" if row["is_default"] else "", row["failure_code"] or "", row["setup_url"] or ""]
    return " ".join(each for each in said if each)
