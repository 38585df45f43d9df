"""Owns the platform's routes of messages: sending them, one at a time and in batches, and looking at one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query
from msgspec import Raw
from starlette.responses import Response

from billing_mcp.domain.errors import BillingError, Conflict, Internal, Unavailable
from billing_mcp.domain.ids import derived_id, new_id
from billing_mcp.domain.instructions import Instruction, Receipt
from billing_mcp.faces.platform.desk import (
    MAX_BATCH_BYTES,
    MESSAGES,
    Asking,
    AtDesk,
    Done,
    Keyed,
    MessageId,
    Reply,
    UnderKey,
)
from billing_mcp.faces.platform.direct import hot_router
from billing_mcp.faces.platform.message_models import (
    AccountAsked,
    Email,
    MessageShown,
    NewBatch,
    NewMessage,
    Rcs,
    SentBatch,
    SentMessage,
    Sms,
)
from billing_mcp.faces.platform.showing import message_now, sent_message
from billing_mcp.faces.problem import problem
from billing_mcp.operations.drafts import Draft
from billing_mcp.operations.platform_keys import nth_key
from billing_mcp.operations.platform_messages import new_campaign
from billing_mcp.store.messages import Campaign
from billing_mcp.store.store import Transaction

router = hot_router(MESSAGES)

_MAY_SUCCEED_LATER = (Unavailable, Conflict, Internal)
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@router.post("", status_code=201, response_model=SentMessage)
async def send_message(given: NewMessage, asking: Keyed) -> Response:
    """Rate a message, hold its price and store it; it leaves through the outbox. A key is for one account.

    `billing` is what it was accepted at. Its price and tier are fixed; what it is charged as is known when it is
    delivered. Without the money for it nothing is stored.
    Errors: not_found, insufficient_funds, account_not_active, campaign_paused, not_priced.
    """
    receipt = await asking.desk.messages.send(given.account_id, _draft(given, given.campaign_id), **asking.under_key)
    shown = sent_message(receipt)
    where = f"{MESSAGES}/{shown['message_id']}?account_id={given.account_id}"
    return Reply.of(shown, status=201, location=where).response(replayed=receipt.replayed)


@router.post("/batch", response_model=SentBatch, max_body_size=MAX_BATCH_BYTES)
async def send_batch(given: NewBatch, asking: Keyed) -> Response:
    """Send 1 to 1000 messages of one account, which are a campaign: each for itself, or all of them or none.

    The answer says of each message, in order, what became of it, with the status that it would have had alone. With
    `mode` "all_or_nothing" the first that is refused refuses all, and is named by its place (`messages.17.market`);
    where the money is missing, the shortfall is that of the whole batch. What cannot be read refuses the batch in
    either mode. Where some messages failed for the moment (503), send the same batch again with the same key: only
    these are tried again.
    Errors: not_found, insufficient_funds, account_not_active, campaign_paused, not_priced.
    """
    if given.mode == "all_or_nothing":
        return await asking.in_one_transaction(given, lambda tx: _all_of(tx, given, asking))
    return await asking.in_several(given, lambda: _each_of(given, asking))


@router.get("/{message_id}", response_model=MessageShown)
async def get_message(message_id: MessageId, asked: Annotated[AccountAsked, Query()], desk: AtDesk) -> dict[str, Any]:
    """A message: what became of it, what it was accepted at, and what it is charged as now.

    Errors: not_found.
    """

    async def work(tx: Transaction) -> dict[str, Any]:
        wallet = await tx.ledger.wallet(asked.account_id)
        return message_now(await tx.messages.get(asked.account_id, message_id), wallet.currency)

    return await desk.read(work)


async def _all_of(tx: Transaction, given: NewBatch, asking: Asking) -> Reply:
    campaign = _campaign(given, asking)
    drafts = [_draft(each, campaign.campaign_id) for each in given.messages]
    try:
        receipts = await asking.desk.messages.send_all(tx, given.account_id, campaign, drafts)
    except BillingError as error:
        if error.item is not None and error.field in type(given.messages[error.item]).model_fields:
            error.field = f"messages.{error.item}.{error.field}"
        raise
    return _answer(campaign, receipts)


async def _each_of(given: NewBatch, asking: Asking) -> Done:
    campaign = _campaign(given, asking)
    await asking.desk.transact(lambda tx: asking.desk.messages.begin(tx, campaign))
    outcomes = await _sent(given, campaign, asking)
    # A server that can take none of them refuses the request: whoever balances the load must see it.
    if all(isinstance(each, Unavailable) for each in outcomes):
        raise next(each for each in outcomes if isinstance(each, Unavailable))
    final = not any(isinstance(each, _MAY_SUCCEED_LATER) for each in outcomes)
    changed = any(isinstance(each, Receipt) for each in outcomes)
    return Done(_answer(campaign, outcomes), "claim" if not final else "answer" if changed else "nothing")


async def _sent(given: NewBatch, campaign: Campaign, asking: Asking) -> list[Receipt | BillingError]:
    """What became of each message, in order. What is wrong with one by itself is known before any is sent."""
    platform, own = asking.desk.messages, asking.under_key
    hashes = await platform.hashes()
    outcomes: list[Receipt | BillingError | None] = []
    instructions: list[Instruction] = []
    for index, content in enumerate(given.messages):
        key: UnderKey = {**own, "idempotency_key": nth_key(asking.key, index)}
        draft = _draft(content, campaign.campaign_id)
        try:
            instructions.append(platform.sending(given.account_id, draft, hashes, **key))
            outcomes.append(None)
        except BillingError as error:
            outcomes.append(error)
    carried_out = iter(await platform.carry_out(instructions))
    return [next(carried_out) if outcome is None else outcome for outcome in outcomes]


def _campaign(given: NewBatch, asking: Asking) -> Campaign:
    """The campaign of a batch. Under a key it is the same each time the batch is sent."""
    now = asking.desk.clock()
    campaign_id = given.campaign_id
    if campaign_id is None and asking.key:
        whose = (asking.platform.principal_id, given.account_id)
        campaign_id = derived_id(_NO_TIME, "campaign", *whose, asking.key)
    return new_campaign(given.account_id, campaign_id or new_id(now), given.name or "", now)


def _draft(given: Email | Sms | Rcs, campaign_id: str | None) -> Draft:
    match given:
        case Email():
            return Draft(
                "email",
                to=given.to,
                cc=given.cc,
                bcc=given.bcc,
                sender=given.sender,
                reference=given.reference,
                campaign_id=campaign_id,
            )
        case Sms():
            return Draft(
                "sms",
                to=given.to,
                market=given.market,
                text=given.text,
                segments=given.segments,
                sender=given.sender,
                reference=given.reference,
                campaign_id=campaign_id,
            )
        case Rcs():
            return Draft(
                "rcs",
                to=given.to,
                market=given.market,
                type=given.type,
                text=given.text,
                text_bytes=given.text_bytes,
                suggestions=given.suggestions,
                sender=given.sender,
                conversational=given.conversational,
                reference=given.reference,
                campaign_id=campaign_id,
            )


def _answer(campaign: Campaign, outcomes: Sequence[Receipt | BillingError]) -> Reply:
    receipts = [each for each in outcomes if isinstance(each, Receipt)]
    replayed = sum(each.replayed for each in receipts)
    counts = {"done": len(receipts) - replayed, "replayed": replayed, "refused": len(outcomes) - len(receipts)}
    items = [_item(index, each, campaign.account_id) for index, each in enumerate(outcomes)]
    named = {"account_id": campaign.account_id, "campaign_id": campaign.campaign_id}
    return Reply.of({**named, "items": items, "counts": counts})


def _item(index: int, outcome: Receipt | BillingError, account_id: str) -> dict[str, Any]:
    if isinstance(outcome, Receipt):
        return {"index": index, "status": 201, "replayed": outcome.replayed, "message": sent_message(outcome)}
    told = problem(outcome, account_id=account_id)
    return {"index": index, "status": told.status_code, "replayed": False, "error": Raw(told.body)}
