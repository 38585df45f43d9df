"""Owns the rules of telling an account's endpoints of events: what is sent, when it is tried again, when no more.

Everything here is pure: values in, values out. Signatures are made where the attempt is.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from billing_mcp.domain.clock import iso
from billing_mcp.domain.events import PUBLIC_EVENTS, WEBHOOK_TEST, Json

EndpointStatus = Literal["enabled", "disabled"]
DisabledReason = Literal["gone", "failing", "platform"]
"""It answered 410; nothing but failures for days; or the platform switched it off."""
DeliveryStatus = Literal["waiting", "delivered", "dead"]

RETRY_AFTER = tuple(
    timedelta(seconds=seconds)
    for seconds in (0, 5, 5 * 60, 30 * 60, *(hours * 3600 for hours in (2, 5, 10, 14, 20, 24)))
)
"""How long to wait before each attempt, after the event or after the attempt before."""
JITTER = 0.1
"""Waits are stretched by up to this part of them, so that what failed together does not come back together."""
FAILING_FOR = timedelta(days=5)
"""An endpoint that took nothing for so long is disabled with the next delivery that is given up."""
ROTATION = timedelta(hours=24)
"""How long the secret before goes on signing beside the new one."""
SECRET_MARK = "whsec_"  # noqa: S105 - the mark, not a secret
GONE = 410
_LOG_LENGTH = 50
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an account hears of events. It hears of all where `events` is empty."""

    account_id: str
    endpoint_id: str
    url: str
    events: tuple[str, ...]
    secret: str = field(repr=False)
    previous_secret: str | None = field(repr=False)
    previous_until: datetime | None
    status: EndpointStatus
    reason: DisabledReason | None
    failing_since: datetime | None
    created_at: datetime
    changed_at: datetime

    def hears(self, event: str) -> bool:
        """Whether it is told of events of this type."""
        return event in PUBLIC_EVENTS and event != WEBHOOK_TEST and (not self.events or event in self.events)

    def secrets_at(self, now: datetime) -> tuple[str, ...]:
        """The secrets in force: two within a rotation."""
        if self.previous_secret is None or self.previous_until is None or now >= self.previous_until:
            return (self.secret,)
        return (self.secret, self.previous_secret)

    def rotated(self, now: datetime) -> Endpoint:
        """With a new secret; the one before stays in force for a while."""
        return replace(
            self,
            secret=new_secret(),
            previous_secret=self.secret,
            previous_until=now + ROTATION,
            changed_at=now,
        )

    def enabled(self, now: datetime) -> Endpoint:
        """Told again of what happens from now on."""
        return replace(self, status="enabled", reason=None, failing_since=None, changed_at=now)

    def disabled(self, reason: DisabledReason, now: datetime) -> Endpoint:
        """Told nothing any more."""
        return replace(self, status="disabled", reason=reason, changed_at=now)

    def after(self, attempts: Sequence[Attempt], *, gave_up: bool, now: datetime) -> Endpoint:
        """As attempts leave it, of which the last has just ended; `gave_up` where a delivery is dead by them."""
        if any(attempt.status_code == GONE for attempt in attempts):
            return self.disabled("gone", now)
        if any(attempt.ok for attempt in attempts):
            return replace(self, failing_since=None)
        since = self.failing_since or now
        failing = replace(self, failing_since=since)
        return failing.disabled("failing", now) if gave_up and now - since >= FAILING_FOR else failing


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to tell an endpoint: what it answered, or what stood in the way, and how long that took."""

    at: datetime
    milliseconds: int
    status_code: int | None = None
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it was taken. A redirect is followed by nobody, so it is none."""
        return self.error is None and self.status_code is not None and 200 <= self.status_code < 300


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to one endpoint. `attempts` are those since it was made, or replayed last."""

    account_id: str
    delivery_id: str
    endpoint_id: str
    event_id: str
    event: str
    body: str
    status: DeliveryStatus
    attempts: int
    due_at: datetime
    log: tuple[Attempt, ...]
    created_at: datetime
    ended_at: datetime | None
    error: str | None = None
    """What stood in the way of its last attempt, or why there is none any more."""

    def after(self, attempt: Attempt, *, now: datetime, jitter: float) -> Delivery:
        """As an attempt leaves it that has just ended; `jitter` is from 0 to 1."""
        log = (*self.log, attempt)[-_LOG_LENGTH:]
        tried = replace(self, attempts=self.attempts + 1, log=log, error=attempt.error)
        if attempt.ok:
            return replace(tried, status="delivered", ended_at=now)
        if attempt.status_code == GONE or tried.attempts >= len(RETRY_AFTER):
            return replace(tried, status="dead", ended_at=now)
        return replace(tried, due_at=now + RETRY_AFTER[tried.attempts] * (1 + JITTER * jitter))

    def replayed(self, now: datetime) -> Delivery:
        """Due now, with all its attempts; its log is kept."""
        return replace(self, status="waiting", attempts=0, due_at=now, ended_at=None, error=None)


def body_of(event: str, account_id: str, payload: Json, created_at: datetime) -> str:
    """What is sent of an event: the same bytes in every attempt."""
    data = {**payload, "account_id": account_id} if isinstance(payload, dict) else {"account_id": account_id}
    told = {"type": event, "timestamp": iso(created_at), "data": data}
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False)


def new_secret() -> str:
    """A fresh secret as the libraries of Standard Webhooks take it."""
    return SECRET_MARK + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
