"""Owns the rules of a principal, checked at each call whatever the script says.

A rule looks at the call and raises, or lets it pass. The order is part of the contract: what
a principal may not know of does not exist for it, before anything else is said of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from billing_mcp.domain.errors import NotFound, PermissionDenied, Unauthenticated
from billing_mcp.domain.no_card_numbers import refuse_card_numbers
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.registry import Operation


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the principal makes it, before its arguments are parsed."""

    operation: Operation
    arguments: dict[str, Any]


Rule = Callable[[Context, Call], None]


def no_card_number(_ctx: Context, call: Call) -> None:
    """No argument holds a card number. Any other rule might name what was given."""
    refuse_card_numbers(call.arguments)


def key_is_live(ctx: Context, _call: Call) -> None:
    """An expired credential ends at its moment, also in the middle of a script."""
    expires_at = ctx.principal.expires_at
    if expires_at is not None and expires_at <= ctx.now:
        raise Unauthenticated("the key has expired", code="key_expired", hint="Create a new key.")


def account_is_granted(ctx: Context, call: Call) -> None:
    """An account that is not granted does not exist."""
    account_id = call.arguments.get(call.operation.resource_id_field)
    if isinstance(account_id, str) and not ctx.principal.may_know(account_id.lower()):
        raise NotFound(f"account {account_id[:36]} does not exist", field="account_id")


def permission_is_granted(ctx: Context, call: Call) -> None:
    """The function's permission is among the principal's."""
    needed = call.operation.permission
    if needed not in ctx.principal.permissions:
        raise PermissionDenied(
            f"{call.operation.name} needs the permission {needed.value}",
            hint=f"Granted: {', '.join(sorted(ctx.principal.permissions)) or 'nothing'}.",
        )


def read_only_reads(ctx: Context, call: Call) -> None:
    """A read-only principal calls nothing that may change anything."""
    if ctx.principal.read_only and call.operation.writes:
        raise PermissionDenied(f"{call.operation.name} may write, and this key is read-only", code="read_only")


RULES: tuple[Rule, ...] = (no_card_number, key_is_live, account_is_granted, permission_is_granted, read_only_reads)
