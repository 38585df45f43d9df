"""Owns what an idempotency key means to an execution: the answer that is stored under it, or why it cannot be used."""

from __future__ import annotations

from billing_mcp.domain.errors import Conflict, InvalidArgument
from billing_mcp.kernel.answer import Answer
from billing_mcp.store.store import Transaction


async def stored_answer(tx: Transaction, principal_id: str, key: str, source: str) -> Answer | None:
    """The answer to what was executed under a key. Raises InvalidArgument when that was another script."""
    stored = await tx.executions.answered(principal_id, key, source)
    if stored is None:
        return None
    if not stored.same_script:
        raise InvalidArgument(
            "this idempotency_key belongs to another script",
            code="idempotency_key_reused",
            field="idempotency_key",
            hint="Send the same script again, or use a new key for a new one.",
        )
    return Answer.stored(stored.answer_json)


def key_in_use(key: str) -> Conflict:
    """Why nothing is executed under a key whose first execution has not ended."""
    return Conflict(
        f"an execution with idempotency_key {key[:40]!r} is still running",
        code="idempotency_key_in_use",
        hint="Wait a second and send the same again: you will get its answer.",
    )
