"""Owns links to documents: one opens a single document for a short time, and needs no credential.

What it names and until when is signed with a key of the database's own: whoever changes a character of it has
another text that nobody signed, and a link of another database opens nothing here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from billing_mcp.domain.errors import PermissionDenied
from billing_mcp.domain.invoices import Invoice

DOCUMENTS_KEY = "documents"
"""The name of the secret that links are signed with."""

_TEXT = re.compile("[A-Za-z0-9_-]{76}")
"""57 bytes: each of its characters counts, so no other text says the same."""
_ACCOUNT, _SEQ, _EXPIRES = slice(0, 16), slice(16, 20), slice(20, 25)
_NAMED_BYTES = 25
_ABOUT = b"billing-mcp link to an invoice\0"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_HINT = "Ask for a new one: billing.invoices.get has it as download_url."


@dataclass(frozen=True, slots=True)
class Links:
    """Where links lead, and for how long they are good."""

    below: str
    valid_s: int

    def signer(self, key: bytes, now: datetime) -> LinkSigner:
        """What makes links at a moment: at the same one, the same."""
        return LinkSigner(self.below, key, (now - _EPOCH) // _SECOND + self.valid_s)


@dataclass(frozen=True, slots=True)
class LinkSigner:
    """Makes links that expire at a moment, in seconds since 1970."""

    below: str
    key: bytes
    expires_s: int

    def url(self, invoice: Invoice) -> str:
        """The link to an invoice as PDF."""
        account = bytes.fromhex(invoice.account_id.replace("-", ""))
        named = account + invoice.invoice_seq.to_bytes(4, "big") + self.expires_s.to_bytes(5, "big")
        return f"{self.below}/{base64.urlsafe_b64encode(named + _signature(self.key, named)).decode()}.pdf"


@dataclass(frozen=True, slots=True)
class LinkedInvoice:
    """The invoice that a good link names."""

    account_id: str
    invoice_seq: int


def open_link(key: bytes | None, signed: str, now: datetime) -> LinkedInvoice:
    """The invoice behind what stands in a link before its `.pdf`. Without a key no link is good.

    Raises PermissionDenied with code `invalid_link` or, if it was good once, `link_expired`.
    """
    whole = base64.urlsafe_b64decode(signed) if _TEXT.fullmatch(signed) else b""
    named, signature = whole[:_NAMED_BYTES], whole[_NAMED_BYTES:]
    if not whole or key is None or not hmac.compare_digest(signature, _signature(key, named)):
        raise PermissionDenied("this link was not made by this server", code="invalid_link", hint=_HINT)
    if (now - _EPOCH) // _SECOND >= int.from_bytes(named[_EXPIRES], "big"):
        raise PermissionDenied("this link was good for a short time, which is over", code="link_expired", hint=_HINT)
    hexes = named[_ACCOUNT].hex()
    account_id = "-".join((hexes[:8], hexes[8:12], hexes[12:16], hexes[16:20], hexes[20:]))
    return LinkedInvoice(account_id, int.from_bytes(named[_SEQ], "big"))


def _signature(key: bytes, named: bytes) -> bytes:
    return hmac.new(key, _ABOUT + named, hashlib.sha256).digest()
