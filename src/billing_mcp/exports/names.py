"""Owns how any name or text is written in Beancount, whose account names are letters, digits and hyphens."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_LONGEST = 40
_PLAIN_ID = re.compile("[a-z0-9-]+")
_PLAIN_PROVIDER = re.compile("[a-z0-9][a-z0-9_]*")


def customer_part(name: str, account_id: str) -> str:
    """A customer's part of account names: the name for people, and the id, so that no two customers have the same."""
    exact = account_id if _PLAIN_ID.fullmatch(account_id) else _digest(account_id)
    return f"{_part(name) or 'Customer'}-{exact}"


def provider_part(provider: str) -> str:
    """A provider's part of account names: where it cannot say the whole name it has a digest of it."""
    if _PLAIN_PROVIDER.fullmatch(provider):
        return provider.capitalize().replace("_", "-")
    return f"{_part(provider) or 'Other'}-{_digest(provider)}"


def quoted(text: str) -> str:
    """A text between quotation marks, in one line: a space stands for what cannot be printed."""
    line = text if text.isprintable() else "".join([c if c.isprintable() else " " for c in text])
    return '"' + line.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _part(text: str) -> str:
    """As much of a text as an account name allows, which begins with a capital letter or a digit; perhaps nothing."""
    kept = [c if _is_letter_or_digit(c) else " " for c in unicodedata.normalize("NFKC", text)]
    part = "-".join("".join(kept).split())[:_LONGEST].rstrip("-")
    first = part[:1].upper()
    if not part or (len(first) == 1 and unicodedata.category(first) in ("Lu", "Nd")):
        return first + part[1:]
    return f"X{part}"


def _is_letter_or_digit(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] == "L" or category == "Nd"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]
