"""Owns the platform's routes of what became of messages: delivery receipts, and what users wrote."""

from __future__ import annotations

from typing import Any

from msgspec import Raw
from starlette.responses import Response

from billing_mcp.domain.errors import BillingError, Unavailable
from billing_mcp.domain.instructions import Instruction, Receipt
from billing_mcp.faces.platform.desk import MAX_BATCH_BYTES, MESSAGES, AtDesk, Desk, MessageId, Reply
from billing_mcp.faces.platform.direct import hot_router
from billing_mcp.faces.platform.message_models import (
    Inbound,
    NewInbound,
    NewReceipt,
    NewReceipts,
    ReceiptOutcomes,
    ToldMessage,
)
from billing_mcp.faces.platform.showing import booked, told_message
from billing_mcp.faces.problem import problem

router = hot_router(MESSAGES)


@router.post("/{message_id}/receipts", response_model=ToldMessage)
async def report_delivery(message_id: MessageId, given: NewReceipt, desk: AtDesk) -> Response:
    """Say what became of a message: it is charged or given back, and shown as it is then.

    It needs no key: receipts may come late, twice and in any order, and what tells nothing new changes nothing.
    Delivered outranks failed. A receipt is never refused for want of money: what is missing is owed.
    Errors: not_found.
    """
    receipt = await desk.messages.submit(await _reporting(desk, message_id, given))
    return Reply.of(told_message(receipt)).response()


@router.post("/receipts", response_model=ReceiptOutcomes, max_body_size=MAX_BATCH_BYTES)
async def report_deliveries(given: NewReceipts, desk: AtDesk) -> Response:
    """Say what became of 1 to 1000 messages of any accounts, each for itself.

    It needs no key: send those again that failed for the moment (503), or all of them.
    """
    outcomes: list[Receipt | BillingError | None] = []
    instructions: list[Instruction] = []
    for item in given.items:
        try:
            instructions.append(await _reporting(desk, item.message_id, item))
            outcomes.append(None)
        except BillingError as error:
            outcomes.append(error)
    carried_out = iter(await desk.messages.carry_out(instructions))
    told = [next(carried_out) if outcome is None else outcome for outcome in outcomes]
    if all(isinstance(each, Unavailable) for each in told):
        raise next(each for each in told if isinstance(each, Unavailable))
    done = sum(isinstance(each, Receipt) for each in told)
    counts = {"done": done, "refused": len(told) - done}
    items = [_item(index, each) for index, each in enumerate(told)]
    return Reply.of({"items": items, "counts": counts}).response()


@router.post("/inbound", response_model=Inbound)
async def report_inbound(given: NewInbound, desk: AtDesk) -> Response:
    """Say that a user wrote to a conversational agent, or tapped: conversations form, and what follows is judged again.

    It needs no key: the same `event_id` of the same moment counts once, however late it comes.
    Errors: not_found.
    """
    hearing = await desk.messages.hearing(
        given.account_id,
        sender=given.sender,
        user=given.user,
        event_id=given.event_id,
        kind=given.kind,
        occurred_at=given.occurred_at,
    )
    receipt = await desk.messages.submit(hearing)
    shown = {"account_id": given.account_id, "event_id": given.event_id, **booked(receipt)}
    return Reply.of(shown).response()


async def _reporting(desk: Desk, message_id: str, given: NewReceipt) -> Instruction:
    formed = given.conversation
    return await desk.messages.reporting(
        given.account_id,
        message_id,
        given.status,
        occurred_at=given.occurred_at,
        recipient=given.recipient,
        segments=given.segments,
        conversation=None if formed is None else (formed.type, formed.started_at),
    )


def _item(index: int, outcome: Receipt | BillingError) -> dict[str, Any]:
    if isinstance(outcome, Receipt):
        return {"index": index, "status": 200, "message": told_message(outcome)}
    told = problem(outcome)
    return {"index": index, "status": told.status_code, "error": Raw(told.body)}
