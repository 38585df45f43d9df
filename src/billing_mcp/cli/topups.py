"""Owns `billing-mcp topups`: what customers have paid in, and giving it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

import typer

from billing_mcp import terminal
from billing_mcp.app import clock_on, now_on
from billing_mcp.cli.common import Database, IdempotencyKey, Json, run
from billing_mcp.cli.opened import open_store
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.money import parse_micros
from billing_mcp.domain.topups import TopUpStatus
from billing_mcp.operations.platform_payments import ask_for_refund, refund_item, topup_in_full, topup_item
from billing_mcp.operations.platform_requests import OnceUnderKey
from billing_mcp.store.platform_requests import KeyedRequest
from billing_mcp.store.store import Transaction

app = typer.Typer(
    help="Money that customers have paid in: seeing it, and giving it back.",
    no_args_is_help=True,
    add_completion=False,
)

AccountArgument = Annotated[UUID, typer.Argument(metavar="ACCOUNT_ID")]
TopUpArgument = Annotated[UUID, typer.Argument(metavar="TOPUP_ID", help="As topups list shows it.")]
Shown = Literal[
    "pending", "processing", "requires_action", "succeeded", "failed", "unknown", "reversed", "refunded", "all"
]

_OPERATOR = "operator"
"""Whose the idempotency keys of the command line are."""
_COLUMNS = ("topup_id", "created_at", "status", "total", "amount", "tax")


@app.command("list")
def list_topups(
    account_id: AccountArgument,
    status: Annotated[Shown, typer.Option(help="Which top-ups.")] = "all",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the newest.")] = 100,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """List an account's top-ups, newest first: what the customer paid, what the wallet got of it, and the VAT."""

    async def work() -> None:
        wanted: TopUpStatus | None = None if status == "all" else status
        async with open_store(database) as (store, settings), store.read(await now_on(store, settings)) as tx:
            currency = (await tx.accounts.get(str(account_id))).currency
            found = await tx.payments.topups(str(account_id), status=wanted, limit=limit)
        rows = [topup_item(each) for each in found]
        if as_json:
            terminal.print_json(rows)
        elif rows:
            title = f"Top-ups, {currency}"
            cells = [_cells(row, _COLUMNS) for row in rows]
            terminal.console().print(
                terminal.table(title, _COLUMNS, cells, right=_COLUMNS[3:], whole=(_COLUMNS[0], _COLUMNS[1]))
            )
        else:
            terminal.console().print("No top-up.")

    run(work())


@app.command()
def show(
    account_id: AccountArgument, topup_id: TopUpArgument, as_json: Json = False, database: Database = None
) -> None:
    """Show a top-up: how it stands, where it is at the provider, its refunds, and what can still go back."""

    async def work() -> None:
        async with open_store(database) as (store, settings), store.read(await now_on(store, settings)) as tx:
            topup = await tx.payments.topup(str(account_id), str(topup_id))
            item = topup_in_full(topup, await tx.payments.refunds(topup.account_id, topup.topup_id))
        if as_json:
            terminal.print_json(item)
            return
        refunds = item.pop("refunds")
        for name, value in item.items():
            if value is not None:
                terminal.say(f"{name:>17}  {value}")
        columns = ("refund_id", "created_at", "status", "amount", "failure_code")
        if refunds:
            cells = [_cells(row, columns) for row in refunds]
            terminal.console().print(terminal.table("Refunds", columns, cells, right=["amount"], whole=columns[:2]))

    run(work())


@app.command()
def refund(
    account_id: AccountArgument,
    topup_id: TopUpArgument,
    amount: Annotated[
        str | None, typer.Argument(help="Of what the customer paid, tax included. Default: all that is left.")
    ] = None,
    idempotency_key: IdempotencyKey = "",
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Give some of a top-up back to the customer. What was asked for cannot be asked for again.

    The provider is asked by a worker: a server over HTTP has one; else run `billing-mcp worker --once`. The wallet
    gives its part, without the VAT, and has to have it. A lower balance can set off an automatic reload: have the
    customer's agent switch that off first.
    """

    async def work() -> None:
        part = None if amount is None else _amount(amount)

        async def ask(tx: Transaction) -> str:
            asked = await ask_for_refund(tx, str(account_id), str(topup_id), part)
            return asked.refund_id

        async with open_store(database) as (store, settings):
            clock = await clock_on(store, settings)
            asked = f"refund {account_id} {topup_id} {part}"
            request = KeyedRequest.of(_OPERATOR, idempotency_key, asked) if idempotency_key else None
            answered = await OnceUnderKey(store, clock).in_one_transaction(request, ask)
            async with store.read(clock()) as tx:
                made = await tx.payments.refund(str(account_id), answered.text)
                item = refund_item(made, await tx.payments.topup(made.account_id, made.topup_id))
        if as_json:
            terminal.print_json(item | {"replayed": answered.replayed})
            return
        again = " Asked for before, under the same key." if answered.replayed else ""
        terminal.say(f"Refund {item['refund_id']} of {item['amount']} {item['currency']} is {item['status']}.{again}")
        if item["status"] == "pending":
            terminal.say("A server over HTTP does it by itself; else: billing-mcp worker --once")

    run(work())


def _cells(row: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    """The cells of a row, moments to the minute."""
    return [str(row[c] or "")[:16].replace("T", " ") if c == "created_at" else str(row[c] or "") for c in columns]


def _amount(text: str) -> int:
    try:
        return parse_micros(text)
    except ValueError as error:
        raise InvalidArgument(str(error), field="amount") from None
