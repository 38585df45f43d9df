"""Owns `billing-mcp keys`: what agents are granted."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from uuid import UUID

import typer

from billing_mcp import terminal
from billing_mcp.app import clock_of
from billing_mcp.cli.common import Database, Json, run, storable
from billing_mcp.cli.opened import open_store
from billing_mcp.domain.clock import iso
from billing_mcp.domain.errors import InvalidArgument, NotFound
from billing_mcp.kernel.keys import mint_key
from billing_mcp.settings import parse_permissions
from billing_mcp.store.keys import KeyRecord

app = typer.Typer(
    help="API keys: which accounts an agent may see, and what it may do.", no_args_is_help=True, add_completion=False
)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who it is for.")],
    account: Annotated[list[UUID], typer.Option("--account", metavar="ACCOUNT_ID", help="Granted; repeat for more.")],
    permissions: Annotated[str, typer.Option(metavar="LIST", help="view, manage or view,manage.")] = "view",
    read_only: Annotated[bool, typer.Option("--read-only", help="Manage functions do not exist for it.")] = False,
    expires_in_days: Annotated[int | None, typer.Option(min=1, max=3650, help="Default: it does not expire.")] = None,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Create a key. It is shown once: keep it, as BILLING_MCP_KEY of the agent's server."""

    async def work() -> None:
        try:
            granted = parse_permissions(permissions)
        except ValueError as error:
            raise InvalidArgument(str(error), field="permissions") from None
        async with open_store(database) as (store, settings):
            now = clock_of(settings)()
            text, record = mint_key(
                storable(name),
                permissions=granted,
                account_ids=list(dict.fromkeys(str(each) for each in account)),
                read_only=read_only,
                expires_at=now + timedelta(days=expires_in_days) if expires_in_days else None,
                now=now,
            )
            async with store.write(now) as tx:
                for account_id in record.account_ids:
                    await tx.accounts.get(account_id)
                await tx.keys.add(record)
        if as_json:
            terminal.print_json({"key": text, "prefix": record.prefix, "permissions": list(record.permissions)})
        else:
            terminal.console().print(f"[bold]{text}[/]", soft_wrap=True)
            terminal.console().print(f"It is not shown again. Revoke it by its prefix {record.prefix}.")

    run(work())


@app.command("list")
def list_keys(as_json: Json = False, database: Database = None) -> None:
    """List all keys, without their secrets."""

    async def work() -> None:
        async with open_store(database) as (store, settings), store.read(clock_of(settings)()) as tx:
            found = await tx.keys.all()
        rows = [
            {
                "prefix": key.prefix,
                "name": key.name,
                "permissions": list(key.permissions),
                "read_only": key.read_only,
                "accounts": list(key.account_ids),
                "created_at": iso(key.created_at),
                "expires_at": iso(key.expires_at) if key.expires_at else None,
                "revoked_at": iso(key.revoked_at) if key.revoked_at else None,
            }
            for key in found
        ]
        if as_json:
            terminal.print_json(rows)
        elif rows:
            columns = ("prefix", "name", "permissions", "accounts", "expires_at", "revoked_at")
            people = [row | {"permissions": _rights(key)} for row, key in zip(rows, found, strict=True)]
            cells = [[_cell(row[column]) for column in columns] for row in people]
            terminal.console().print(terminal.table("Keys", columns, cells))
        else:
            terminal.console().print("No key yet. Create one: billing-mcp keys create NAME --account ACCOUNT_ID")

    run(work())


@app.command()
def revoke(prefix: Annotated[str, typer.Argument(help="As `keys list` shows it.")], database: Database = None) -> None:
    """Revoke a key; it is refused from its next call on."""

    async def work() -> None:
        async with open_store(database) as (store, settings):
            now = clock_of(settings)()
            clean = prefix.encode("utf-8", "replace").decode().replace("\0", "?")
            async with store.write(now) as tx:
                if not await tx.keys.revoke(clean, now):
                    raise NotFound(f"there is no live key {clean}", hint="billing-mcp keys list shows all.")
        terminal.console().print(f"Revoked {prefix}.")

    run(work())


def _rights(key: KeyRecord) -> list[str]:
    return [*key.permissions, "read-only"] if key.read_only else list(key.permissions)


def _cell(value: object) -> str:
    return "\n".join(value) if isinstance(value, list) else str(value or "")
