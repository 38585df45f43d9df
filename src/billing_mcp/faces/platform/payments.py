"""Owns the platform's routes of payments: top-ups, refunds, and the payment methods of accounts."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query
from starlette.responses import Response

from billing_mcp.domain.clock import to_epoch_us
from billing_mcp.domain.topups import TopUp
from billing_mcp.faces.platform.desk import ACCOUNTS, AccountId, AtDesk, Keyed, Reply
from billing_mcp.faces.platform.direct import hot_router
from billing_mcp.faces.platform.fields import Given, Uuid
from billing_mcp.faces.platform.payment_models import (
    NewRefund,
    PaymentMethods,
    PaymentMethodShown,
    RefundShown,
    TopUpInFull,
    TopUps,
    TopUpsAsked,
)
from billing_mcp.operations.paging import cut, moment_and_id
from billing_mcp.operations.payment_methods import shown as method_item
from billing_mcp.operations.platform_payments import (
    ask_for_refund,
    choose_default,
    refund_item,
    remove_method,
    topup_in_full,
    topup_item,
)
from billing_mcp.store.store import Transaction

router = hot_router(f"{ACCOUNTS}/{{account_id}}")

TopUpId = Annotated[Uuid, Path(description="The top-up.")]
PaymentMethodId = Annotated[Uuid, Path(description="The payment method.")]

_ALL_THAT_IS_LEFT = NewRefund()
_NOTHING = Given()


@router.get("/topups", response_model=TopUps)
async def list_topups(account_id: AccountId, asked: Annotated[TopUpsAsked, Query()], desk: AtDesk) -> dict[str, Any]:
    """The top-ups of an account, newest first, some at a time.

    Give `next_cursor` of an answer as `cursor` to go on, with the same `status`: none is skipped or repeated.
    Errors: not_found.
    """
    beyond = None if asked.cursor is None else moment_and_id(asked.cursor)

    async def work(tx: Transaction) -> list[TopUp]:
        await tx.accounts.get(account_id)
        return await tx.payments.topups(account_id, status=asked.status, beyond=beyond, limit=asked.limit + 1)

    items, next_cursor = cut(await desk.read(work), asked.limit, _cursor)
    return {"items": [topup_item(each) for each in items], "next_cursor": next_cursor}


@router.get("/topups/{topup_id}", response_model=TopUpInFull)
async def get_topup(account_id: AccountId, topup_id: TopUpId, desk: AtDesk) -> dict[str, Any]:
    """A top-up as it stands, with its refunds, and how much of it can still go back.

    Errors: not_found.
    """

    async def work(tx: Transaction) -> dict[str, Any]:
        topup = await tx.payments.topup(account_id, topup_id)
        return topup_in_full(topup, await tx.payments.refunds(account_id, topup_id))

    return await desk.read(work)


@router.post("/topups/{topup_id}/refund", status_code=202, response_model=RefundShown)
async def refund_topup(
    account_id: AccountId, topup_id: TopUpId, asking: Keyed, given: NewRefund = _ALL_THAT_IS_LEFT
) -> Response:
    """Give some of a top-up back to the customer, in whole cents and tax included; by default all that is left.

    It is done after this answer: look at the top-up for what came of it. The wallet gives its part without the tax,
    and has to have it. What was asked for is taken off what can be asked for. A lower balance can set off an
    automatic reload: switch that off first.
    Errors: not_found, not_refundable, insufficient_funds.
    """

    async def work(tx: Transaction) -> Reply:
        refund = await ask_for_refund(tx, account_id, topup_id, given.amount)
        return Reply.of(refund_item(refund, await tx.payments.topup(account_id, topup_id)), status=202)

    return await asking.in_one_transaction(given, work)


@router.get("/payment-methods", response_model=PaymentMethods)
async def list_payment_methods(account_id: AccountId, desk: AtDesk) -> dict[str, Any]:
    """All payment methods of an account, oldest first; those that were removed are still named.

    Errors: not_found.
    """
    methods = await desk.read(lambda tx: tx.payments.methods_of_account(account_id))
    return {"items": [method_item(each) for each in methods]}


@router.delete("/payment-methods/{payment_method_id}", status_code=204, response_class=Response)
async def remove_payment_method(account_id: AccountId, payment_method_id: PaymentMethodId, desk: AtDesk) -> Response:
    """Charge a payment method never again; the provider forgets it, too. No other one takes its place by itself.

    An automatic reload that used it is disabled, and the account's webhooks hear of it. What was removed already is
    not found.
    Errors: not_found.
    """
    await desk.transact(lambda tx: remove_method(tx, desk.catalog, account_id, payment_method_id))
    return Response(status_code=204)


@router.post("/payment-methods/{payment_method_id}/default", response_model=PaymentMethodShown)
async def choose_payment_method(account_id: AccountId, payment_method_id: PaymentMethodId, asking: Keyed) -> Response:
    """Charge this payment method where none is named, and no other.

    Errors: not_found, payment_method_not_active.
    """

    async def work(tx: Transaction) -> Reply:
        return Reply.of(dict(method_item(await choose_default(tx, account_id, payment_method_id))))

    return await asking.in_one_transaction(_NOTHING, work)


def _cursor(topup: TopUp) -> str:
    return f"{to_epoch_us(topup.created_at):x}-{topup.topup_id}"
