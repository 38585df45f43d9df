"""billing.transactions.*: what changed the total of a wallet."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from billing_mcp.domain.clock import iso
from billing_mcp.domain.ledger import Direction, LedgerTransaction, LineItem, TransactionStatus, TransactionType
from billing_mcp.domain.money import format_cents, format_micros, round_to_cents
from billing_mcp.kernel.arguments import AccountId, Page, PageSize
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource

TRANSACTIONS = Resource("transactions", doc="What changed the total of a wallet.")


class TransactionLine(TypedDict):
    """One line of a charge. `amount_cents` is rounded; prices are exact, in cents per unit and month."""

    amount_cents: int
    component_type: str
    currency: str
    description: str
    quantity: str
    source: str
    unit: str
    unit_price_cents: str
    metadata: NotRequired[dict[str, str]]
    period_end: NotRequired[str | None]
    period_start: NotRequired[str | None]


class WalletTransaction(TypedDict):
    """A change of the wallet's total. Amounts are not negative; `direction` tells their sense."""

    type: TransactionType
    amount: str
    direction: Direction
    effective_at: str
    line_items: NotRequired[list[TransactionLine]]
    description: NotRequired[str | None]
    transaction_id: str
    currency: str
    status: TransactionStatus
    balance_after: NotRequired[str | None]


class TransactionPage(TypedDict):
    """A page of transactions, newest first."""

    items: NotRequired[list[WalletTransaction]]
    total: int
    page: int
    page_size: int


@TRANSACTIONS.operation(requires=Permission.VIEW, route="GET /transactions")
async def list_(ctx: Context, *, account_id: AccountId, page: Page = 1, page_size: PageSize = 20) -> TransactionPage:
    """A page of the wallet's transactions with their line items, newest first; page_size is 1 to 100.

    Errors: not_found.
    """
    items, total = await ctx.tx.ledger.page(account_id, page=page, page_size=page_size)
    return {"page": page, "page_size": page_size, "total": total, "items": [_item(item) for item in items]}


def _item(transaction: LedgerTransaction) -> WalletTransaction:
    return {
        "amount": format_micros(transaction.amount_micros),
        "currency": transaction.currency,
        "direction": transaction.direction,
        "effective_at": iso(transaction.effective_at),
        "status": transaction.status,
        "transaction_id": transaction.transaction_id,
        "type": transaction.type,
        "balance_after": format_micros(transaction.balance_after_micros),
        "description": transaction.description,
        "line_items": [_line(line, transaction.currency) for line in transaction.line_items],
    }


def _line(line: LineItem, currency: str) -> TransactionLine:
    return {
        "amount_cents": round_to_cents(line.amount_micros),
        "component_type": line.component_type,
        "currency": currency,
        "description": line.description,
        "quantity": line.quantity,
        "source": line.source,
        "unit": line.unit,
        "unit_price_cents": format_cents(line.unit_price_micros),
        "metadata": line.metadata or {},
        "period_end": line.period_end,
        "period_start": line.period_start,
    }
