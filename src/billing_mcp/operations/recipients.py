"""Owns who a message goes to: how addresses are written, and the keyed hashes that are kept instead of them."""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.pricing import Channel

if TYPE_CHECKING:
    from billing_mcp.store.store import Transaction

RECIPIENTS_KEY = "recipients"
"""The name of the server's key for its hashes."""

MAX_ADDRESS_CHARS = 254
"""RFC 5321, 4.5.3.1.3: a path has 256 octets, two of them its brackets."""

_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
"""E.164: a country code and at most 15 digits in all."""
_PUNCTUATION = re.compile(r"[\s().\-/]")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s]+")


def normalised(channel: Channel, address: str, *, field: str = "to") -> str:
    """The one way in which an address is written. Raises InvalidArgument for what is none."""
    if channel == "email":
        text = address.strip().casefold()
        if len(text) <= MAX_ADDRESS_CHARS and text.isprintable() and _EMAIL.fullmatch(text):
            return text
        kind, example = "an email address", "ada@example.com"
    else:
        text = _PUNCTUATION.sub("", address)
        text = f"+{text[2:]}" if text.startswith("00") else text
        if _PHONE.fullmatch(text):
            return text
        kind, example = "a phone number in international form", "+4915112345678"
    raise InvalidArgument(f"{field}: {ascii(address)[:60]} is not {kind}", field=field, hint=f"Write it as {example}.")


class RecipientHash:
    """Hashes with the server's own key: two are the same only for the same account and the same recipient."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def recipient(self, account_id: str, channel: Channel, address: str) -> str:
        """Who it is, of a normalised address: the same for all channels that reach it."""
        kind = "email" if channel == "email" else "phone"
        return self._of("recipient", account_id, kind, address)

    def thread(self, account_id: str, sender: str, address: str) -> str:
        """What an agent and a user write each other."""
        return self._of("thread", account_id, sender, address)

    def content(self, text: str) -> str:
        """What tells one text from another."""
        return self._of("content", text)

    def _of(self, *parts: str) -> str:
        text = "\x1f".join(parts).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, text, "sha256")[:16].hex()


async def recipient_hash(tx: Transaction) -> RecipientHash:
    """The hashes of the recipients in this database."""
    return RecipientHash(await tx.secrets.get(RECIPIENTS_KEY))
