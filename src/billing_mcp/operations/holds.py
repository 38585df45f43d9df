"""billing.holds.*: money that is set aside for work in flight."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from typing_extensions import TypedDict

from billing_mcp.domain.clock import iso
from billing_mcp.domain.holds import Hold, HoldStatus
from billing_mcp.domain.money import format_micros
from billing_mcp.kernel.arguments import AccountId, Cursor, Limit
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource
from billing_mcp.operations.paging import cut, wrong_cursor

HOLDS = Resource("holds", doc="Money that is set aside for work in flight.")


class HoldItem(TypedDict):
    """A hold: what was set aside, what of it was charged or given back, and what is still reserved."""

    hold_id: str
    reference: str
    status: HoldStatus
    amount: str
    remaining: str
    created_at: str
    expires_at: str
    closed_at: str | None
    currency: str
    captured: str
    released: str


class HoldItems(TypedDict):
    """Newest first. `next_cursor` leads to older ones, null where there are none."""

    items: list[HoldItem]
    next_cursor: str | None


@HOLDS.operation(requires=Permission.VIEW, route="GET /holds", own_route="GET /holds")
async def list_(
    ctx: Context,
    *,
    account_id: AccountId,
    status: Literal["open", "captured", "released", "expired", "all"] = "open",
    cursor: Cursor | None = None,
    limit: Limit = 20,
) -> HoldItems:
    """The account's holds with one status, or "all", newest first, `limit` (1 to 100) at a time.

    What open holds have `remaining` adds up to `reserved` of billing.balance.get. Give `next_cursor` of an
    answer as `cursor` to go on.
    Errors: invalid_argument, not_found.
    """
    currency = (await ctx.tx.ledger.wallet(account_id)).currency
    wanted = None if status == "all" else status
    than = None if cursor is None else _hold_id(cursor)
    found = await ctx.tx.holds.older(account_id, than=than, status=wanted, limit=limit + 1)
    shown, next_cursor = cut(found, limit, lambda last: last.hold_id)
    return {"items": [hold_item(each, currency) for each in shown], "next_cursor": next_cursor}


def hold_item(hold: Hold, currency: str) -> HoldItem:
    """A hold as it is shown."""
    return {
        "hold_id": hold.hold_id,
        "reference": hold.reference,
        "status": hold.status,
        "currency": currency,
        "amount": format_micros(hold.amount_micros),
        "captured": format_micros(hold.captured_micros),
        "released": format_micros(hold.released_micros),
        "remaining": format_micros(hold.remaining_micros),
        "created_at": iso(hold.created_at),
        "expires_at": iso(hold.expires_at),
        "closed_at": None if hold.closed_at is None else iso(hold.closed_at),
    }


def _hold_id(cursor: str) -> str:
    try:
        return str(UUID(cursor))
    except ValueError:
        raise wrong_cursor(cursor) from None
