"""billing.balance.*: what an account can spend, and what is held for work in flight."""

from __future__ import annotations

from decimal import Decimal

from typing_extensions import TypedDict

from billing_mcp.domain.money import decimal_of
from billing_mcp.kernel.arguments import AccountId
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource

BALANCE = Resource("balance", doc="What an account can spend, and what is held for work in flight.")


class Balance(TypedDict):
    """Exact amounts: `free` can be spent now, `reserved` is held by open holds, `total` is both."""

    free: Decimal
    reserved: Decimal
    total: Decimal
    currency: str


@BALANCE.operation(requires=Permission.VIEW, route="GET /balance", own_route="GET /balance", reads_once=True)
async def get(ctx: Context, *, account_id: AccountId) -> Balance:
    """What can be spent now, what is held for work in flight, and both together, as exact numbers.

    Errors: not_found.
    """
    wallet = await ctx.tx.ledger.wallet(account_id)
    return {
        "free": decimal_of(wallet.available_micros),
        "reserved": decimal_of(wallet.reserved_micros),
        "total": decimal_of(wallet.total_micros),
        "currency": wallet.currency,
    }
