"""Owns what the platform's requests about webhooks give, and what their answers show."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from billing_mcp.domain.webhooks import DeliveryStatus, DisabledReason, EndpointStatus
from billing_mcp.faces.platform.fields import EventName, Given, Shown, ShownMoment, Uuid
from billing_mcp.faces.platform.models import PageAsked
from billing_mcp.operations.platform_webhooks import MAX_ENDPOINTS
from billing_mcp.operations.webhook_urls import MAX_URL_CHARS

_URL = "https://hooks.example.com/billing"

ReceiverURL = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_URL_CHARS,
        description="An https URL whose host is of the public internet.",
        examples=[_URL],
    ),
]
Filter = Annotated[
    list[EventName], Field(max_length=100, description="The types of events that it hears of; all where it is empty.")
]


class Nothing(Given):
    """What a request gives that says all in its path."""


class NewWebhookEndpoint(Given):
    """Where an account is to hear of events."""

    url: ReceiverURL
    events: Filter = Field([])


class WebhookEndpointChange(Given):
    """What changes; what is not given stays."""

    url: ReceiverURL | None = None
    events: Filter | None = None
    enabled: Annotated[
        bool | None, Field(description="On: told of what happens from now on. Off: what waits is dead.")
    ] = None


class WebhookEndpoint(Shown):
    """Where an account hears of events, without the secret."""

    account_id: Uuid
    endpoint_id: Uuid
    url: str
    events: list[str]
    status: EndpointStatus
    reason: Annotated[
        DisabledReason | None,
        Field(description="Why it is disabled: it answered 410, nothing but failures for days, or by the platform."),
    ]
    failing_since: Annotated[ShownMoment | None, Field(description="Since when every attempt has failed.")]
    previous_secret_until: Annotated[
        ShownMoment | None, Field(description="How long the secret before signs, too; null outside a rotation.")
    ]
    created_at: ShownMoment
    changed_at: ShownMoment


class WebhookEndpointWithSecret(WebhookEndpoint):
    """An endpoint, with its new secret."""

    secret: Annotated[str, Field(description="Shown once. Verify by it.", examples=["whsec_C2FVsBQIhrscChlQIM..."])]


class WebhookEndpoints(Shown):
    """All endpoints of an account, oldest first."""

    items: Annotated[list[WebhookEndpoint], Field(max_length=MAX_ENDPOINTS)]


class WebhookAttempt(Shown):
    """One try to tell an endpoint."""

    at: ShownMoment
    milliseconds: int
    status_code: Annotated[int | None, Field(description="What it answered; null where it did not.")]
    error: Annotated[str | None, Field(description="What stood in the way.", examples=["timeout"])]


class WebhookTest(WebhookAttempt):
    """What an endpoint answered to a test."""

    message_id: Annotated[Uuid, Field(description="The `webhook-id` that was sent.")]
    ok: Annotated[bool, Field(description="Whether it was taken: answered with 2xx.")]
    answer: Annotated[str, Field(description="The beginning of the answer's body.")]


class DeliveriesAsked(PageAsked):
    """Which deliveries, and which part of them."""

    endpoint_id: Annotated[Uuid | None, Field(description="Those to one endpoint.")] = None
    status: Annotated[DeliveryStatus | None, Field(description="Those of one status.")] = None
    event: Annotated[EventName | None, Field(description="Those of one type of events.")] = None


class WebhookDelivery(Shown):
    """An event on its way to an endpoint."""

    account_id: Uuid
    delivery_id: Uuid
    endpoint_id: Uuid
    message_id: Annotated[Uuid, Field(description="The `webhook-id`: the same in every attempt and replay.")]
    event: str
    status: DeliveryStatus
    attempts: Annotated[int, Field(description="Since it was made, or replayed last.")]
    due_at: Annotated[ShownMoment | None, Field(description="When it is tried next; null where it is not.")]
    last_status_code: int | None
    last_error: Annotated[str | None, Field(description="What stood in the way last, or why it is dead.")]
    created_at: ShownMoment
    ended_at: ShownMoment | None


class WebhookDeliveries(Shown):
    """Some deliveries. `next_cursor` leads to more, null where there are none."""

    items: list[WebhookDelivery]
    next_cursor: str | None


class WebhookDeliveryInFull(WebhookDelivery):
    """A delivery, with what is sent and every attempt that is remembered, oldest first."""

    body: Annotated[str, Field(description="What is sent, byte for byte.")]
    log: list[WebhookAttempt]
