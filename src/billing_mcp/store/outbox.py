"""Owns the outbox: events written with the change they tell of, delivered after it commits."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import to_epoch_us
from billing_mcp.domain.events import Event
from billing_mcp.domain.ids import new_id
from billing_mcp.store.tables import OutboxRow, table

_OUTBOX = table(OutboxRow)


class Outbox:
    """Events, within one transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    async def add(self, event: Event) -> None:
        """Tell the world of it once this transaction has committed."""
        values = {
            "account_id": event.account_id,
            "event_id": new_id(self._now),
            "event": event.event,
            "payload_json": json.dumps(event.payload, sort_keys=True),
            "created_at_us": to_epoch_us(self._now),
            "due_at_us": to_epoch_us(self._now),
        }
        await self._connection.execute(insert(_OUTBOX).values(**values))

    async def of(self, account_id: str) -> list[Event]:
        """The events of an account, oldest first."""
        c = _OUTBOX.c
        rows = await self._connection.execute(select(_OUTBOX).where(c.account_id == account_id).order_by(c.event_id))
        return [Event(row.account_id, row.event, json.loads(row.payload_json)) for row in rows]
