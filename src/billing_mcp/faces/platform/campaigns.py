"""Owns the platform's routes of campaigns: looking at them, holding them back, and letting them go on."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from fastapi import Query
from starlette.responses import Response

from billing_mcp.domain.clock import iso
from billing_mcp.domain.messages import MessageStatus
from billing_mcp.domain.money import format_micros
from billing_mcp.faces.platform.campaign_models import Campaign, CampaignAsked
from billing_mcp.faces.platform.desk import CAMPAIGNS, AtDesk, CampaignId, Keyed, Reply
from billing_mcp.faces.platform.direct import hot_router
from billing_mcp.faces.platform.message_models import AccountAsked, MessagesShown, OfAccount
from billing_mcp.faces.platform.showing import message_now
from billing_mcp.operations.paging import cut
from billing_mcp.store import messages
from billing_mcp.store.store import Transaction

router = hot_router(CAMPAIGNS)


@router.get("/{campaign_id}", response_model=Campaign)
async def get_campaign(
    campaign_id: CampaignId, asked: Annotated[AccountAsked, Query()], desk: AtDesk
) -> dict[str, Any]:
    """A campaign: how many of its messages have which status, and what they were charged.

    Errors: not_found.
    """

    async def work(tx: Transaction) -> dict[str, Any]:
        return await _shown(tx, await tx.messages.campaign(asked.account_id, campaign_id))

    return await desk.read(work)


@router.get("/{campaign_id}/messages", response_model=MessagesShown)
async def list_messages(
    campaign_id: CampaignId, asked: Annotated[CampaignAsked, Query()], desk: AtDesk
) -> dict[str, Any]:
    """The messages of a campaign, oldest first, some at a time.

    Give `next_cursor` of an answer as `cursor` to go on: no message is skipped or repeated.
    Errors: not_found.
    """

    async def work(tx: Transaction) -> dict[str, Any]:
        await tx.messages.campaign(asked.account_id, campaign_id)
        currency = (await tx.ledger.wallet(asked.account_id)).currency
        found = await tx.messages.of_campaign(asked.account_id, campaign_id, after=asked.cursor, limit=asked.limit + 1)
        shown, next_cursor = cut(found, asked.limit, lambda last: last.message_id)
        return {"items": [message_now(each, currency) for each in shown], "next_cursor": next_cursor}

    return await desk.read(work)


@router.post("/{campaign_id}/pause", response_model=Campaign)
async def pause_campaign(campaign_id: CampaignId, given: OfAccount, asking: Keyed) -> Response:
    """Hold back what of a campaign has not left, and give back what was held for it.

    Messages that were taken from the outbox go on. Nothing is added to the campaign until it is resumed. Pausing it
    again changes nothing.
    Errors: not_found.
    """

    async def work(tx: Transaction) -> Reply:
        paused = await asking.desk.messages.pause(tx, given.account_id, campaign_id)
        return Reply.of(await _shown(tx, paused))

    return await asking.in_one_transaction(given, work)


@router.post("/{campaign_id}/resume", response_model=Campaign)
async def resume_campaign(campaign_id: CampaignId, given: OfAccount, asking: Keyed) -> Response:
    """Accept again what was held back, at the prices of now: all of it, or nothing.

    Without the money for all of it the campaign stays paused; the shortfall is that of the whole.
    Errors: not_found, insufficient_funds, account_not_active, campaign_not_paused, not_priced.
    """

    async def work(tx: Transaction) -> Reply:
        resumed = await asking.desk.messages.resume(tx, given.account_id, campaign_id)
        return Reply.of(await _shown(tx, resumed))

    return await asking.in_one_transaction(given, work)


async def _shown(tx: Transaction, campaign: messages.Campaign) -> dict[str, Any]:
    currency = (await tx.ledger.wallet(campaign.account_id)).currency
    counted = await tx.messages.count_campaign(campaign.account_id, campaign.campaign_id)
    shares = {status: counted.get(status, (0, 0)) for status in get_args(MessageStatus)}
    return {
        "account_id": campaign.account_id,
        "campaign_id": campaign.campaign_id,
        "name": campaign.name,
        "status": campaign.status,
        "created_at": iso(campaign.created_at),
        "changed_at": iso(campaign.changed_at),
        "currency": currency,
        "messages": sum(number for number, _ in shares.values()),
        "charged": format_micros(sum(micros for _, micros in shares.values())),
        "by_status": {
            status: {"messages": number, "charged": format_micros(micros)}
            for status, (number, micros) in shares.items()
        },
    }
