"""The peer: the same functions on FastMCP's CodeMode with its Monty provider, from dicts in memory.

It has no ledger, no permissions and no disk: what it does
not do, it does not pay for. With `--warm` the sandbox keeps one pool of workers, as FastMCP's own
provider does not; everything else is FastMCP's default.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastmcp import FastMCP
from fastmcp.experimental.transforms.code_mode import CodeMode, MontySandboxProvider
from fastmcp.tools import Tool
from pydantic_monty import AsyncMonty

NORTHWIND = "0190c0de-0000-7000-8000-000000000001"
HERON = "0190c0de-0000-7000-8000-000000000002"
QUILL = "0190c0de-0000-7000-8000-000000000003"

PRICES = {"smtp_per_mailbox": ("SMTP per mailbox", "29.00"), "smtp_per_proxy": ("SMTP per proxy", "99.00")}
PLAN_OF = {NORTHWIND: "smtp_per_mailbox", HERON: "smtp_per_proxy", QUILL: "smtp_per_mailbox"}
WALLETS = {
    NORTHWIND: {"accrued_charges": "123.20", "balance": "351.13", "currency": "EUR", "net_balance": "227.93"},
    HERON: {"accrued_charges": "144.90", "balance": "416.00", "currency": "EUR", "net_balance": "271.10"},
    QUILL: {"accrued_charges": "14.116667", "balance": "0.00", "currency": "EUR", "net_balance": "-14.116667"},
}
INVOICES = [
    {
        "amount": "176.00",
        "currency": "EUR",
        "date": f"2026-{month:02}-01T00:00:00Z",
        "download_url": None,
        "id": f"01a19467-e800-7ee4-a773-c70cc63f2d{month:02}",
        "status": "paid",
    }
    for month in range(11, 5, -1)
]
TRANSACTIONS = [
    {
        "amount": "29.00",
        "currency": "EUR",
        "direction": "debit",
        "effective_at": f"2026-{month:02}-01T00:00:00Z",
        "status": "posted",
        "transaction_id": f"01a19467-e800-7e06-8bdb-ccb09d6f9d{month:02}",
        "type": "charge",
        "balance_after": "151.13",
        "description": "Plan charges of a month",
        "line_items": [
            {
                "amount_cents": 2900,
                "component_type": "base",
                "currency": "EUR",
                "description": "SMTP per mailbox",
                "quantity": "1",
                "source": "plan",
                "unit": "month",
                "unit_price_cents": "2900",
                "metadata": {"days": "31", "days_in_period": "31", "plan_id": "smtp_per_mailbox"},
            }
        ],
    }
    for month in range(11, 5, -1)
]


async def current_plan(account_id: str) -> dict[str, Any]:
    """The plan in force, its base price per month, its status, and whether it can be changed or canceled."""
    name, price = PRICES[PLAN_OF[account_id]]
    return {
        "billing_period": "monthly",
        "currency": "EUR",
        "plan_id": PLAN_OF[account_id],
        "plan_name": name,
        "price": price,
        "status": "active",
        "can_cancel_plan": True,
        "can_change_plan": True,
    }


async def invoices(account_id: str, page: int = 1, page_size: int = 20) -> dict[str, Any]:
    """A page of the account's invoices, newest first; page_size is 1 to 100."""
    return _page(INVOICES if account_id in WALLETS else [], page, page_size)


async def change(account_id: str, plan_id: str, effective_date: str | None = None) -> dict[str, Any]:
    """Move the account to another plan, now or on `effective_date` (an ISO date, in UTC)."""
    previous = PLAN_OF[account_id]
    if effective_date is None:
        PLAN_OF[account_id] = plan_id
    return _plan_operation(previous, plan_id, effective_date)


async def cancel(
    account_id: str, cancel_at_period_end: bool = False, cancel_immediately: bool = False
) -> dict[str, Any]:
    """Cancel the plan at the end of the billing period, or now with `cancel_immediately=True`."""
    later = cancel_at_period_end or not cancel_immediately
    return _plan_operation(PLAN_OF[account_id], None, "2026-12-01T00:00:00Z" if later else None)


async def resume(account_id: str) -> dict[str, Any]:
    """Undo the pending change or cancel; the current plan goes on."""
    return _plan_operation(None, PLAN_OF[account_id], None)


async def plans(account_id: str) -> dict[str, Any]:
    """All plans with their prices, and what each would cost this account a month at today's counts."""
    return {
        "items": [
            {
                "plan_id": plan_id,
                "name": name,
                "billing_period": "monthly",
                "currency": "EUR",
                "price": price,
                "components": [],
                "monthly_total": price,
                "current": plan_id == PLAN_OF[account_id],
            }
            for plan_id, (name, price) in PRICES.items()
        ]
    }


async def transactions(account_id: str, page: int = 1, page_size: int = 20) -> dict[str, Any]:
    """A page of the wallet's transactions with their line items, newest first; page_size is 1 to 100."""
    return _page(TRANSACTIONS if account_id in WALLETS else [], page, page_size)


async def wallet_balance(account_id: str) -> dict[str, Any]:
    """The wallet's balance, what has accrued up to the start of today (UTC), and what is left after it."""
    return WALLETS[account_id]


def _page(items: list[dict[str, Any]], page: int, page_size: int) -> dict[str, Any]:
    shown = items[(page - 1) * page_size : page * page_size]
    return {"page": page, "page_size": page_size, "total": len(items), "items": shown}


def _plan_operation(previous: str | None, target: str | None, effective_at: str | None) -> dict[str, Any]:
    return {
        "status": "scheduled" if effective_at else "completed",
        "account_status": "active",
        "effective_at": effective_at or "2026-11-22T00:00:00Z",
        "eligible": True,
        "previous_plan_id": previous,
        "target_plan_id": target,
    }


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "billing.current_plan.get": current_plan,
    "billing.invoices.list": invoices,
    "billing.plan.change": change,
    "billing.plan.cancel": cancel,
    "billing.plan.resume": resume,
    "billing.plans.list": plans,
    "billing.transactions.list": transactions,
    "billing.wallet_balance.get": wallet_balance,
}


class WarmProvider(MontySandboxProvider):
    """FastMCP's provider with one pool of workers that is kept, as many as billing-mcp's."""

    pool: AsyncMonty

    @asynccontextmanager
    async def lifespan(self, _server: FastMCP) -> AsyncIterator[None]:
        """Keep the pool as long as the server runs."""
        async with AsyncMonty(min_processes=1, max_processes=4) as self.pool:
            yield

    async def _run_monty(
        self,
        _pydantic_monty: Any,
        *,
        code: str,
        inputs: dict[str, Any] | None,
        external_functions: dict[str, Callable[..., Any]] | None,
    ) -> Any:
        async with self.pool.checkout(limits=self.limits) as session:
            return await session.feed_run(code, inputs=inputs, external_lookup=external_functions)


def build_server(*, warm: bool) -> FastMCP:
    """The server, with FastMCP's own provider or with the warm one."""
    tools = [Tool.from_function(function, name=name) for name, function in FUNCTIONS.items()]
    if not warm:
        return FastMCP("billing-peer", tools=tools, transforms=[CodeMode()])
    provider = WarmProvider()
    return FastMCP(
        "billing-peer", tools=tools, transforms=[CodeMode(sandbox_provider=provider)], lifespan=provider.lifespan
    )


if __name__ == "__main__":
    build_server(warm="--warm" in sys.argv[1:]).run(show_banner=False)
