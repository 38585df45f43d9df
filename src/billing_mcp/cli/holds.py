"""Owns `billing-mcp holds`: setting money aside for work in flight, charging it, giving it back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import typer

from billing_mcp import terminal
from billing_mcp.app import clock_on, now_on
from billing_mcp.cli.common import Database, IdempotencyKey, Json, run
from billing_mcp.cli.opened import open_store
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.holds import HoldStatus
from billing_mcp.domain.instructions import Receipt
from billing_mcp.domain.money import format_micros, parse_micros
from billing_mcp.operations.holds import hold_item
from billing_mcp.operations.platform_holds import PlatformHolds

app = typer.Typer(help="Money set aside for work in flight.", no_args_is_help=True, add_completion=False)

AccountArgument = Annotated[UUID, typer.Argument(metavar="ACCOUNT_ID")]
HoldArgument = Annotated[UUID, typer.Argument(metavar="HOLD_ID")]
Shown = Literal["open", "captured", "released", "expired", "all"]


@app.command()
def place(
    account_id: AccountArgument,
    amount: Annotated[str, typer.Argument(help="For example 12.40.")],
    reference: Annotated[str, typer.Option(help="What the work is called, for good: no personal data.")] = "",
    expires_at: Annotated[
        str | None, typer.Option("--expires", metavar="MOMENT", help="ISO 8601, UTC. Default: in 7 days.")
    ] = None,
    idempotency_key: IdempotencyKey = "",
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Set money aside: what is free goes down, what is reserved goes up."""

    def act(holds: PlatformHolds) -> Awaitable[Receipt]:
        expiry = _moment(expires_at)
        options = {"reference": reference, "idempotency_key": idempotency_key}
        return holds.place(str(account_id), _amount(amount), expires_at=expiry, **options)

    _do(act, database, as_json=as_json)


@app.command()
def capture(
    account_id: AccountArgument,
    hold_id: HoldArgument,
    amount: Annotated[str | None, typer.Argument(help="Default: all that remains.")] = None,
    final: Annotated[bool, typer.Option("--final", help="Give back what remains after it.")] = False,
    idempotency_key: IdempotencyKey = "",
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Charge a hold, or part of it. More than it holds is taken from what is free."""

    def act(holds: PlatformHolds) -> Awaitable[Receipt]:
        part = None if amount is None else _amount(amount)
        return holds.capture(str(account_id), str(hold_id), part, final=final, idempotency_key=idempotency_key)

    _do(act, database, as_json=as_json)


@app.command()
def release(
    account_id: AccountArgument,
    hold_id: HoldArgument,
    idempotency_key: IdempotencyKey = "",
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Give back what a hold still reserves."""
    _do(
        lambda holds: holds.release(str(account_id), str(hold_id), idempotency_key=idempotency_key),
        database,
        as_json=as_json,
    )


@app.command()
def expire(as_json: Json = False, database: Database = None) -> None:
    """Give back what all holds reserve that are past their time. Can be run again at any time."""

    async def work() -> None:
        async with open_store(database) as (store, settings):
            with terminal.progress("Expiring holds") as bar:
                task = bar.add_task("", total=None)
                holds = PlatformHolds(store, await clock_on(store, settings))
                expired = await holds.expire_due(progress=lambda done: bar.update(task, completed=done))
        if as_json:
            terminal.print_json({"expired": expired})
        else:
            terminal.console().print(f"{expired} {'hold' if expired == 1 else 'holds'} expired.")

    run(work())


@app.command("list")
def list_holds(
    account_id: AccountArgument,
    status: Annotated[Shown, typer.Option(help="Which holds.")] = "open",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the newest.")] = 100,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """List an account's holds, newest first, and what is reserved in all."""

    async def work() -> None:
        wanted: HoldStatus | None = None if status == "all" else status
        async with open_store(database) as (store, settings), store.read(await now_on(store, settings)) as tx:
            wallet = await tx.ledger.wallet(str(account_id))
            found = await tx.holds.older(str(account_id), than=None, status=wanted, limit=limit)
        rows: list[Any] = [hold_item(hold, wallet.currency) for hold in found]
        if as_json:
            terminal.print_json(rows)
            return
        if rows:
            columns = ("hold_id", "reference", "status", "amount", "remaining", "expires_at")
            shown = [{**row, "expires_at": row["expires_at"][:16].replace("T", " ")} for row in rows]
            cells = [[row[column] for column in columns] for row in shown]
            title = f"Holds, {wallet.currency}"
            terminal.console().print(terminal.table(title, columns, cells, right=columns[3:5], whole=columns[:1]))
        else:
            terminal.console().print("No hold.")
        terminal.console().print(f"Reserved in all: {format_micros(wallet.reserved_micros)} {wallet.currency}")

    run(work())


def _do(act: Callable[[PlatformHolds], Awaitable[Receipt]], database: str | None, *, as_json: bool) -> None:
    async def work() -> None:
        async with open_store(database) as (store, settings):
            receipt = await act(PlatformHolds(store, await clock_on(store, settings)))
        _show(receipt, as_json=as_json)

    run(work())


def _show(receipt: Receipt, *, as_json: bool) -> None:
    if receipt.hold is None:
        raise TypeError("a hold's receipt names its hold")
    item = hold_item(receipt.hold, receipt.currency)
    free, reserved = format_micros(receipt.available_micros), format_micros(receipt.reserved_micros)
    if as_json:
        balances = {"free": free, "reserved": reserved, "transaction_ids": list(receipt.transaction_ids)}
        terminal.print_json({**item, **balances, "replayed": receipt.replayed})
        return
    again = " Done before, under the same key." if receipt.replayed else ""
    console = terminal.console()
    console.print(f"Hold {item['hold_id']} is {item['status']}.{again}", markup=False)
    console.print(f"  amount {item['amount']}, captured {item['captured']}, released {item['released']}", markup=False)
    console.print(f"  free {free} {receipt.currency}, reserved {reserved} {receipt.currency}", markup=False)


def _amount(text: str) -> int:
    try:
        return parse_micros(text)
    except ValueError as error:
        raise InvalidArgument(str(error), field="amount") from None


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"--expires must be a moment in ISO 8601, such as 2026-03-01T12:00:00Z; got {text!r}"
        raise InvalidArgument(message, field="expires") from None
