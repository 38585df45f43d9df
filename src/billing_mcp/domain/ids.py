"""Owns identifiers: time-ordered UUIDs (version 7, RFC 9562), random or derived from a key."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime
from functools import lru_cache

from billing_mcp.domain.clock import to_epoch_us

_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def uuid_of(text: str) -> str | None:
    """The text of a UUID as it is stored, in small letters; None for what is none."""
    return text.lower() if _UUID.fullmatch(text) else None


def new_id(now: datetime) -> str:
    """A fresh identifier that sorts by `now`; 74 of its bits are random."""
    return _uuid7(now, secrets.token_bytes(10))


def derived_id(now: datetime, *key: object) -> str:
    """The identifier that `key` always has at `now`: the same facts give the same id."""
    text = "\x1f".join(str(part) for part in key)
    return _uuid7(now, hashlib.sha256(text.encode()).digest()[:10])


def ledger_id(now: datetime, account_id: str, seq: int) -> str:
    """The identifier of an account's ledger transaction. An account's sort by moment, then by `seq`."""
    milliseconds = to_epoch_us(now) // 1000
    middle = _middle(account_id)
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-{middle}{seq & 0xFF_FFFF_FFFF:010x}"


@lru_cache(maxsize=10_000)
def _middle(account_id: str) -> str:
    """The version, the variant, and 34 bits that tell the account from others."""
    bits = int.from_bytes(hashlib.sha256(account_id.encode()).digest()[:5], "big")
    return f"7{bits >> 28:03x}-{0x8000 | bits >> 14 & 0x3FFF:04x}-{bits >> 6 & 0xFF:02x}"


def _uuid7(now: datetime, entropy: bytes) -> str:
    milliseconds = to_epoch_us(now) // 1000
    bits = int.from_bytes(entropy, "big")
    value = milliseconds << 80 | 0x7 << 76 | (bits >> 68) << 64 | 0b10 << 62 | bits & (1 << 62) - 1
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
