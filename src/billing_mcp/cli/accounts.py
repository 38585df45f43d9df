"""Owns `billing-mcp accounts`: opening accounts, and what the platform does with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from billing_mcp import terminal
from billing_mcp.app import clock_on, now_on
from billing_mcp.catalog.loader import load_catalog
from billing_mcp.cli.account_details import details
from billing_mcp.cli.common import Database, IdempotencyKey, Json, run
from billing_mcp.cli.opened import open_store
from billing_mcp.cli.owing import owing
from billing_mcp.domain.clock import iso, start_of
from billing_mcp.domain.credits import DEFAULT_PRIORITY, FIRST_PRIORITY, LAST_PRIORITY
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.ids import new_id
from billing_mcp.domain.instructions import Receipt
from billing_mcp.domain.money import format_micros, parse_micros
from billing_mcp.domain.pricing import Channel
from billing_mcp.operations.credits import as_of_now, shown_credit
from billing_mcp.operations.platform import ComponentType, count_components, open_account
from billing_mcp.operations.platform_money import PlatformMoney
from billing_mcp.operations.platform_tiers import grant_tiers, shown_tier, tier_of
from billing_mcp.operations.taxing import set_customer, shown_tax
from billing_mcp.operations.traffic import ChannelNow

app = typer.Typer(help="Accounts, and what the platform does with them.", no_args_is_help=True, add_completion=False)

AccountArgument = Annotated[UUID, typer.Argument(metavar="ACCOUNT_ID")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    account_id: Annotated[UUID | None, typer.Option("--id", help="Default: a new UUID.")] = None,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Open an account with an empty wallet, in the catalog's currency."""

    async def work() -> None:
        async with open_store(database) as (store, settings):
            catalog, now = load_catalog(settings.catalog), await now_on(store, settings)
            async with store.write(now) as tx:
                chosen = str(account_id) if account_id else new_id(now)
                account = await open_account(tx, chosen, name, catalog.currency)
        if as_json:
            terminal.print_json({"id": account.account_id, "name": account.name, "currency": account.currency})
        else:
            name_shown = terminal.printable(account.name)
            terminal.console().print(f"Opened {name_shown}: {account.account_id}", markup=False)

    run(work())


@app.command("list")
def list_accounts(as_json: Json = False, database: Database = None) -> None:
    """List all accounts with their balances."""

    async def work() -> None:
        async with open_store(database) as (store, settings), store.read(await now_on(store, settings)) as tx:
            found = [(account, await tx.ledger.wallet(account.account_id)) for account in await tx.accounts.all()]
        rows = [
            {
                "id": account.account_id,
                "name": account.name,
                "status": account.status,
                "currency": wallet.currency,
                "available": format_micros(wallet.available_micros),
                "reserved": format_micros(wallet.reserved_micros),
                "created_at": iso(account.created_at),
            }
            for account, wallet in found
        ]
        if as_json:
            terminal.print_json(rows)
        elif rows:
            columns = ("id", "name", "status", "currency", "available", "reserved")
            cells = [[row[column] for column in columns] for row in rows]
            terminal.console().print(terminal.table("Accounts", columns, cells, right=("available", "reserved")))
        else:
            terminal.console().print("No account yet. Open one: billing-mcp accounts create NAME")

    run(work())


app.command()(owing)


@app.command()
def topup(
    account_id: AccountArgument,
    amount: Annotated[str, typer.Argument(help="For example 50.00.")],
    idempotency_key: IdempotencyKey = "",
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Credit a wallet with money that you have received outside, such as a bank transfer."""

    def act(money: PlatformMoney, amount_micros: int) -> Awaitable[Receipt]:
        return money.receive(str(account_id), amount_micros, provider="manual", idempotency_key=idempotency_key)

    _do(act, amount, database, as_json=as_json)


@app.command()
def credit(
    account_id: AccountArgument,
    amount: Annotated[str, typer.Argument(help="For example 5.00.")],
    reason: Annotated[str, typer.Option(help="What it is for, for good: no personal data.")],
    expires: Annotated[
        str | None,
        typer.Option(metavar="MOMENT", help="When what is left leaves the wallet; of a day its start. Default: never."),
    ] = None,
    priority: Annotated[
        int, typer.Option(min=FIRST_PRIORITY, max=LAST_PRIORITY, help="That of the lowest is used first.")
    ] = DEFAULT_PRIORITY,
    idempotency_key: IdempotencyKey = "",
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Give an account money of your own, such as for an outage. It is used before the account's own."""

    def act(money: PlatformMoney, amount_micros: int) -> Awaitable[Receipt]:
        return money.credit(
            str(account_id),
            amount_micros,
            reason=reason,
            priority=priority,
            expires_at=_moment(expires),
            idempotency_key=idempotency_key,
        )

    _do(act, amount, database, as_json=as_json)


@app.command("credits")
def list_credits(account_id: AccountArgument, as_json: Json = False, database: Database = None) -> None:
    """List what an account was given, newest first, and what is left of each."""

    async def work() -> None:
        async with open_store(database) as (store, settings), store.read(await now_on(store, settings)) as tx:
            currency = (await tx.ledger.wallet(str(account_id))).currency
            found = await as_of_now(tx, str(account_id), await tx.credits.all(str(account_id)))
        rows = [shown_credit(each, currency) for each in found]
        if as_json:
            terminal.print_json(rows)
        elif rows:
            columns = ("amount", "remaining", "used", "expired", "currency", "priority", "expires_at", "reason")
            cells = [[str(row[column] if row[column] is not None else "never") for column in columns] for row in rows]
            terminal.console().print(terminal.table("Credits", columns, cells, right=columns[:4]))
        else:
            terminal.console().print("No credit yet. Give one: billing-mcp accounts credit ACCOUNT_ID AMOUNT")

    run(work())


@app.command()
def count(
    account_id: AccountArgument,
    component: Annotated[ComponentType, typer.Argument(help="What plans charge by.")],
    quantity: Annotated[int, typer.Argument(min=0, max=1_000_000_000)],
    since: Annotated[str | None, typer.Option("--from", metavar="DATE", help="Default: today (UTC).")] = None,
    database: Database = None,
) -> None:
    """Say how many mailboxes or proxies an account has, from a day on."""

    async def work() -> None:
        async with open_store(database) as (store, settings):
            now = await now_on(store, settings)
            try:
                day = date.fromisoformat(since) if since else now.date()
            except ValueError:
                message = f"--from must be an ISO date, such as 2026-03-01; got {since!r}"
                raise InvalidArgument(message, field="from") from None
            async with store.write(now) as tx:
                await count_components(tx, str(account_id), component, quantity, day)
        terminal.console().print(f"{quantity} of component {component} from {day.isoformat()} on.")

    run(work())


app.command("details")(details)


@app.command()
def tier(
    account_id: AccountArgument,
    channel: Annotated[Channel, typer.Argument(help="What messages are sent by.")],
    commitment: Annotated[
        str | None, typer.Option(metavar="NAME|none", help="The least tier, whatever the volume. Default: as it is.")
    ] = None,
    override: Annotated[
        str | None, typer.Option(metavar="NAME|none", help="The tier in force, instead of all else. Default: as it is.")
    ] = None,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Show the tier of an account on a channel, or grant it one from now on."""

    async def work() -> None:
        async with open_store(database) as (store, settings):
            book, now = load_catalog(settings.catalog).book, await now_on(store, settings)
            if commitment is None and override is None:
                async with store.read(now) as tx:
                    found = await tier_of(tx, book, str(account_id), channel)
            else:
                async with store.write(now) as tx:
                    before = await tier_of(tx, book, str(account_id), channel)
                    grants = {
                        "commitment": _granted(commitment, before.named(before.state.commitment)),
                        "override": _granted(override, before.named(before.state.override)),
                    }
                    found = await grant_tiers(tx, book, str(account_id), channel, **grants)
        _show_tier(found, as_json=as_json)

    run(work())


@app.command()
def tax(
    account_id: AccountArgument,
    country: Annotated[
        str | None, typer.Option(metavar="CODE|none", help="Where it is (ISO 3166). Default: as it is.")
    ] = None,
    vat_id: Annotated[
        str | None, typer.Option(metavar="ID|none", help="Of a business in the EU. Default: as it is.")
    ] = None,
    exempt: Annotated[
        bool | None, typer.Option("--exempt/--not-exempt", help="Whether no VAT is added. Default: as it is.")
    ] = None,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Show what VAT is added to what an account pays, or say who it is for VAT from now on."""

    async def work() -> None:
        async with open_store(database) as (store, settings):
            book, now = load_catalog(settings.catalog).tax, await now_on(store, settings)
            if country is None and vat_id is None and exempt is None:
                async with store.read(now) as tx:
                    found = await tx.accounts.get(str(account_id))
            else:
                async with store.write(now) as tx:
                    before = (await tx.accounts.get(str(account_id), lock=True)).customer
                    found = await set_customer(
                        tx,
                        str(account_id),
                        country=_granted(country, before.country),
                        vat_id=_granted(vat_id, before.vat_id),
                        exempt=before.exempt if exempt is None else exempt,
                    )
        _show_tax(shown_tax(found, book, now.date()), as_json=as_json)

    run(work())


def _show_tax(shown: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        terminal.print_json(shown)
        return
    who = f"country {shown['country'] or 'not said'}, VAT id {shown['vat_id'] or 'none'}"
    who += ", exempt" if shown["tax_exempt"] else ""
    words = (
        f"To 100.00 is added {shown['on_100']}: {shown['treatment'].replace('_', ' ')}, "
        f"{shown['rate_percent']} % of {shown['rate_country']} ({who}). {shown['note']}."
    )
    terminal.console().print(words, markup=False)


def _moment(text: str | None) -> datetime | None:
    """A moment with its time zone, or a day's start in UTC. Raises InvalidArgument."""
    if text is None:
        return None
    try:
        moment = start_of(date.fromisoformat(text)) if len(text) == 10 else datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    message = f"--expires must be an ISO day or moment, such as 2026-12-31 or 2026-12-31T12:00:00Z; got {text!r}"
    raise InvalidArgument(message, field="expires")


def _granted(asked: str | None, before: str | None) -> str | None:
    """What is granted after it: by name, nothing, or as before where it is not said."""
    return before if asked is None else None if asked == "none" else asked


def _show_tier(found: ChannelNow, *, as_json: bool) -> None:
    shown = shown_tier(found)
    if as_json:
        terminal.print_json(shown)
        return
    granted = f"commitment {shown['commitment'] or 'none'}, override {shown['override'] or 'none'}"
    words = (
        f"The tier on {found.channel} is {found.tier.name}, by {found.standing.source.replace('_', ' ')}; {granted}."
    )
    terminal.console().print(words, markup=False)


def _do(
    act: Callable[[PlatformMoney, int], Awaitable[Receipt]], amount: str, database: str | None, *, as_json: bool
) -> None:
    async def work() -> None:
        try:
            amount_micros = parse_micros(amount)
        except ValueError as error:
            raise InvalidArgument(str(error), field="amount") from None
        async with open_store(database) as (store, settings):
            receipt = await act(PlatformMoney(store, await clock_on(store, settings)), amount_micros)
        _show(receipt, as_json=as_json)

    run(work())


def _show(receipt: Receipt, *, as_json: bool) -> None:
    if as_json:
        balances = {
            "free": format_micros(receipt.available_micros),
            "reserved": format_micros(receipt.reserved_micros),
            "currency": receipt.currency,
        }
        (transaction_id,) = receipt.transaction_ids
        terminal.print_json({"transaction_id": transaction_id, **balances, "replayed": receipt.replayed})
        return
    balance = format_micros(receipt.available_micros + receipt.reserved_micros)
    again = "Done before, under the same key: the balance was" if receipt.replayed else "Credited. The balance is"
    terminal.console().print(f"{again} [bold]{balance} {receipt.currency}[/].")
