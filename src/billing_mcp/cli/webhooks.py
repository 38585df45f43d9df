"""Owns `billing-mcp webhooks`: where accounts hear of events, and what became of telling them."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import typer

from billing_mcp import terminal
from billing_mcp.app import clock_on, now_on
from billing_mcp.cli.common import Database, Json, run
from billing_mcp.cli.opened import open_store
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.webhooks import Delivery, Endpoint
from billing_mcp.operations.platform_webhooks import (
    add_endpoint,
    delivery_shown,
    endpoint_shown,
    remove_endpoint,
    replay_delivery,
    rotate_secret,
    trial_message,
    trial_shown,
)
from billing_mcp.worker.receivers import Receivers

app = typer.Typer(
    help="Webhooks: where accounts hear of events, and what became of telling them.",
    epilog="Events are told by a server over HTTP, or by: billing-mcp worker",
    no_args_is_help=True,
    add_completion=False,
)

AccountId = Annotated[UUID, typer.Argument(metavar="ACCOUNT_ID", help="As accounts list shows it.")]
EndpointId = Annotated[UUID, typer.Argument(metavar="ENDPOINT_ID", help="As webhooks list shows it.")]

_ENDPOINTS = ("endpoint_id", "told", "status")
_DELIVERIES = ("delivery_id", "event", "status")


@app.command("list")
def list_webhooks(
    account_id: AccountId,
    deliveries: Annotated[bool, typer.Option("--deliveries", help="Show what was told, the newest first.")] = False,
    status: Annotated[
        Literal["waiting", "delivered", "dead"] | None, typer.Option(help="Which deliveries. Default: all.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many deliveries.")] = 20,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """List an account's endpoints; with --deliveries, what they were told of last, and what they answered.

    A delivery is tried ten times within about three days, and is dead then. Deliveries are kept for 30 days.
    """

    async def work() -> None:
        async with open_store(database) as (store, settings), store.read(await now_on(store, settings)) as tx:
            await tx.accounts.get(str(account_id))
            endpoints = await tx.webhooks.endpoints(str(account_id))
            found = (
                await tx.webhooks.deliveries(str(account_id), status=status, limit=limit)
                if deliveries or status
                else None
            )
        shown = [endpoint_shown(each, tx.now) for each in endpoints]
        if as_json:
            terminal.print_json(shown if found is None else [delivery_shown(each) for each in found])
        elif found is not None:
            _print(_DELIVERIES, "Deliveries", [_delivery(each) for each in found], "Nothing was told.")
        else:
            nothing = f"No endpoint yet. Add one: billing-mcp webhooks add {account_id} https://..."
            _print(_ENDPOINTS, "Webhook endpoints", [_endpoint(each) for each in endpoints], nothing)

    run(work())


@app.command()
def add(
    account_id: AccountId,
    url: Annotated[str, typer.Argument(help="An https URL whose host is of the public internet.")],
    event: Annotated[
        list[str] | None, typer.Option("--event", metavar="TYPE", help="Told; repeat for more. Default: all events.")
    ] = None,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Tell an account of events at a URL, from now on. The secret is shown once: receivers verify by it.

    For development, BILLING_MCP_WEBHOOKS_TO_LOOPBACK=true lets http://localhost be told, too.
    """

    async def work() -> None:
        async with open_store(database) as (store, settings), store.write(await now_on(store, settings)) as tx:
            local = settings.webhooks_to_loopback
            added = await add_endpoint(tx, str(account_id), url, events=event or (), to_loopback=local)
        _show_secret(added, as_json=as_json, shown=endpoint_shown(added, tx.now))

    run(work())


@app.command()
def rotate(account_id: AccountId, endpoint_id: EndpointId, as_json: Json = False, database: Database = None) -> None:
    """Give an endpoint a new secret, which is shown once. For 24 hours messages are signed by both."""

    async def work() -> None:
        async with open_store(database) as (store, settings), store.write(await now_on(store, settings)) as tx:
            rotated = await rotate_secret(tx, str(account_id), str(endpoint_id))
        _show_secret(rotated, as_json=as_json, shown=endpoint_shown(rotated, tx.now))

    run(work())


@app.command()
def remove(account_id: AccountId, endpoint_id: EndpointId, database: Database = None) -> None:
    """Tell an endpoint nothing any more, and forget it."""

    async def work() -> None:
        async with open_store(database) as (store, settings), store.write(await now_on(store, settings)) as tx:
            await remove_endpoint(tx, str(account_id), str(endpoint_id))
        terminal.say(f"Removed {endpoint_id}.")

    run(work())


@app.command("test")
def send_test(account_id: AccountId, endpoint_id: EndpointId, as_json: Json = False, database: Database = None) -> None:
    """Send billing.webhook.test now, once, and show what was answered. Exits with 1 where it was not taken."""

    async def work() -> None:
        async with open_store(database) as (store, settings):
            clock = await clock_on(store, settings)
            async with store.read(clock()) as tx:
                endpoint = await tx.webhooks.endpoint(str(account_id), str(endpoint_id))
            message_id, body = trial_message(endpoint, clock())
            told = await Receivers(clock, to_loopback=settings.webhooks_to_loopback).tell(endpoint, message_id, body)
        attempt = told.attempt
        if as_json:
            terminal.print_json(trial_shown(message_id, attempt, told.answer))
        else:
            said = f"answered {attempt.status_code}" if attempt.error is None else str(attempt.error)
            terminal.say(f"{'Taken' if attempt.ok else 'Not taken'}: {said}, after {attempt.milliseconds} ms.")
        if not attempt.ok:
            raise typer.Exit(1)

    run(work())


@app.command()
def replay(
    account_id: AccountId,
    delivery_id: Annotated[
        UUID | None, typer.Argument(metavar="DELIVERY_ID", help="As webhooks list --deliveries shows it.")
    ] = None,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="All that is dead, the oldest first.")] = False,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Have endpoints told again, whether it was delivered or is dead: the same message, with all its attempts.

    What is dead at an endpoint that is removed or disabled stays dead with --all-dead.
    """

    async def work() -> None:
        if (delivery_id is None) != all_dead:
            raise InvalidArgument(
                "say what to replay: either a DELIVERY_ID, or --all-dead",
                field="delivery_id",
                hint=f"See what was told: billing-mcp webhooks list {account_id} --deliveries",
            )
        async with open_store(database) as (store, settings), store.write(await now_on(store, settings)) as tx:
            if delivery_id is not None:
                await replay_delivery(tx, str(account_id), str(delivery_id))
                replayed = 1
            else:
                replayed = await tx.webhooks.replay_dead(str(account_id))
        if as_json:
            terminal.print_json({"replayed": replayed})
        else:
            terminal.say(f"{replayed} due now. A server over HTTP tells of it by itself; else: billing-mcp worker")

    run(work())


def _print(columns: tuple[str, ...], title: str, rows: list[list[str]], nothing: str) -> None:
    if rows:
        terminal.console().print(terminal.table(title, columns, rows, whole=columns[:1]))
    else:
        terminal.say(nothing)


def _show_secret(endpoint: Endpoint, *, as_json: bool, shown: dict[str, Any]) -> None:
    if as_json:
        terminal.print_json({**shown, "secret": endpoint.secret})
        return
    terminal.say(endpoint.secret)
    terminal.say(f"It is not shown again. It signs what {endpoint.url} is told, as endpoint {endpoint.endpoint_id}.")


def _endpoint(endpoint: Endpoint) -> list[str]:
    told = "\n".join([endpoint.url, *(endpoint.events or ("all events",))])
    since = f"\nfailing since {_minute(endpoint.failing_since)}" if endpoint.failing_since else ""
    return [endpoint.endpoint_id, told, f"{endpoint.status}{f': {endpoint.reason}' if endpoint.reason else ''}{since}"]


def _delivery(delivery: Delivery) -> list[str]:
    last = delivery.log[-1] if delivery.log else None
    answered = str(last.status_code) if last is not None and last.status_code else ""
    said = " ".join(each for each in (answered, delivery.error or "") if each)
    due = f"due {_minute(delivery.due_at)}" if delivery.status == "waiting" else _minute(delivery.ended_at)
    event = f"{delivery.event}\nto {delivery.endpoint_id}"
    return [delivery.delivery_id, event, f"{delivery.status} {due}\n{delivery.attempts} tried {said}".rstrip()]


def _minute(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""
