"""Owns stored API keys: a prefix to find one by and the SHA-256 of its secret, never the secret."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Select, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.store.reading.fetch import fetch
from billing_mcp.store.tables import KeyRow, table

_KEYS = table(KeyRow)
_KEY = select(_KEYS).where(_KEYS.c.prefix == bindparam("prefix"))


KeyKind = Literal["agent", "platform"]


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key and what it grants. One of the platform's has no accounts or permissions: it is not an agent's."""

    key_id: str
    name: str
    prefix: str
    secret_sha256: str
    permissions: tuple[str, ...]
    account_ids: tuple[str, ...]
    read_only: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    kind: KeyKind = "agent"
    default_account_id: str | None = None


class Keys:
    """API keys, within one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, key: KeyRecord) -> None:
        """Store a new key."""
        values: dict[str, Any] = {
            "key_id": key.key_id,
            "name": key.name,
            "prefix": key.prefix,
            "secret_sha256": key.secret_sha256,
            "permissions_json": json.dumps(key.permissions),
            "account_ids_json": json.dumps(key.account_ids),
            "read_only": key.read_only,
            "created_at_us": to_epoch_us(key.created_at),
            "expires_at_us": to_epoch_us(key.expires_at) if key.expires_at else None,
            "revoked_at_us": None,
            "kind": key.kind,
            "default_account_id": key.default_account_id,
        }
        await self._connection.execute(insert(_KEYS).values(**values))

    async def by_prefix(self, prefix: str) -> KeyRecord | None:
        """The key with this prefix."""
        (rows,) = await fetch(self._connection, _KEY, prefix=prefix)
        return _record(rows[0]) if rows else None

    async def all(self) -> list[KeyRecord]:
        """Every key, oldest first."""
        return await self._select(select(_KEYS).order_by(_KEYS.c.created_at_us, _KEYS.c.key_id))

    async def page(self, *, beyond: str | None, newest_first: bool, limit: int) -> list[KeyRecord]:
        """Up to `limit` keys of agents by their ids, which are in order of time; `beyond` is the last one seen."""
        key_id = _KEYS.c.key_id
        statement = select(_KEYS).where(_KEYS.c.kind == "agent").limit(limit)
        if beyond is not None:
            statement = statement.where(key_id < beyond if newest_first else key_id > beyond)
        return await self._select(statement.order_by(key_id.desc() if newest_first else key_id.asc()))

    async def revoke(self, prefix: str, now: datetime, *, kind: KeyKind | None = None) -> bool:
        """Revoke a key that is not revoked yet, and of that kind if one is given; False if there is none."""
        live = (_KEYS.c.prefix == prefix) & _KEYS.c.revoked_at_us.is_(None)
        if kind is not None:
            live &= _KEYS.c.kind == kind
        result = await self._connection.execute(update(_KEYS).where(live).values(revoked_at_us=to_epoch_us(now)))
        return result.rowcount == 1

    async def _select(self, statement: Select[Any]) -> list[KeyRecord]:
        return [_record(row) for row in await self._connection.execute(statement)]


def _record(row: Any) -> KeyRecord:
    return KeyRecord(
        key_id=row.key_id,
        name=row.name,
        prefix=row.prefix,
        secret_sha256=row.secret_sha256,
        permissions=tuple(json.loads(row.permissions_json)),
        account_ids=tuple(json.loads(row.account_ids_json)),
        read_only=row.read_only,
        created_at=from_epoch_us(row.created_at_us),
        expires_at=from_epoch_us(row.expires_at_us) if row.expires_at_us else None,
        revoked_at=from_epoch_us(row.revoked_at_us) if row.revoked_at_us else None,
        kind=row.kind,
        default_account_id=row.default_account_id,
    )
