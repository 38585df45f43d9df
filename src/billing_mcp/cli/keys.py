"""Owns `billing-mcp keys`: what agents are granted."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from uuid import UUID

import typer

from billing_mcp import terminal
from billing_mcp.app import now_on
from billing_mcp.cli.common import Database, Json, run
from billing_mcp.cli.opened import open_store
from billing_mcp.domain.clock import iso
from billing_mcp.domain.errors import InvalidArgument, NotFound
from billing_mcp.operations.platform import make_agent_key, make_platform_key
from billing_mcp.settings import parse_permissions
from billing_mcp.store.keys import KeyRecord

app = typer.Typer(
    help="API keys: which accounts an agent may see, and what it may do.", no_args_is_help=True, add_completion=False
)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who it is for.")],
    account: Annotated[
        list[UUID] | None, typer.Option("--account", metavar="ACCOUNT_ID", help="Granted; repeat for more.")
    ] = None,
    default_account: Annotated[
        UUID | None, typer.Option(metavar="ACCOUNT_ID", help="Of several, the one that /v1/billing means.")
    ] = None,
    platform: Annotated[
        bool, typer.Option("--platform", help="The platform's own: accounts, holds, credits and keys; no function.")
    ] = False,
    permissions: Annotated[
        str | None, typer.Option(metavar="LIST", help="view, manage or view,manage. Default: view.")
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Manage functions do not exist for it.")] = False,
    expires_in_days: Annotated[int | None, typer.Option(min=1, max=3650, help="Default: it does not expire.")] = None,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Create a key. It is shown once: keep it, as BILLING_MCP_KEY of the agent's server.

    An agent's key is granted accounts. The platform's own, by --platform, is for your servers alone: with it they
    open accounts, place holds, give credits and make keys over REST.
    """

    async def work() -> None:
        try:
            granted = parse_permissions("view" if permissions is None else permissions)
        except ValueError as error:
            raise InvalidArgument(str(error), field="permissions") from None
        if platform and (account or default_account or permissions or read_only):
            message = "a platform key has no accounts, permissions or --read-only: it is no agent's"
            raise InvalidArgument(message, field="platform", hint="Leave these out, or --platform.")
        async with open_store(database) as (store, settings):
            now = await now_on(store, settings)
            expires_at = now + timedelta(days=expires_in_days) if expires_in_days else None
            async with store.write(now) as tx:
                if platform:
                    text, record = await make_platform_key(tx, name, expires_at=expires_at)
                else:
                    text, record = await make_agent_key(
                        tx,
                        name,
                        account_ids=[str(each) for each in account or ()],
                        permissions=granted,
                        read_only=read_only,
                        default_account_id=str(default_account) if default_account else None,
                        expires_at=expires_at,
                    )
        if as_json:
            terminal.print_json(
                {
                    "key": text,
                    "prefix": record.prefix,
                    "kind": record.kind,
                    "permissions": list(record.permissions),
                    "default_account": record.default_account_id,
                }
            )
        else:
            terminal.console().print(f"[bold]{text}[/]", soft_wrap=True)
            terminal.console().print(f"It is not shown again. Revoke it by its prefix {record.prefix}.")

    run(work())


@app.command("list")
def list_keys(as_json: Json = False, database: Database = None) -> None:
    """List all keys, without their secrets."""

    async def work() -> None:
        async with open_store(database) as (store, settings), store.read(await now_on(store, settings)) as tx:
            found = await tx.keys.all()
        rows = [
            {
                "prefix": key.prefix,
                "name": key.name,
                "kind": key.kind,
                "permissions": list(key.permissions),
                "read_only": key.read_only,
                "accounts": list(key.account_ids),
                "default_account": key.default_account_id,
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
            now = await now_on(store, settings)
            clean = prefix.encode("utf-8", "replace").decode().replace("\0", "?")
            async with store.write(now) as tx:
                if not await tx.keys.revoke(clean, now):
                    raise NotFound(f"there is no live key {clean}", hint="billing-mcp keys list shows all.")
        terminal.console().print(f"Revoked {prefix}.")

    run(work())


def _rights(key: KeyRecord) -> list[str]:
    if key.kind == "platform":
        return ["platform"]
    return [*key.permissions, "read-only"] if key.read_only else list(key.permissions)


def _cell(value: object) -> str:
    return "\n".join(value) if isinstance(value, list) else str(value or "")
