"""Owns the test provider's webhooks: their bodies, their signatures, and what they say to whoever hears them."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from billing_mcp.domain.clock import iso, to_epoch_us
from billing_mcp.domain.errors import InvalidArgument, PermissionDenied
from billing_mcp.payments.embedded_life import payment_of_json
from billing_mcp.payments.port import Heard
from billing_mcp.store.provider_books import PendingWebhook, ProviderBooks

SIGNATURE_HEADER = "test-provider-signature"
TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook that is due: what to send, and the name under which it is `delivered`."""

    account_id: str
    delivery_id: str
    body: bytes
    headers: Mapping[str, str]


async def tell(
    books: ProviderBooks, account_id: str, event: Mapping[str, Any], at: datetime, due_at: tuple[datetime, ...]
) -> None:
    """Have an event that happened at a moment delivered at each of some. Those of a moment go by their `event_id`."""
    body = json.dumps({"account_id": account_id, "created_at": iso(at), **event}, sort_keys=True)
    for number, moment in enumerate(due_at):
        await books.add_webhook(PendingWebhook(account_id, f"{event['event_id']}.{number}", moment, body))


def signed(webhook: PendingWebhook, secret: str, now: datetime) -> Delivery:
    """A webhook as it is sent now."""
    body = webhook.body.encode()
    seconds = _seconds(now)
    headers = {"content-type": "application/json", SIGNATURE_HEADER: f"t={seconds},v1={_mac(secret, seconds, body)}"}
    return Delivery(webhook.account_id, webhook.delivery_id, body, headers)


def heard(body: bytes, headers: Mapping[str, str], secret: str, now: datetime) -> Heard:
    """What a webhook says. Raises PermissionDenied with code `invalid_signature`, InvalidArgument for no event."""
    given = {name.lower(): value for name, value in headers.items()}.get(SIGNATURE_HEADER, "")
    if not _is_signed(body, given, secret, now):
        raise PermissionDenied("the webhook is not signed by the provider, or too old", code="invalid_signature")
    try:
        event = json.loads(body)
        told = Heard(event["event_id"], event["type"], event["account_id"] or None, setup_id=event.get("setup_id"))
        if "payment" not in event:
            return told
        payment = payment_of_json(event["payment"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidArgument("the webhook's body is no event of the test provider", field="body") from None
    return Heard(told.event_id, told.type, told.account_id, payment.payment_id, payment.facts)


def _is_signed(body: bytes, given: str, secret: str, now: datetime) -> bool:
    parts = dict(part.partition("=")[::2] for part in given.split(","))
    digits = parts.get("t", "")
    seconds = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= 12 else 0
    right = hmac.compare_digest(_mac(secret, seconds, body).encode(), parts.get("v1", "").encode())
    return right and abs(_seconds(now) - seconds) <= TOLERANCE.total_seconds()


def _seconds(moment: datetime) -> int:
    return to_epoch_us(moment) // 1_000_000


def _mac(secret: str, seconds: int, body: bytes) -> str:
    return hmac.new(secret.encode(), b"%d.%s" % (seconds, body), hashlib.sha256).hexdigest()
