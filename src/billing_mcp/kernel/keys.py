"""Owns API keys: 256 random bits, shown once; kept as a prefix to find them and a SHA-256.

An agent's key reads `bmcp_<prefix>_<secret>`, the platform's `bmpk_<prefix>_<secret>`. A plain
hash is enough for a secret of 256 random bits: there is nothing to guess, so a slow hash would
only slow us down.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime

from billing_mcp.domain.clock import Clock
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


_Asking = asyncio.Future[Principal | Platform]


class Keyring:
    """Tells who has a key, by a look at the database each time: a revocation holds from the next request on.

    Keys that are asked for while a look is under way are looked up together, in the next one.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._wanted: dict[str, list[_Asking]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def holder_of(self, text: str) -> Principal | Platform:
        """Who has a key. Raises Unauthenticated: invalid_key, key_revoked, key_expired."""
        asking: _Asking = asyncio.get_running_loop().create_future()
        self._wanted.setdefault(text, []).append(asking)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        return await asking

    async def _look(self) -> None:
        try:
            while self._wanted:
                await asyncio.sleep(0)  # who comes in the same moment is served by the same look
                wanted, self._wanted = self._wanted, {}
                await self._find(wanted)
        finally:
            self._looking = None

    async def _find(self, wanted: dict[str, list[_Asking]]) -> None:
        now = self._clock()
        try:
            async with self._store.read(now, single=len(wanted) == 1) as tx:
                records = {text: await tx.keys.by_prefix(_prefix_of(text)) for text in wanted}
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            for asking in wanted.values():
                _tell(asking, error)
            return
        for text, asking in wanted.items():
            try:
                _tell(asking, _holder_of(records[text], text, now))
            except Exception as error:  # noqa: BLE001 - one that cannot be read must not keep the others waiting
                _tell(asking, error)


def _tell(asking: Iterable[_Asking], found: Principal | Platform | Exception) -> None:
    for each in asking:
        if each.done():
            continue  # the caller has gone away
        if isinstance(found, Exception):
            each.set_exception(found)
        else:
            each.set_result(found)


def _prefix_of(text: str) -> str:
    """What a key is found by; of what is no key, what finds none."""
    mark, _, rest = text.partition("_")
    return rest.partition("_")[0] if mark in _MARKS.values() else ""


def _holder_of(key: KeyRecord | None, text: str, now: datetime) -> Principal | Platform:
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
