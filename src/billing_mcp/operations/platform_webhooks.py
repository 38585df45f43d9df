"""Owns what the platform does with webhooks: where an account hears of events, and telling it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from billing_mcp.domain.clock import iso
from billing_mcp.domain.errors import InvalidArgument, Refused
from billing_mcp.domain.events import PUBLIC_EVENTS, WEBHOOK_TEST
from billing_mcp.domain.ids import new_id
from billing_mcp.domain.webhooks import Attempt, Delivery, Endpoint, body_of, new_secret
from billing_mcp.kernel.likeness import either, meant
from billing_mcp.operations.webhook_urls import receiver_url
from billing_mcp.store.store import Transaction

MAX_ENDPOINTS = 20
"""Of an account: each takes a place among those that are told at a time."""

HEARABLE = tuple(sorted(set(PUBLIC_EVENTS) - {WEBHOOK_TEST}))
"""What an endpoint can choose to hear of."""


async def add_endpoint(
    tx: Transaction, account_id: str, url: str, *, events: Sequence[str] = (), to_loopback: bool = False
) -> Endpoint:
    """Tell an account of events at a URL from now on: of those that are named, or of all.

    Raises InvalidArgument, with code `webhook_url_refused` for the URL; NotFound; and Refused with code
    `too_many_webhooks`.
    """
    endpoint = Endpoint(
        account_id=account_id,
        endpoint_id=new_id(tx.now),
        url=str(receiver_url(url, to_loopback=to_loopback)),
        events=_known(events),
        secret=new_secret(),
        previous_secret=None,
        previous_until=None,
        status="enabled",
        reason=None,
        failing_since=None,
        created_at=tx.now,
        changed_at=tx.now,
    )
    await tx.accounts.get(account_id, lock=True)
    if len(await tx.webhooks.endpoints(account_id)) >= MAX_ENDPOINTS:
        raise Refused(
            f"the account has {MAX_ENDPOINTS} webhook endpoints already",
            code="too_many_webhooks",
            hint="Remove one first, or let one hear of more events.",
        )
    await tx.webhooks.add(endpoint)
    return endpoint


async def change_endpoint(
    tx: Transaction,
    account_id: str,
    endpoint_id: str,
    *,
    url: str | None = None,
    events: Sequence[str] | None = None,
    enabled: bool | None = None,
    to_loopback: bool = False,
) -> Endpoint:
    """Change what is given. Switched on, it is told of what happens from now on, whatever went wrong before.

    Raises what `add_endpoint` raises.
    """
    endpoint = await tx.webhooks.endpoint(account_id, endpoint_id, lock=True)
    if url is not None:
        endpoint = replace(endpoint, url=str(receiver_url(url, to_loopback=to_loopback)), changed_at=tx.now)
    if events is not None:
        endpoint = replace(endpoint, events=_known(events), changed_at=tx.now)
    if enabled is True and endpoint.status == "disabled":
        endpoint = endpoint.enabled(tx.now)
    if enabled is False and endpoint.status == "enabled":
        endpoint = endpoint.disabled("platform", tx.now)
    await tx.webhooks.save(endpoint)
    return endpoint


async def rotate_secret(tx: Transaction, account_id: str, endpoint_id: str) -> Endpoint:
    """Give an endpoint a new secret; the one before signs beside it for a day. Raises NotFound."""
    endpoint = (await tx.webhooks.endpoint(account_id, endpoint_id, lock=True)).rotated(tx.now)
    await tx.webhooks.save(endpoint)
    return endpoint


async def remove_endpoint(tx: Transaction, account_id: str, endpoint_id: str) -> None:
    """Tell an endpoint nothing any more, and forget it. Raises NotFound."""
    await tx.webhooks.remove(await tx.webhooks.endpoint(account_id, endpoint_id, lock=True))


async def replay_delivery(tx: Transaction, account_id: str, delivery_id: str) -> Delivery:
    """Have an endpoint told of an event again, delivered or not: the same message, with all its attempts.

    What waits for its next attempt is due now. Raises NotFound, and Refused with code `webhook_disabled`.
    """
    found = await tx.webhooks.delivery(account_id, delivery_id)
    endpoint = await tx.webhooks.endpoint(account_id, found.endpoint_id, lock=True)
    if endpoint.status == "disabled":
        raise Refused(
            f"the webhook endpoint {endpoint.endpoint_id} is disabled",
            code="webhook_disabled",
            hint="Mend what it is disabled for, and enable it first.",
        )
    return await tx.webhooks.replay(await tx.webhooks.delivery(account_id, delivery_id))


def trial_message(endpoint: Endpoint, now: datetime) -> tuple[str, str]:
    """A message that tests an endpoint: its id, and its body."""
    payload = {"endpoint_id": endpoint.endpoint_id}
    return new_id(now), body_of(WEBHOOK_TEST, endpoint.account_id, payload, now)


def check_event(event: str) -> None:
    """Raises InvalidArgument for what is no type of event that an endpoint can hear of."""
    if event not in HEARABLE:
        close = meant(event, HEARABLE)
        hint = f"Did you mean {either(close)}?" if close else f"There are {', '.join(HEARABLE)}."
        raise InvalidArgument(f"there is no event {event[:100]!r}", field="events", hint=hint)


def _known(events: Sequence[str]) -> tuple[str, ...]:
    """The types of events, each once. Raises InvalidArgument for what is none."""
    for event in events:
        check_event(event)
    return tuple(sorted(set(events)))


def endpoint_shown(endpoint: Endpoint, now: datetime) -> dict[str, Any]:
    """An endpoint as the platform is shown it: without its secrets."""
    rotating = len(endpoint.secrets_at(now)) > 1
    return {
        "account_id": endpoint.account_id,
        "endpoint_id": endpoint.endpoint_id,
        "url": endpoint.url,
        "events": list(endpoint.events),
        "status": endpoint.status,
        "reason": endpoint.reason,
        "failing_since": _iso(endpoint.failing_since),
        "previous_secret_until": _iso(endpoint.previous_until) if rotating else None,
        "created_at": iso(endpoint.created_at),
        "changed_at": iso(endpoint.changed_at),
    }


def delivery_shown(delivery: Delivery) -> dict[str, Any]:
    """A delivery as the platform is shown it among others."""
    return {
        "account_id": delivery.account_id,
        "delivery_id": delivery.delivery_id,
        "endpoint_id": delivery.endpoint_id,
        "message_id": delivery.event_id,
        "event": delivery.event,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "due_at": iso(delivery.due_at) if delivery.status == "waiting" else None,
        "last_status_code": delivery.log[-1].status_code if delivery.log else None,
        "last_error": delivery.error,
        "created_at": iso(delivery.created_at),
        "ended_at": _iso(delivery.ended_at),
    }


def in_full(delivery: Delivery) -> dict[str, Any]:
    """A delivery with what is sent, and each attempt."""
    return {**delivery_shown(delivery), "body": delivery.body, "log": [_attempt(each) for each in delivery.log]}


def trial_shown(message_id: str, attempt: Attempt, answer: str) -> dict[str, Any]:
    """What an endpoint answered to a test."""
    return {"message_id": message_id, "ok": attempt.ok, **_attempt(attempt), "answer": answer}


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "at": iso(attempt.at),
        "milliseconds": attempt.milliseconds,
        "status_code": attempt.status_code,
        "error": attempt.error,
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)
