"""Owns `billing-mcp accounts details`: who an account's invoices are addressed to."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from billing_mcp import terminal
from billing_mcp.app import now_on
from billing_mcp.cli.common import Database, Json, run
from billing_mcp.cli.opened import open_store
from billing_mcp.domain.parties import BillingDetails, Language
from billing_mcp.operations.account_details import AccountDetails, set_details, shown_details


def details(
    account_id: Annotated[UUID, typer.Argument(metavar="ACCOUNT_ID")],
    name: Annotated[str | None, typer.Option(help="The company, or the person. Default: as it is.")] = None,
    address: Annotated[
        list[str] | None, typer.Option(metavar="LINE", help="A line of the address; give each. Default: as it is.")
    ] = None,
    language: Annotated[Language | None, typer.Option(help="Of the documents. Default: as it is.")] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="TEXT|none", help="Such as a purchase order. Default: as it is.")
    ] = None,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Show who an account's invoices are addressed to, or say so from now on. Those that are issued stay as they are.

    Where the account is, and its VAT id, is said with billing-mcp accounts tax.
    """

    async def work() -> None:
        async with open_store(database) as (store, settings):
            now = await now_on(store, settings)
            if name is None and address is None and language is None and reference is None:
                async with store.read(now) as tx:
                    found = shown_details(await tx.accounts.get(str(account_id)))
            else:
                async with store.write(now) as tx:
                    account = await tx.accounts.get(str(account_id), lock=True)
                    before = account.details or BillingDetails(account.name)
                    found = await set_details(
                        tx,
                        str(account_id),
                        name=before.name if name is None else name,
                        address=before.address if address is None else address,
                        language=language or before.language,
                        reference=before.reference if reference is None else _or_none(reference),
                    )
        _show(found, as_json=as_json)

    run(work())


def _or_none(text: str) -> str | None:
    return None if text == "none" else text


def _show(found: AccountDetails, *, as_json: bool) -> None:
    if as_json:
        terminal.print_json(found)
        return
    for line in (found["name"], *found["address"]):
        terminal.say(line)
    terminal.say(f"Invoices are in {found['language']}, with {found['reference'] or 'no'} reference.")
