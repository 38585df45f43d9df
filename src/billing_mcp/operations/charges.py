"""billing.charges.*: why an account was charged."""

from __future__ import annotations

from typing_extensions import TypedDict

from billing_mcp.domain import explaining
from billing_mcp.domain.booking import ACTIVE_USER
from billing_mcp.domain.clock import iso
from billing_mcp.domain.conversations import Place
from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.explaining import Evidence, Explained, Kind, LineAgain
from billing_mcp.domain.holds import Hold
from billing_mcp.domain.ids import uuid_of
from billing_mcp.domain.ledger import Direction, LedgerTransaction, TransactionType, chain_hash
from billing_mcp.domain.messages import Message, MessageStatus
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.plan_lines_again import PlanHistory
from billing_mcp.domain.pricing import Channel, Unit
from billing_mcp.domain.rating_again import Again
from billing_mcp.domain.tiers import month_of
from billing_mcp.kernel.arguments import AccountId, TransactionId
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource
from billing_mcp.operations.account import load_account
from billing_mcp.operations.holds import HoldItem, hold_item

CHARGES = Resource("charges", doc="Why an account was charged.")


class ExplainedLine(TypedDict):
    """A line of the transaction: what it says, and what it comes to when it is computed again."""

    description: str
    source: str
    quantity: str
    unit: str
    unit_price: str
    amount: str
    recomputed: str
    why: str


class ConversationWindow(TypedDict):
    """When a conversation was open: from its first moment until, and without, its last."""

    opened_at: str
    open_until: str


class ExplainedMessage(TypedDict):
    """The message, what became of it, and what it is charged as now: `charged` in all, of which `due` is right.

    `rule_id` to `unit_price` are what it was accepted at. `place` is that in a conversation, null before it is
    delivered; `segments` is the provider's count.
    """

    message_id: str
    reference: str
    channel: Channel
    message_type: str
    market: str
    status: MessageStatus
    accepted_at: str
    delivered_at: str | None
    segments: int | None
    rule_id: str
    catalog_version: str
    tier: str
    unit: Unit
    quantity: int
    unit_price: str
    place: Place | None
    window: ConversationWindow | None
    charged: str
    due: str


class Explanation(TypedDict):
    """What a transaction was for. `matches` says whether `amount`, as posted, is `recomputed`, in every line.

    `steps` tell it in sentences, `problems` what does not match. `sealed` says whether the stored row is still
    the one that its hash was made of.
    """

    amount: str
    recomputed: str
    matches: bool
    problems: list[str]
    steps: list[str]
    lines: list[ExplainedLine]
    transaction_id: str
    type: TransactionType
    direction: Direction
    kind: Kind
    description: str
    created_at: str
    currency: str
    sealed: bool
    message: ExplainedMessage | None
    hold: HoldItem | None


@CHARGES.operation(
    requires=Permission.VIEW,
    route="GET /transactions/{transaction_id}/explain",
    own_route="GET /transactions/{transaction_id}/explain",
)
async def explain(ctx: Context, *, account_id: AccountId, transaction_id: TransactionId) -> Explanation:
    """Why a transaction was posted: its message and receipt, rule, prices and tier, and the arithmetic done again.

    Works for whatever billing.ledger.list and billing.transactions.list show. Prices are looked up again in the
    catalog version of the message, conversations judged again from their events; `matches` is whether that comes
    to what was posted.
    Errors: not_found.
    """
    evidence = await _evidence(ctx, account_id, transaction_id)
    transaction, found = evidence.transaction, explaining.explain(evidence)
    return {
        "transaction_id": transaction.transaction_id,
        "type": transaction.type,
        "direction": transaction.direction,
        "kind": found.kind,
        "description": transaction.description,
        "created_at": iso(transaction.created_at),
        "currency": transaction.currency,
        "amount": format_micros(transaction.amount_micros),
        "recomputed": format_micros(found.amount_micros),
        "matches": not found.problems,
        "problems": found.problems,
        "sealed": chain_hash(transaction) == transaction.hash,
        "steps": found.steps,
        "lines": [_line(each) for each in found.lines],
        "message": _message(found),
        "hold": None if evidence.hold is None else hold_item(evidence.hold, transaction.currency),
    }


async def _evidence(ctx: Context, account_id: str, transaction_id: str) -> Evidence:
    """All that is stored around a transaction. Raises NotFound."""
    _, account = await load_account(ctx.tx, ctx.catalog, account_id)
    transaction = await ctx.tx.ledger.get(account_id, transaction_id)
    hold = None
    if transaction.hold_id is not None:
        hold = (await ctx.tx.holds.named(account_id, [transaction.hold_id])).get(transaction.hold_id)
    message = await _message_of(ctx, transaction, hold)
    return Evidence(
        transaction,
        ctx.catalog.book,
        PlanHistory(account.subscription, account.counts, account.plans),
        hold=hold,
        message=message,
        thread=await ctx.tx.messages.thread(account_id, message.thread) if message and message.thread else (),
        nth=await _nth(ctx, transaction, message),
    )


async def _message_of(ctx: Context, transaction: LedgerTransaction, hold: Hold | None) -> Message | None:
    """The message that a line names, or that the hold waits for."""
    told = next((line.metadata for line in transaction.line_items if line.metadata), {})
    message_id = told.get("message_id") or (hold.reference if hold is not None else "")
    if uuid_of(message_id) is None:
        return None
    try:
        return await ctx.tx.messages.get(transaction.account_id, message_id)
    except NotFound:
        return None


async def _nth(ctx: Context, transaction: LedgerTransaction, message: Message | None) -> frozenset[int]:
    if message is None or all(line.source != ACTIVE_USER for line in transaction.line_items):
        return frozenset()
    month = month_of(transaction.created_at.date())
    return await ctx.tx.messages.nth_active(message.account_id, month, message.channel, message.recipients)


def _line(each: LineAgain) -> ExplainedLine:
    return {
        "description": each.line.description,
        "source": each.line.source,
        "quantity": each.line.quantity,
        "unit": each.line.unit,
        "unit_price": format_micros(each.line.unit_price_micros),
        "amount": format_micros(each.line.amount_micros),
        "recomputed": format_micros(each.amount_micros),
        "why": each.why,
    }


def _message(found: Explained) -> ExplainedMessage | None:
    again = found.again
    if again is None:
        return None
    m = again.stored
    return {
        "message_id": m.message_id,
        "reference": m.reference,
        "channel": m.channel,
        "message_type": m.message_type,
        "market": m.market,
        "status": m.status,
        "accepted_at": iso(m.created_at),
        "delivered_at": None if m.delivered_at is None else iso(m.delivered_at),
        "segments": m.segments,
        "rule_id": m.billing.rule_id,
        "catalog_version": m.catalog_version,
        "tier": m.tier,
        "unit": m.billing.unit,
        "quantity": m.billing.quantity,
        "unit_price": format_micros(m.billing.unit_price_micros),
        "place": again.place,
        "window": _window(again),
        "charged": format_micros(m.charged_micros),
        "due": format_micros(again.due.amount_micros),
    }


def _window(again: Again) -> ConversationWindow | None:
    if again.window is None:
        return None
    opened_at, open_until = again.window
    return {"opened_at": iso(opened_at), "open_until": iso(open_until)}
