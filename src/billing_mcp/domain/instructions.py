"""Owns instructions: what the platform asks of one wallet, and the receipt for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.holds import Hold, HoldAction
from billing_mcp.domain.ledger import Posting
from billing_mcp.domain.messages import Message, MessageAction

MAX_KEY_CHARS = 255


def check_key(idempotency_key: str) -> None:
    """Raise InvalidArgument for a caller's key that is too long."""
    if len(idempotency_key) > MAX_KEY_CHARS:
        message = f"an idempotency_key has at most {MAX_KEY_CHARS} characters, this one {len(idempotency_key)}"
        raise InvalidArgument(message, field="idempotency_key", hint="Use a UUID.")


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """What makes an instruction happen once: digests of the caller's key, and of all that was asked under it."""

    key_hash: str
    request_hash: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """One action on one account, at the moment that it was asked for."""

    account_id: str
    action: HoldAction | Posting | MessageAction
    now: datetime
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an instruction did: its ledger transactions, the balances after them, the hold and message as it left them.

    The same key gets the same receipt again; then `replayed` is true.
    """

    account_id: str
    transaction_ids: tuple[str, ...]
    currency: str
    available_micros: int
    reserved_micros: int
    hold: Hold | None = None
    replayed: bool = False
    message: Message | None = None
