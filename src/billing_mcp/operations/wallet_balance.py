"""billing.wallet_balance.*: what an account has, and what it has used and not yet paid."""

from __future__ import annotations

from typing_extensions import TypedDict

from billing_mcp.domain.money import format_micros
from billing_mcp.kernel.arguments import AccountId
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource
from billing_mcp.operations.account import load_account

WALLET_BALANCE = Resource("wallet_balance", doc="What an account has, and what it has used and not yet paid.")


class WalletBalance(TypedDict):
    """Exact decimal amounts; `net_balance` is `balance` less `accrued_charges`."""

    accrued_charges: str
    balance: str
    currency: str
    net_balance: str


@WALLET_BALANCE.operation(requires=Permission.VIEW, route="GET /wallet-balance")
async def get(ctx: Context, *, account_id: AccountId) -> WalletBalance:
    """The wallet's balance, what has accrued up to the start of today (UTC), and what is left after it.

    Errors: not_found.
    """
    _, account = await load_account(ctx.tx, ctx.catalog, account_id)
    wallet = account.wallet
    accrued = account.accrued_micros(ctx.today)
    return {
        "accrued_charges": format_micros(accrued),
        "balance": format_micros(wallet.total_micros),
        "currency": wallet.currency,
        "net_balance": format_micros(wallet.total_micros - accrued),
    }
