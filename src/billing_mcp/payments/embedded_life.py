"""Owns a payment's life at the test provider: what has happened to it by now, what will, and what is told of it.

Pure: a moment comes in, and what happened until then comes out. `embedded.py` keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.payments import Facts
from billing_mcp.payments.port import Payment
from billing_mcp.payments.tokens import TOKENS, Becomes, Step, Token

ACTION_URL = "https://test-provider.invalid/authenticate/"
_EVENTS: dict[Becomes, str] = {
    "disputed": "payment.disputed",
    "dispute_won": "payment.dispute_won",
    "dispute_lost": "payment.dispute_lost",
    "returned": "payment.returned",
}


@dataclass(frozen=True, slots=True)
class Due:
    """A step that is still to come."""

    at_us: int
    becomes: Becomes
    code: str | None


@dataclass(frozen=True, slots=True)
class Told:
    """What a webhook says: that something of a type happened at a moment, and the payment as it was right then.

    It is the payment's nth (`number`, from 0), and `due_at` holds the moments at which it is delivered.
    """

    number: int
    type: str
    at: datetime
    payment: Payment
    due_at: tuple[datetime, ...]


@dataclass(frozen=True, slots=True)
class Life:
    """A payment, the steps before it, and how many webhooks have told of it."""

    payment: Payment
    method: str
    token: str
    confirmed: bool = False
    requests_lost: int = 0
    told: int = 0
    coming: tuple[Due, ...] = field(default=())

    @property
    def due_at(self) -> datetime | None:
        """When the next thing happens by itself."""
        return from_epoch_us(self.coming[0].at_us) if self.coming else None

    def begun(self) -> tuple[Life, Told]:
        """It was registered."""
        return self.tells("payment.created", self.payment.created_at)

    def goes(self, steps: Iterable[Step], now: datetime) -> Life:
        """These steps are to come, counted from now, and no others."""
        coming = tuple(Due(to_epoch_us(now + step.after), step.becomes, step.code) for step in steps)
        return replace(self, confirmed=True, coming=coming)

    def lived(self, now: datetime) -> tuple[Life, list[Told]]:
        """With all that has happened by now, and what is told of it."""
        life, told = self, []
        while life.coming and life.coming[0].at_us <= to_epoch_us(now):
            step, *rest = life.coming
            facts = _after(step, life.payment)
            life = replace(life, payment=replace(life.payment, facts=facts), coming=tuple(rest))
            type_ = _EVENTS.get(step.becomes, f"payment.{step.becomes}")
            life, news = life.tells(type_, from_epoch_us(step.at_us))
            told.append(news)
        return life, told

    def refunded(self, amount_micros: int, now: datetime) -> tuple[Life, Told]:
        """Some of it went back."""
        facts = self.payment.facts
        given = replace(facts, refunded_micros=facts.refunded_micros + amount_micros)
        return replace(self, payment=replace(self.payment, facts=given)).tells("payment.refunded", now)

    def tells(self, type_: str, at: datetime) -> tuple[Life, Told]:
        """With one webhook more told of it, as it is now."""
        due_at = _deliveries(TOKENS.get(self.token), at, self.told)
        return replace(self, told=self.told + 1), Told(self.told, type_, at, self.payment, due_at)


def _deliveries(token: Token | None, at: datetime, number: int) -> tuple[datetime, ...]:
    if token is not None and token.webhooks == "twice":
        return (at, at)
    if token is not None and token.webhooks == "unordered":
        return (at + timedelta(seconds=max(0, 60 - 20 * number)),)
    return (at,)


def _after(step: Due, payment: Payment) -> Facts:
    facts = payment.facts
    match step.becomes:
        case "succeeded":
            return replace(facts, status="succeeded", received_micros=payment.amount_micros, action_url=None)
        case "failed":
            return replace(facts, status="failed", failure_code=step.code, action_url=None)
        case "requires_action":
            return replace(facts, status="requires_action", action_url=ACTION_URL + payment.payment_id)
        case "processing":
            return replace(facts, status="processing", action_url=None)
        case "disputed" | "returned":
            withdrawn = facts.withdrawn_micros + max(0, facts.kept_micros)
            return replace(facts, withdrawn_micros=withdrawn)
        case "dispute_won":
            return replace(facts, reinstated_micros=facts.withdrawn_micros)
        case "dispute_lost":
            return facts


def payment_to_json(payment: Payment) -> dict[str, Any]:
    """A payment as an object of JSON."""
    return asdict(payment) | {"created_at": to_epoch_us(payment.created_at)}


def payment_of_json(value: Mapping[str, Any]) -> Payment:
    """The payment of `payment_to_json`."""
    read = {"created_at": from_epoch_us(value["created_at"]), "facts": Facts(**value["facts"])}
    return Payment(**{**value, **read})


def life_to_json(life: Life) -> dict[str, Any]:
    """A life as an object of JSON."""
    return asdict(life) | {"payment": payment_to_json(life.payment)}


def life_of_json(value: Mapping[str, Any]) -> Life:
    """The life of `life_to_json`."""
    read = {"payment": payment_of_json(value["payment"]), "coming": tuple(Due(**due) for due in value["coming"])}
    return Life(**{**value, **read})
