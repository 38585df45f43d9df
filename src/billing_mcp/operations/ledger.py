"""billing.ledger.*: everything that moved an account's money, holds and releases included."""

from __future__ import annotations

from typing_extensions import TypedDict

from billing_mcp.domain.clock import iso, start_of, to_epoch_us
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.ledger import Direction, LedgerTransaction, TransactionStatus, TransactionType
from billing_mcp.domain.money import format_micros
from billing_mcp.kernel.arguments import AccountId, Cursor, Day, Limit
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource
from billing_mcp.operations.paging import cut, wrong_cursor

LEDGER = Resource("ledger", doc="Everything that moved an account's money, holds and releases included.")


class LedgerItem(TypedDict):
    """What moved money, and the balances after it. `hold_id` names the hold that it belongs to."""

    transaction_id: str
    type: TransactionType
    direction: Direction
    amount: str
    created_at: str
    description: str
    currency: str
    status: TransactionStatus
    effective_at: str
    free_after: str
    reserved_after: str
    total_after: str
    hold_id: str | None


class LedgerItems(TypedDict):
    """Newest first. `next_cursor` leads to older ones, null where there are none."""

    items: list[LedgerItem]
    next_cursor: str | None


@LEDGER.operation(requires=Permission.VIEW, route="GET /ledger", own_route="GET /transactions")
async def list_(
    ctx: Context,
    *,
    account_id: AccountId,
    cursor: Cursor | None = None,
    limit: Limit = 20,
    from_date: Day | None = None,
    to_date: Day | None = None,
) -> LedgerItems:
    """Top-ups, charges, credits, holds, releases and all else, newest first, `limit` (1 to 100) at a time.

    Give `next_cursor` of an answer as `cursor` to go on, with the same dates: nothing is skipped or repeated,
    whatever is posted meanwhile. Days are UTC; `from_date` is the first one, `to_date` the one after the last.
    Errors: invalid_argument, not_found.
    """
    if from_date is not None and to_date is not None and to_date <= from_date:
        raise InvalidArgument(
            f"to_date must be later than from_date: {to_date} ends before {from_date} begins",
            field="to_date",
            hint="to_date is the day after the last: one whole day is from_date='2030-01-31', to_date='2030-02-01'.",
        )
    await ctx.tx.accounts.get(account_id)
    found = await ctx.tx.ledger.older(
        account_id,
        than=None if cursor is None else _place(cursor),
        since=None if from_date is None else start_of(from_date),
        until=None if to_date is None else start_of(to_date),
        limit=limit + 1,
    )
    shown, next_cursor = cut(found, limit, lambda last: f"{to_epoch_us(last.created_at):x}-{last.seq:x}")
    return {"items": [_item(each) for each in shown], "next_cursor": next_cursor}


def _place(cursor: str) -> tuple[int, int]:
    """The moment and the number of the transaction that a cursor names."""
    try:
        created_at_us, seq = (int(part, 16) for part in cursor.split("-"))
    except ValueError:
        raise wrong_cursor(cursor) from None
    if max(created_at_us, seq) >= 2**63:
        raise wrong_cursor(cursor)
    return created_at_us, seq


def _item(transaction: LedgerTransaction) -> LedgerItem:
    return {
        "transaction_id": transaction.transaction_id,
        "type": transaction.type,
        "direction": transaction.direction,
        "amount": format_micros(transaction.amount_micros),
        "currency": transaction.currency,
        "status": transaction.status,
        "description": transaction.description,
        "effective_at": iso(transaction.effective_at),
        "created_at": iso(transaction.created_at),
        "free_after": format_micros(transaction.available_after_micros),
        "reserved_after": format_micros(transaction.reserved_after_micros),
        "total_after": format_micros(transaction.balance_after_micros),
        "hold_id": transaction.hold_id,
    }
