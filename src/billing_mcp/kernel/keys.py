"""Owns API keys: 256 random bits, shown once; kept as a prefix to find them and a SHA-256.

An agent's key reads `bmcp_<prefix>_<secret>`, the platform's `bmpk_<prefix>_<secret>`. A plain
hash is enough for a secret of 256 random bits: there is nothing to guess, so a slow hash would
only slow us down.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime

from billing_mcp.domain.errors import Unauthenticated
from billing_mcp.domain.ids import new_id
from billing_mcp.kernel.principal import Permission, Platform, Principal
from billing_mcp.store.keys import KeyKind, KeyRecord
from billing_mcp.store.store import Store

_MARKS: dict[KeyKind, str] = {"agent": "bmcp", "platform": "bmpk"}
KEY_MARKS = tuple(f"{mark}_" for mark in _MARKS.values())
"""What the text of a key begins with, and no token does."""
_NO_SUCH_KEY = "0" * 64
_NEW_KEY = "Whoever runs the server makes one: billing-mcp keys create NAME --account ACCOUNT_ID."


def mint_key(
    name: str,
    *,
    permissions: Iterable[Permission],
    account_ids: Iterable[str],
    read_only: bool,
    expires_at: datetime | None,
    now: datetime,
    kind: KeyKind = "agent",
    default_account_id: str | None = None,
) -> tuple[str, KeyRecord]:
    """A new key: its text, which is never shown again, and the record to store."""
    prefix = secrets.token_hex(4)
    text = f"{_MARKS[kind]}_{prefix}_{secrets.token_urlsafe(32)}"
    record = KeyRecord(
        key_id=new_id(now),
        name=name,
        prefix=prefix,
        secret_sha256=_sha256(text),
        permissions=tuple(sorted(permissions)),
        account_ids=tuple(account_ids),
        read_only=read_only,
        created_at=now,
        expires_at=expires_at,
        revoked_at=None,
        kind=kind,
        default_account_id=default_account_id,
    )
    return text, record


async def authenticate(store: Store, text: str, now: datetime) -> Principal | Platform:
    """Who has a key. Raises Unauthenticated: invalid_key, key_revoked, key_expired."""
    async with store.read(now) as tx:
        key = await tx.keys.by_prefix(prefix_of(text))
    return holder_of(key, text, now)


def prefix_of(text: str) -> str:
    """What a key is found by; of what is no key, what finds none."""
    mark, _, rest = text.partition("_")
    return rest.partition("_")[0] if mark in _MARKS.values() else ""


def holder_of(key: KeyRecord | None, text: str, now: datetime) -> Principal | Platform:
    """Who has a key, by the record that its prefix finds. Raises what `authenticate` raises."""
    matches = hmac.compare_digest(_sha256(text), key.secret_sha256 if key else _NO_SUCH_KEY)
    if key is None or not matches:
        raise Unauthenticated("this is not a key of this server", code="invalid_key", hint=_NEW_KEY)
    if key.revoked_at is not None:
        raise Unauthenticated("the key has been revoked", code="key_revoked", hint=_NEW_KEY)
    if key.expires_at is not None and key.expires_at <= now:
        raise Unauthenticated("the key has expired", code="key_expired", hint=_NEW_KEY)
    if key.kind == "platform":
        return Platform(key.key_id)
    return Principal(
        principal_id=key.key_id,
        permissions=frozenset(Permission(p) for p in key.permissions),
        account_ids=frozenset(key.account_ids),
        read_only=key.read_only,
        expires_at=key.expires_at,
        default_account_id=key.default_account_id,
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
