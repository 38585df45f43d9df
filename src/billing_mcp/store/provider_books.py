"""Owns the books of the embedded test provider: what it keeps, what it has answered, what it still has to tell.

What is in a body is the provider's own affair. It writes here in transactions of its own, never in one of ours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, delete, func, insert, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.store.among import Only, among
from billing_mcp.store.message_tables import SecretRow
from billing_mcp.store.provider_tables import ProviderAnswerRow, ProviderObjectRow, ProviderWebhookRow
from billing_mcp.store.tables import table

Kind = Literal["customer", "method", "setup", "payment"]

_OBJECTS = table(ProviderObjectRow)
_ANSWERS = table(ProviderAnswerRow)
_WEBHOOKS = table(ProviderWebhookRow)
_SECRETS = table(SecretRow)
_O, _A, _W = _OBJECTS.c, _ANSWERS.c, _WEBHOOKS.c


@dataclass(frozen=True, slots=True)
class Entry:
    """An object at the provider. `due_at` is when the next thing happens to it by itself."""

    account_id: str
    object_id: str
    kind: Kind
    created_at: datetime
    body: Mapping[str, Any]
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PendingWebhook:
    """A webhook that is to be delivered from a moment on, until it has been."""

    account_id: str
    delivery_id: str
    due_at: datetime
    body: str


class ProviderBooks:
    """The test provider's books, within one transaction."""

    def __init__(self, connection: AsyncConnection, only: Only = None) -> None:
        self._connection = connection
        self._only = only

    async def secret(self) -> str:
        """What its webhooks are signed with."""
        named = select(_SECRETS.c.value).where(_SECRETS.c.name == "test_provider")
        return str((await self._connection.execute(named)).scalar_one())

    async def lock(self, account_id: str) -> None:
        """Wait until nobody else changes what belongs to an account. On SQLite the only writer is alone anyway."""
        if self._connection.dialect.name == "postgresql":
            digest = hashlib.sha256(f"provider\n{account_id}".encode()).digest()
            number = int.from_bytes(digest[:8], "big", signed=True)
            await self._connection.execute(select(func.pg_advisory_xact_lock(number)))

    async def find(self, object_id: str, kind: Kind) -> Entry | None:
        """The object with an id."""
        named = select(_OBJECTS).where((_O.object_id == object_id) & (_O.kind == kind))
        row = (await self._connection.execute(named)).first()
        return None if row is None else _entry(row)

    async def put(self, entry: Entry) -> None:
        """Keep an object as it is now."""
        changing = {
            "due_at_us": None if entry.due_at is None else to_epoch_us(entry.due_at),
            "body_json": json.dumps(dict(entry.body), sort_keys=True),
        }
        values = {
            "account_id": entry.account_id,
            "object_id": entry.object_id,
            "kind": entry.kind,
            "created_at_us": to_epoch_us(entry.created_at),
            **changing,
        }
        dialect = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        new = dialect.insert(_OBJECTS).values(**values)
        await self._connection.execute(
            new.on_conflict_do_update(index_elements=[_O.account_id, _O.object_id], set_=changing)
        )

    async def remove(self, object_id: str) -> None:
        """Forget an object."""
        await self._connection.execute(delete(_OBJECTS).where(_O.object_id == object_id))

    async def due(self, now: datetime, *, limit: int) -> list[Entry]:
        """Up to `limit` objects to which something has to happen, those that wait longest first."""
        due = (_O.due_at_us <= to_epoch_us(now)) & among(_O.account_id, self._only)
        waiting = select(_OBJECTS).where(due).order_by(_O.due_at_us).limit(limit)
        return [_entry(row) for row in await self._connection.execute(waiting)]

    async def payments(
        self, since: datetime, until: datetime, *, after: Entry | None = None, limit: int
    ) -> list[Entry]:
        """Up to `limit` payments that were created in a half-open span, oldest first, from one that was seen on."""
        within = (
            (_O.kind == "payment") & (_O.created_at_us >= to_epoch_us(since)) & (_O.created_at_us < to_epoch_us(until))
        )
        if after is not None:
            within &= tuple_(_O.created_at_us, _O.object_id) > tuple_(to_epoch_us(after.created_at), after.object_id)
        found = select(_OBJECTS).where(within).order_by(_O.created_at_us, _O.object_id).limit(limit)
        return [_entry(row) for row in await self._connection.execute(found)]

    async def answer(self, account_id: str, key: str) -> tuple[str, Any] | None:
        """The digest of what was asked under a key, and what was answered."""
        kept = select(_A.asked_sha256, _A.answer_json).where((_A.account_id == account_id) & (_A.key == key))
        row = (await self._connection.execute(kept)).one_or_none()
        return None if row is None else (row.asked_sha256, json.loads(row.answer_json))

    async def keep_answer(self, account_id: str, key: str, asked_sha256: str, answer: Any) -> None:
        """Answer the same under this key from now on."""
        values = {"account_id": account_id, "key": key, "asked_sha256": asked_sha256, "answer_json": json.dumps(answer)}
        await self._connection.execute(insert(_ANSWERS).values(**values))

    async def add_webhook(self, webhook: PendingWebhook) -> None:
        """Have a webhook delivered."""
        values = {
            "account_id": webhook.account_id,
            "delivery_id": webhook.delivery_id,
            "due_at_us": to_epoch_us(webhook.due_at),
            "body_json": webhook.body,
        }
        await self._connection.execute(insert(_WEBHOOKS).values(**values))

    async def due_webhooks(self, now: datetime, *, limit: int) -> list[PendingWebhook]:
        """Up to `limit` webhooks that are due, in the order in which they are."""
        waiting = (_W.due_at_us <= to_epoch_us(now)) & among(_W.account_id, self._only)
        due = select(_WEBHOOKS).where(waiting).order_by(_W.due_at_us, _W.delivery_id)
        return [
            PendingWebhook(row.account_id, row.delivery_id, from_epoch_us(row.due_at_us), row.body_json)
            for row in await self._connection.execute(due.limit(limit))
        ]

    async def remove_webhook(self, account_id: str, delivery_id: str) -> None:
        """It has been delivered."""
        named = (_W.account_id == account_id) & (_W.delivery_id == delivery_id)
        await self._connection.execute(delete(_WEBHOOKS).where(named))


def _entry(row: Row[Any]) -> Entry:
    return Entry(
        account_id=row.account_id,
        object_id=row.object_id,
        kind=row.kind,
        created_at=from_epoch_us(row.created_at_us),
        body=json.loads(row.body_json),
        due_at=None if row.due_at_us is None else from_epoch_us(row.due_at_us),
    )
