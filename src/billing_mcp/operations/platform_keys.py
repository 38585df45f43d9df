"""Owns the keys under which money moves once: digests of a caller's key, and of all that was asked under it."""

from __future__ import annotations

import hashlib

from billing_mcp.domain.instructions import IdempotencyKey, check_key


def posting_key(idempotency_key: str, asked: tuple[object, ...], principal_id: str = "") -> IdempotencyKey | None:
    """The key of an instruction; None for no key. Raises InvalidArgument for one that is too long.

    A key is for one account: the engine looks it up where the wallet is, so that accounts never wait for each
    other and can be spread over databases. Of those who share an account, each `principal_id` has its own;
    the command line has none.
    """
    if not idempotency_key:
        return None
    check_key(idempotency_key)
    scoped = f"{principal_id}\x1f{idempotency_key}" if principal_id else idempotency_key
    return IdempotencyKey(_digest(scoped), _digest("\x1f".join(map(str, asked))))


def nth_key(idempotency_key: str, number: int) -> str:
    """The key of one item of a batch, under the batch's key. No caller's key is like it: it is not printable."""
    return f"\x1f{_digest(idempotency_key)}{number}" if idempotency_key else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
