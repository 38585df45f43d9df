"""Owns the platform's routes of tiers: what an account has on a channel, and what it is granted."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from starlette.responses import Response

from billing_mcp.domain.pricing import Channel
from billing_mcp.faces.platform.campaign_models import GrantedTier, TierGrants
from billing_mcp.faces.platform.desk import AccountId, AtDesk, Keyed, Reply
from billing_mcp.faces.platform.direct import hot_router
from billing_mcp.operations.platform_tiers import grant_tiers, shown_tier, tier_of
from billing_mcp.store.store import Transaction

router = hot_router()

OnChannel = Annotated[Channel, Path(description="What messages are sent by.")]


@router.put("/accounts/{account_id}/tiers/{channel}", response_model=GrantedTier)
async def grant_tier(account_id: AccountId, channel: OnChannel, given: TierGrants, asking: Keyed) -> Response:
    """Grant an account tiers on a channel from now on; what is not given is not granted any more.

    A commitment is the least tier that it has, whatever its volume; an override is in force instead of all else, and
    freezes what its volume has earned. What was accepted before keeps its price.
    Errors: not_found.
    """

    async def work(tx: Transaction) -> Reply:
        grants = {"commitment": given.commitment, "override": given.override}
        return Reply.of(shown_tier(await grant_tiers(tx, asking.desk.book, account_id, channel, **grants)))

    return await asking.in_one_transaction(given, work)


@router.get("/accounts/{account_id}/tiers/{channel}", response_model=GrantedTier)
async def get_tier(account_id: AccountId, channel: OnChannel, desk: AtDesk) -> dict[str, Any]:
    """The tier of an account on a channel now, what it is due to, and what it is granted.

    Errors: not_found.
    """
    return shown_tier(await desk.read(lambda tx: tier_of(tx, desk.book, account_id, channel)))
