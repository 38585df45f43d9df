"""Owns the platform's routes of webhooks: where accounts hear of events, and what became of telling them."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from starlette.responses import Response

from billing_mcp.domain.webhooks import Delivery
from billing_mcp.faces.platform.desk import ACCOUNTS, AccountId, AtDesk, DeliveryId, EndpointId, Keyed, Reply
from billing_mcp.faces.platform.direct import hot_router
from billing_mcp.faces.platform.webhook_models import (
    DeliveriesAsked,
    NewWebhookEndpoint,
    Nothing,
    WebhookDeliveries,
    WebhookDelivery,
    WebhookDeliveryInFull,
    WebhookEndpoint,
    WebhookEndpointChange,
    WebhookEndpoints,
    WebhookEndpointWithSecret,
    WebhookTest,
)
from billing_mcp.operations import platform_webhooks
from billing_mcp.operations.paging import cut, wrong_cursor
from billing_mcp.operations.platform_webhooks import delivery_shown, endpoint_shown, in_full, trial_message, trial_shown
from billing_mcp.store.store import Transaction

router = hot_router(f"{ACCOUNTS}/{{account_id}}")


@router.post("/webhook-endpoints", status_code=201, response_model=WebhookEndpointWithSecret)
async def create_webhook_endpoint(account_id: AccountId, given: NewWebhookEndpoint, asking: Keyed) -> Response:
    """Tell an account of events at a URL, from now on. The secret is in this answer alone.

    The same request under the same `Idempotency-Key` has the secret again: it is kept encrypted, and only your
    credential opens it.
    Errors: not_found, too_many_webhooks, webhook_url_refused.
    """

    async def work(tx: Transaction) -> Reply:
        added = await platform_webhooks.add_endpoint(
            tx, account_id, given.url, events=given.events, to_loopback=asking.desk.to_loopback
        )
        where = f"{ACCOUNTS}/{account_id}/webhook-endpoints/{added.endpoint_id}"
        return Reply.of({**endpoint_shown(added, tx.now), "secret": added.secret}, status=201, location=where)

    return await asking.in_one_transaction(given, work, sealed=True)


@router.get("/webhook-endpoints", response_model=WebhookEndpoints)
async def list_webhook_endpoints(account_id: AccountId, desk: AtDesk) -> dict[str, Any]:
    """Where an account hears of events, oldest first, without secrets.

    Errors: not_found.
    """

    async def work(tx: Transaction) -> dict[str, Any]:
        await tx.accounts.get(account_id)
        return {"items": [endpoint_shown(each, tx.now) for each in await tx.webhooks.endpoints(account_id)]}

    return await desk.read(work)


@router.get("/webhook-endpoints/{endpoint_id}", response_model=WebhookEndpoint)
async def get_webhook_endpoint(account_id: AccountId, endpoint_id: EndpointId, desk: AtDesk) -> dict[str, Any]:
    """An endpoint, and whether it is told anything; without its secret.

    Errors: not_found.
    """

    async def work(tx: Transaction) -> dict[str, Any]:
        return endpoint_shown(await tx.webhooks.endpoint(account_id, endpoint_id), tx.now)

    return await desk.read(work)


@router.patch("/webhook-endpoints/{endpoint_id}", response_model=WebhookEndpoint)
async def change_webhook_endpoint(
    account_id: AccountId, endpoint_id: EndpointId, given: WebhookEndpointChange, asking: Keyed
) -> Response:
    """Change the URL, the events, or whether it is told anything. What is not given, or null, stays.

    Errors: not_found, webhook_url_refused.
    """

    async def work(tx: Transaction) -> Reply:
        changed = await platform_webhooks.change_endpoint(
            tx, account_id, endpoint_id, **given.model_dump(), to_loopback=asking.desk.to_loopback
        )
        return Reply.of(endpoint_shown(changed, tx.now))

    return await asking.in_one_transaction(given, work)


@router.delete("/webhook-endpoints/{endpoint_id}", status_code=204, response_class=Response)
async def remove_webhook_endpoint(account_id: AccountId, endpoint_id: EndpointId, desk: AtDesk) -> Response:
    """Forget an endpoint. What was on its way to it is dead; its deliveries can still be read for a while.

    Errors: not_found.
    """
    await desk.transact(lambda tx: platform_webhooks.remove_endpoint(tx, account_id, endpoint_id))
    return Response(status_code=204)


@router.post("/webhook-endpoints/{endpoint_id}/rotate-secret", response_model=WebhookEndpointWithSecret)
async def rotate_webhook_secret(account_id: AccountId, endpoint_id: EndpointId, asking: Keyed) -> Response:
    """Give an endpoint a new secret, which is in this answer alone. For 24 hours the one before signs beside it.

    Rotated again within that time, it is the one of now that goes on; the one before it ends at once.
    Errors: not_found.
    """

    async def work(tx: Transaction) -> Reply:
        rotated = await platform_webhooks.rotate_secret(tx, account_id, endpoint_id)
        return Reply.of({**endpoint_shown(rotated, tx.now), "secret": rotated.secret})

    return await asking.in_one_transaction(Nothing(), work, sealed=True)


@router.post("/webhook-endpoints/{endpoint_id}/test", response_model=WebhookTest)
async def test_webhook_endpoint(account_id: AccountId, endpoint_id: EndpointId, desk: AtDesk) -> Response:
    """Send `billing.webhook.test` now, once, and say what was answered; to a disabled endpoint, too.

    It waits up to 15 seconds for the answer, and is no delivery: it is neither kept nor tried again.
    Errors: not_found.
    """
    endpoint = await desk.read(lambda tx: tx.webhooks.endpoint(account_id, endpoint_id))
    message_id, body = trial_message(endpoint, desk.clock())
    told = await desk.receivers.tell(endpoint, message_id, body)
    return Reply.of(trial_shown(message_id, told.attempt, told.answer)).response()


@router.get("/webhook-deliveries", response_model=WebhookDeliveries)
async def list_webhook_deliveries(
    account_id: AccountId, asked: Annotated[DeliveriesAsked, Query()], desk: AtDesk
) -> dict[str, Any]:
    """The events that are, or were, on their way to an account's endpoints, some at a time.

    They can be read for 30 days after they ended. Give `next_cursor` of an answer as `cursor` to go on.
    Errors: not_found.
    """
    beyond = None if asked.cursor is None else _place(asked.cursor)

    async def work(tx: Transaction) -> list[Delivery]:
        await tx.accounts.get(account_id)
        return await tx.webhooks.deliveries(
            account_id,
            endpoint_id=asked.endpoint_id,
            status=asked.status,
            event=asked.event,
            beyond=beyond,
            newest_first=asked.order == "newest",
            limit=asked.limit + 1,
        )

    shown, next_cursor = cut(await desk.read(work), asked.limit, lambda last: last.delivery_id)
    return {"items": [delivery_shown(each) for each in shown], "next_cursor": next_cursor}


@router.get("/webhook-deliveries/{delivery_id}", response_model=WebhookDeliveryInFull)
async def get_webhook_delivery(account_id: AccountId, delivery_id: DeliveryId, desk: AtDesk) -> dict[str, Any]:
    """A delivery with what is sent, and each attempt.

    Errors: not_found.
    """
    return in_full(await desk.read(lambda tx: tx.webhooks.delivery(account_id, delivery_id)))


@router.post("/webhook-deliveries/{delivery_id}/replay", response_model=WebhookDelivery)
async def replay_webhook_delivery(account_id: AccountId, delivery_id: DeliveryId, asking: Keyed) -> Response:
    """Have an endpoint told again, whether it was delivered or is dead: the same message, with all its attempts.

    Errors: not_found, webhook_disabled.
    """

    async def work(tx: Transaction) -> Reply:
        return Reply.of(delivery_shown(await platform_webhooks.replay_delivery(tx, account_id, delivery_id)))

    return await asking.in_one_transaction(Nothing(), work)


def _place(cursor: str) -> str:
    try:
        return str(UUID(cursor))
    except ValueError:
        raise wrong_cursor(cursor) from None
