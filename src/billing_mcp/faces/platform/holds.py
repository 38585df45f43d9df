"""Owns the platform's routes of holds, one at a time and in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Raw
from starlette.responses import Response

from billing_mcp.domain import holds
from billing_mcp.domain.errors import BillingError, Conflict, Internal, Unavailable
from billing_mcp.domain.instructions import Instruction, Receipt
from billing_mcp.domain.money import decimal_of
from billing_mcp.faces.platform.desk import (
    MAX_BATCH_BYTES,
    PREFIX,
    AccountId,
    Asking,
    AtDesk,
    Done,
    HoldId,
    Keyed,
    Reply,
    UnderKey,
)
from billing_mcp.faces.platform.direct import hot_router
from billing_mcp.faces.platform.models import (
    Batch,
    BatchAnswer,
    Capture,
    CaptureItem,
    Hold,
    HoldShown,
    NewHold,
    PlaceItem,
    ReleaseItem,
)
from billing_mcp.faces.problem import problem
from billing_mcp.operations.holds import hold_item
from billing_mcp.operations.platform_keys import nth_key
from billing_mcp.store.store import Transaction

router = hot_router()

_ALL_THAT_REMAINS = Capture()
_MAY_SUCCEED_LATER = (Unavailable, Conflict, Internal)


@router.post("/accounts/{account_id}/holds", status_code=201, response_model=Hold)
async def place_hold(account_id: AccountId, given: NewHold, asking: Keyed) -> Response:
    """Set money aside: what is free goes down, what is reserved goes up. A key is for one account.

    Errors: not_found, insufficient_funds, account_not_active.
    """
    receipt = await asking.desk.holds.place(
        account_id, given.amount, reference=given.reference, expires_at=given.expires_at, **asking.under_key
    )
    shown = _done(receipt)
    where = f"{PREFIX}/accounts/{account_id}/holds/{shown['hold_id']}"
    return Reply.of(shown, status=201, location=where).response(replayed=receipt.replayed)


@router.get("/accounts/{account_id}/holds/{hold_id}", response_model=HoldShown)
async def get_hold(account_id: AccountId, hold_id: HoldId, desk: AtDesk) -> dict[str, Any]:
    """A hold, and what the wallet has now.

    Errors: not_found.
    """

    async def work(tx: Transaction) -> dict[str, Any]:
        wallet = await tx.ledger.wallet(account_id)
        hold = await tx.holds.get(account_id, hold_id)
        return _shown(hold, wallet.currency, wallet.available_micros, wallet.reserved_micros)

    return await desk.read(work)


@router.post("/accounts/{account_id}/holds/{hold_id}/capture", response_model=Hold)
async def capture_hold(
    account_id: AccountId, hold_id: HoldId, asking: Keyed, given: Capture = _ALL_THAT_REMAINS
) -> Response:
    """Charge a hold, or part of it; several captures may follow. More than it holds is taken from what is free.

    What is missing there is owed, which makes the account past_due: a receipt is never refused for want of money.
    A key is for one account.
    Errors: not_found, hold_not_open, amount_too_large.
    """
    receipt = await asking.desk.holds.capture(account_id, hold_id, given.amount, final=given.final, **asking.under_key)
    return Reply.of(_done(receipt)).response(replayed=receipt.replayed)


@router.post("/accounts/{account_id}/holds/{hold_id}/release", response_model=Hold)
async def release_hold(account_id: AccountId, hold_id: HoldId, asking: Keyed) -> Response:
    """Give back what a hold still reserves. A key is for one account.

    Errors: not_found, hold_not_open.
    """
    receipt = await asking.desk.holds.release(account_id, hold_id, **asking.under_key)
    return Reply.of(_done(receipt)).response(replayed=receipt.replayed)


@router.post("/holds/batch", response_model=BatchAnswer, max_body_size=MAX_BATCH_BYTES)
async def batch_of_holds(given: Batch, asking: Keyed) -> Response:
    """Place, capture and release 1 to 1000 holds of any accounts in one request, each for itself.

    The answer says of each item, in order, what became of it, with the status that it would have had alone. An item
    that is malformed refuses the whole batch, and nothing is done. An item may have a key of its own; under the
    batch's `Idempotency-Key` the others have one that is derived from it. Where some items failed for the moment
    (503), send the same batch again with the same key: only these are tried again.
    """

    async def work() -> Done:
        outcomes = await asking.desk.holds.carry_out(_instructions(given, asking))
        # A server that can take none of them refuses the request: whoever balances the load must see it.
        if all(isinstance(each, Unavailable) for each in outcomes):
            raise next(each for each in outcomes if isinstance(each, Unavailable))
        items = [
            _item(index, each, asked.action)
            for index, (each, asked) in enumerate(zip(outcomes, given.items, strict=True))
        ]
        final = not any(isinstance(each, _MAY_SUCCEED_LATER) for each in outcomes)
        changed = any(isinstance(each, Receipt) for each in outcomes)
        reply = Reply.of({"items": items, "counts": _counts(outcomes)})
        return Done(reply, "claim" if not final else "answer" if changed else "nothing")

    return await asking.in_several(given, work)


def _instructions(given: Batch, asking: Asking) -> list[Instruction]:
    platform, own = asking.desk.holds, asking.under_key
    found = []
    for index, item in enumerate(given.items):
        key: UnderKey = {**own, "idempotency_key": item.idempotency_key or nth_key(asking.key, index)}
        match item:
            case PlaceItem():
                placing = platform.placing(
                    item.account_id, item.amount, reference=item.reference, expires_at=item.expires_at, **key
                )
                found.append(placing)
            case CaptureItem():
                found.append(platform.capturing(item.account_id, item.hold_id, item.amount, final=item.final, **key))
            case ReleaseItem():
                found.append(platform.releasing(item.account_id, item.hold_id, **key))
    return found


def _item(index: int, outcome: Receipt | BillingError, action: str) -> dict[str, Any]:
    if isinstance(outcome, Receipt):
        status = 201 if action == "place" else 200
        return {"index": index, "status": status, "replayed": outcome.replayed, "hold": _done(outcome)}
    told = problem(outcome)
    return {"index": index, "status": told.status_code, "replayed": False, "error": Raw(told.body)}


def _counts(outcomes: Sequence[Receipt | BillingError]) -> dict[str, int]:
    receipts = [each for each in outcomes if isinstance(each, Receipt)]
    replayed = sum(each.replayed for each in receipts)
    return {"done": len(receipts) - replayed, "replayed": replayed, "refused": len(outcomes) - len(receipts)}


def _done(receipt: Receipt) -> dict[str, Any]:
    if receipt.hold is None:
        raise TypeError("a hold's receipt names its hold")
    shown = _shown(receipt.hold, receipt.currency, receipt.available_micros, receipt.reserved_micros)
    return {**shown, "transaction_ids": receipt.transaction_ids}


def _shown(hold: holds.Hold, currency: str, available_micros: int, reserved_micros: int) -> dict[str, Any]:
    balances = {"free": decimal_of(available_micros), "reserved": decimal_of(reserved_micros)}
    return {"account_id": hold.account_id, **hold_item(hold, currency), **balances}
