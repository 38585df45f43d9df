"""Owns the platform's routes of the outbox: taking the accepted messages that are to leave, and saying they have."""

from __future__ import annotations

from starlette.responses import Response

from billing_mcp.faces.platform.campaign_models import Finished, Leased, Take, Taken
from billing_mcp.faces.platform.desk import MESSAGES, AtDesk, Reply
from billing_mcp.faces.platform.direct import hot_router
from billing_mcp.operations.platform_messages import describe
from billing_mcp.store.store import Transaction

router = hot_router(f"{MESSAGES}/outbox")

_ALL_THAT_MAY_BE = Take()


@router.post("/take", response_model=Taken)
async def take_messages(desk: AtDesk, given: Take = _ALL_THAT_MAY_BE) -> Response:
    """Take accepted messages to deliver, those that waited longest first; until the lease ends nobody else has them.

    Say that you have sent them on before it ends; else they are given out again. It needs no key: what an answer
    that was lost had is given out again, too.
    """

    async def work(tx: Transaction) -> Reply:
        taken = await desk.messages.take(tx, limit=given.limit, lease_s=given.lease_s)
        return Reply.of({"items": [describe(each) for each in taken]})

    return (await desk.transact(work)).response()


@router.post("/done", response_model=Finished)
async def finish_messages(given: Leased, desk: AtDesk) -> Response:
    """Say that you have sent on messages that you took: they leave the outbox. What became of them, receipts tell.

    It needs no key: the second time it changes nothing.
    """

    async def work(tx: Transaction) -> Reply:
        done = 0
        for each in sorted(given.items, key=lambda item: (item.account_id, item.message_id)):
            done += await tx.outbox.finish_leased(each.account_id, each.message_id, each.lease)
        return Reply.of({"done": done})

    return (await desk.transact(work)).response()
