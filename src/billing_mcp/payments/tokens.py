"""Owns the test provider's tokens: what each stands for, and what hurts about it. The documentation derives from it.

A token is data: the steps that a payment with it takes, and when, counted from its confirmation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from billing_mcp.domain.payments import MethodType

Becomes = Literal[
    "requires_action", "processing", "succeeded", "failed", "disputed", "dispute_won", "dispute_lost", "returned"
]
"""What a payment can become. In a dispute, and when a debit is returned, the bank withdraws all that is left of it."""
Answer = Literal["arrives", "lost", "lost_with_request"]
"""The answer to the first confirmation arrives, or never does although all was done, or because nothing was."""
Webhooks = Literal["once", "twice", "unordered"]


@dataclass(frozen=True, slots=True)
class Step:
    """What a payment becomes, how long `after` its confirmation, and why it fails."""

    becomes: Becomes
    after: timedelta = timedelta()
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """What a test token stands for. `does` says it in words; `refused` is why it cannot be attached at all."""

    token: str
    does: str
    steps: tuple[Step, ...] = (Step("succeeded"),)
    type: MethodType = "card"
    brand: str | None = "visa"
    last4: str = "4242"
    refused: str | None = None
    answer: Answer = "arrives"
    webhooks: Webhooks = "once"


MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
_ACTION = Step("requires_action")
_PROCESSING = Step("processing")
_SETTLED = Step("succeeded", 3 * DAY)
_DISPUTED = Step("disputed", 2 * DAY)


def _declined(token: str, code: str, last4: str) -> Token:
    return Token(token, f"Every charge is declined with {code}.", (Step("failed", code=code),), last4=last4)


def _sepa(token: str, does: str, *steps: Step, last4: str) -> Token:
    return Token(token, does, (_PROCESSING, *steps), "sepa_debit", None, last4)


_ALL = (
    Token("tok_visa", "Every charge succeeds."),
    Token("tok_mastercard", "Every charge succeeds.", brand="mastercard", last4="4444"),
    Token("tok_amex", "Every charge succeeds.", brand="amex", last4="0005"),
    _declined("tok_declined", "card_declined", "0002"),
    _declined("tok_insufficient_funds", "insufficient_funds", "9995"),
    _declined("tok_expired", "expired_card", "0069"),
    _declined("tok_fraudulent", "fraudulent", "0019"),
    Token("tok_attach_declined", "It cannot be added: card_declined.", last4="0341", refused="card_declined"),
    Token("tok_authenticate", "A charge waits until the customer has authenticated.", (_ACTION,), last4="3155"),
    Token(
        "tok_authenticate_later",
        "A charge waits for the customer, who authenticates a minute later.",
        (_ACTION, Step("succeeded", MINUTE)),
        last4="3184",
    ),
    Token(
        "tok_authenticate_fails",
        "A charge waits for the customer, who fails to authenticate a minute later.",
        (_ACTION, Step("failed", MINUTE, "authentication_failed")),
        last4="3178",
    ),
    Token("tok_timeout_charged", "A charge succeeds, but its answer is lost.", last4="5001", answer="lost"),
    Token(
        "tok_timeout_declined",
        "A charge is declined with card_declined, but the answer is lost.",
        (Step("failed", code="card_declined"),),
        last4="5003",
        answer="lost",
    ),
    Token(
        "tok_timeout_not_charged",
        "The first request to charge is lost, so nothing is taken; the next one succeeds.",
        last4="5002",
        answer="lost_with_request",
    ),
    Token("tok_webhooks_twice", "A charge succeeds; each webhook arrives twice.", last4="6001", webhooks="twice"),
    Token(
        "tok_webhooks_unordered",
        "A charge is processed and succeeds; its webhooks arrive within a minute, the last one first.",
        (_PROCESSING, Step("succeeded")),
        last4="6002",
        webhooks="unordered",
    ),
    Token(
        "tok_dispute_lost",
        "A charge succeeds, is disputed after 2 days, and the dispute is lost after 9.",
        (Step("succeeded"), _DISPUTED, Step("dispute_lost", 9 * DAY)),
        last4="0259",
    ),
    Token(
        "tok_dispute_won",
        "A charge succeeds, is disputed after 2 days, and the dispute is won after 9.",
        (Step("succeeded"), _DISPUTED, Step("dispute_won", 9 * DAY)),
        last4="2685",
    ),
    _sepa("tok_sepa", "A debit settles after 3 days.", _SETTLED, last4="3000"),
    _sepa(
        "tok_sepa_fails",
        "A debit fails after 5 days with insufficient_funds.",
        Step("failed", 5 * DAY, "insufficient_funds"),
        last4="3001",
    ),
    _sepa(
        "tok_sepa_returned",
        "A debit settles after 3 days, and the bank takes it back after 10.",
        _SETTLED,
        Step("returned", 10 * DAY),
        last4="3002",
    ),
)
TOKENS: dict[str, Token] = {token.token: token for token in _ALL}
"""Every token there is, in the order in which they are documented."""
SET_UP: dict[MethodType, str] = {"card": "tok_visa", "sepa_debit": "tok_sepa"}
"""What a set-up makes by itself, a minute after it began."""
SET_UP_AFTER = MINUTE
