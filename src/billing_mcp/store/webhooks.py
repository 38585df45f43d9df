"""Owns stored webhooks: where accounts hear of events, what is on its way there, and what became of it.

An endpoint is leased as a whole, with what is due on it: so nobody tells it more at a time than is good for it,
however many workers there are, and looking for work costs the same however much waits at one that hangs.
Whatever changes what waits at an endpoint locks its row first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, delete, func, insert, literal_column, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.events import Json
from billing_mcp.domain.ids import derived_id
from billing_mcp.domain.webhooks import Attempt, Delivery, DeliveryStatus, Endpoint, body_of
from billing_mcp.store.among import Only, among
from billing_mcp.store.tables import table
from billing_mcp.store.webhook_tables import WebhookDeliveryRow, WebhookEndpointRow

_ENDPOINTS = table(WebhookEndpointRow)
_DELIVERIES = table(WebhookDeliveryRow)
_E = _ENDPOINTS.c
_D = _DELIVERIES.c
# Written out, so that every plan can use the indexes that have these rows only.
_WAITING = _D.status == literal_column("'waiting'")
_IS_DUE = _E.due_at_us.is_not(None)


@dataclass(frozen=True, slots=True)
class Round:
    """What is due on an endpoint, for whoever has the lease; no other tells it anything meanwhile."""

    endpoint: Endpoint
    deliveries: tuple[Delivery, ...]
    lease: str


class Webhooks:
    """Endpoints and deliveries, within one transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime, only: Only = None) -> None:
        self._connection = connection
        self._now = now
        self._now_us = to_epoch_us(now)
        self._only = only

    async def add(self, endpoint: Endpoint) -> None:
        """Store a new endpoint."""
        await self._connection.execute(insert(_ENDPOINTS).values(**_named(endpoint), **_values(endpoint)))

    async def endpoints(self, account_id: str, *, lock: bool = False) -> list[Endpoint]:
        """All endpoints of an account, oldest first."""
        found = select(_ENDPOINTS).where(_E.account_id == account_id).order_by(_E.endpoint_id)
        rows = await self._connection.execute(found.with_for_update() if lock else found)
        return [_endpoint(row) for row in rows]

    async def endpoint(self, account_id: str, endpoint_id: str, *, lock: bool = False) -> Endpoint:
        """One endpoint. Raises NotFound."""
        found = select(_ENDPOINTS).where(_of(account_id, endpoint_id))
        for row in await self._connection.execute(found.with_for_update() if lock else found):
            return _endpoint(row)
        raise NotFound(f"there is no webhook endpoint {endpoint_id}", field="endpoint_id")

    async def listening(self, account_ids: Sequence[str]) -> set[str]:
        """Those of the accounts that have an endpoint which is told anything."""
        enabled = _E.account_id.in_(account_ids) & (_E.status == "enabled")
        return set((await self._connection.execute(select(_E.account_id).where(enabled).distinct())).scalars())

    async def save(self, endpoint: Endpoint) -> None:
        """Store a change. One that is disabled is told nothing of what waits: that is dead, and can be replayed."""
        values = _values(endpoint)
        if endpoint.status == "disabled":
            values |= {"due_at_us": None, "lease": None}
            await self._bury(endpoint, "endpoint_disabled")
        await self._connection.execute(update(_ENDPOINTS).where(_same(endpoint)).values(**values))

    async def remove(self, endpoint: Endpoint) -> None:
        """Forget an endpoint. What was on its way to it is dead, and can be read for as long as others."""
        await self._bury(endpoint, "endpoint_removed")
        await self._connection.execute(delete(_ENDPOINTS).where(_same(endpoint)))

    async def fan_out(self, account_id: str, event_id: str, event: str, payload: Json, at: datetime) -> None:
        """Put an event on its way to each endpoint that hears of it, and was there when it happened."""
        heard = [each for each in await self.endpoints(account_id, lock=True) if _hears(each, event, at)]
        if not heard:
            return
        body = body_of(event, account_id, payload, at)
        rows = [
            {
                "account_id": account_id,
                "delivery_id": derived_id(at, "delivery", each.endpoint_id, event_id),
                "endpoint_id": each.endpoint_id,
                "event_id": event_id,
                "event": event,
                "body": body,
                "status": "waiting",
                "attempts": 0,
                "due_at_us": self._now_us,
                "log_json": "[]",
                "created_at_us": to_epoch_us(at),
            }
            for each in heard
        ]
        await self._connection.execute(insert(_DELIVERIES), rows)
        for each in heard:
            await self._hurry(each.account_id, each.endpoint_id)

    async def is_due(self, *, failing: bool) -> bool:
        """Whether any endpoint is due, of those whose last attempt failed or of the others."""
        due = select(_E.endpoint_id).where(self._due(failing=failing)).limit(1)
        return bool((await self._connection.execute(due)).all())

    async def take(self, *, failing: bool, lease: str, until: datetime, limit: int, at_once: int) -> list[Round]:
        """Lease up to `limit` endpoints that are due, each with up to `at_once` of its deliveries, the oldest first.

        No two get the same one, and none waits for another.
        """
        free = select(_E.account_id, _E.endpoint_id).where(self._due(failing=failing))
        ordered = free.order_by(_E.due_at_us).limit(limit).with_for_update(skip_locked=True)
        found = [tuple(row) for row in await self._connection.execute(ordered)]
        if not found:
            return []
        named = tuple_(_E.account_id, _E.endpoint_id).in_(found)
        leased = update(_ENDPOINTS).where(named).values(lease=lease, due_at_us=to_epoch_us(until))
        rows = (await self._connection.execute(leased.returning(*_E))).all()
        return [await self._round(row, at_once) for row in sorted(rows, key=lambda row: found.index(tuple(row[:2])))]

    async def holds(self, asked: Round) -> bool:
        """Whether the endpoint is still ours; then it is locked."""
        ours = select(_E.endpoint_id).where(_same(asked.endpoint) & (_E.lease == asked.lease)).with_for_update()
        return bool((await self._connection.execute(ours)).all())

    async def release(self, asked: Round, *, until: datetime | None = None) -> Endpoint | None:
        """Give the endpoint back: it is due when its first delivery is, or at a moment.

        Returns it as it is now, locked; None if it is not ours any more.
        """
        ours = _same(asked.endpoint) & (_E.lease == asked.lease)
        rows = await self._connection.execute(update(_ENDPOINTS).where(ours).values(lease=None).returning(*_E))
        for row in rows:
            due_at_us = to_epoch_us(until) if until else self._first_due(row.account_id, row.endpoint_id)
            await self._connection.execute(update(_ENDPOINTS).where(_same(asked.endpoint)).values(due_at_us=due_at_us))
            return _endpoint(row)
        return None

    async def record(self, deliveries: Sequence[Delivery]) -> None:
        """Store what became of deliveries that waited; before their endpoint is released."""
        for each in deliveries:
            await self._connection.execute(update(_DELIVERIES).where(_this(each) & _WAITING).values(**_told(each)))

    async def delivery(self, account_id: str, delivery_id: str) -> Delivery:
        """One delivery. Raises NotFound."""
        named = (_D.account_id == account_id) & (_D.delivery_id == delivery_id)
        for row in await self._connection.execute(select(_DELIVERIES).where(named)):
            return _delivery(row)
        raise NotFound(f"there is no webhook delivery {delivery_id}", field="delivery_id")

    async def deliveries(
        self,
        account_id: str,
        *,
        endpoint_id: str | None = None,
        status: DeliveryStatus | None = None,
        event: str | None = None,
        beyond: str | None = None,
        newest_first: bool = True,
        limit: int,
    ) -> list[Delivery]:
        """Up to `limit` deliveries of an account by their ids, in order of their events; `beyond` is the last seen."""
        wanted = [_D.account_id == account_id]
        wanted += [_D.endpoint_id == endpoint_id] if endpoint_id else []
        wanted += [_D.status == status] if status else []
        wanted += [_D.event == event] if event else []
        if beyond is not None:
            wanted.append(_D.delivery_id < beyond if newest_first else _D.delivery_id > beyond)
        order = _D.delivery_id.desc() if newest_first else _D.delivery_id.asc()
        rows = await self._connection.execute(select(_DELIVERIES).where(and_(*wanted)).order_by(order).limit(limit))
        return [_delivery(row) for row in rows]

    async def replay(self, delivery: Delivery) -> Delivery:
        """Make a delivery due now, with all its attempts. Its endpoint is locked."""
        again = delivery.replayed(self._now)
        await self._connection.execute(update(_DELIVERIES).where(_this(delivery)).values(**_told(again)))
        await self._hurry(delivery.account_id, delivery.endpoint_id)
        return again

    async def replay_dead(self, account_id: str) -> int:
        """Make all that is dead due now, with all its attempts, where the endpoint is enabled. Returns how much."""
        enabled = [each for each in await self.endpoints(account_id, lock=True) if each.status == "enabled"]
        again = {"status": "waiting", "attempts": 0, "due_at_us": self._now_us, "ended_at_us": None, "last_error": None}
        replayed = 0
        for each in enabled:
            dead = _to(account_id, each.endpoint_id) & (_D.status == "dead")
            replayed += (await self._connection.execute(update(_DELIVERIES).where(dead).values(**again))).rowcount
            await self._hurry(account_id, each.endpoint_id)
        return replayed

    async def oldest_end(self) -> datetime | None:
        """When the delivery ended that ended first."""
        found = select(func.min(_D.ended_at_us)).where(_D.ended_at_us.is_not(None))
        (us,) = (await self._connection.execute(found)).one()
        return None if us is None else from_epoch_us(us)

    async def prune(self, before: datetime, *, limit: int) -> int:
        """Forget up to `limit` deliveries that ended before a moment. Returns how many."""
        old = select(_D.account_id, _D.delivery_id).where(_D.ended_at_us < to_epoch_us(before)).limit(limit)
        found = [tuple(row) for row in await self._connection.execute(old)]
        named = tuple_(_D.account_id, _D.delivery_id).in_(found)
        return (await self._connection.execute(delete(_DELIVERIES).where(named))).rowcount if found else 0

    async def _round(self, row: Row[Any], at_once: int) -> Round:
        due = _to(row.account_id, row.endpoint_id) & _WAITING & (_D.due_at_us <= self._now_us)
        ordered = select(_DELIVERIES).where(due).order_by(_D.due_at_us, _D.delivery_id).limit(at_once)
        deliveries = tuple(_delivery(each) for each in await self._connection.execute(ordered))
        return Round(_endpoint(row), deliveries, row.lease)

    async def _bury(self, endpoint: Endpoint, error: str) -> None:
        waiting = _to(endpoint.account_id, endpoint.endpoint_id) & _WAITING
        dead = {"status": "dead", "last_error": error, "ended_at_us": self._now_us}
        await self._connection.execute(update(_DELIVERIES).where(waiting).values(**dead))

    async def _hurry(self, account_id: str, endpoint_id: str) -> None:
        """It has something that is due now. Whoever has it sees to that when giving it back."""
        sooner = case((_E.due_at_us < self._now_us, _E.due_at_us), else_=self._now_us)
        free = _of(account_id, endpoint_id) & _E.lease.is_(None)
        await self._connection.execute(update(_ENDPOINTS).where(free).values(due_at_us=sooner))

    def _first_due(self, account_id: str, endpoint_id: str) -> Any:
        return select(func.min(_D.due_at_us)).where(_to(account_id, endpoint_id) & _WAITING).scalar_subquery()

    def _due(self, *, failing: bool) -> ColumnElement[bool]:
        standing = _E.failing_since_us.is_not(None) if failing else _E.failing_since_us.is_(None)
        return and_(_IS_DUE, _E.due_at_us <= self._now_us, standing, among(_E.account_id, self._only))


def _hears(endpoint: Endpoint, event: str, at: datetime) -> bool:
    return endpoint.status == "enabled" and endpoint.created_at <= at and endpoint.hears(event)


def _of(account_id: str, endpoint_id: str) -> ColumnElement[bool]:
    return (_E.account_id == account_id) & (_E.endpoint_id == endpoint_id)


def _same(endpoint: Endpoint) -> ColumnElement[bool]:
    return _of(endpoint.account_id, endpoint.endpoint_id)


def _to(account_id: str, endpoint_id: str) -> ColumnElement[bool]:
    return (_D.account_id == account_id) & (_D.endpoint_id == endpoint_id)


def _this(delivery: Delivery) -> ColumnElement[bool]:
    return (_D.account_id == delivery.account_id) & (_D.delivery_id == delivery.delivery_id)


def _named(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "account_id": endpoint.account_id,
        "endpoint_id": endpoint.endpoint_id,
        "created_at_us": to_epoch_us(endpoint.created_at),
    }


def _values(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "url": endpoint.url,
        "events_json": json.dumps(endpoint.events),
        "secret": endpoint.secret,
        "previous_secret": endpoint.previous_secret,
        "previous_until_us": _us(endpoint.previous_until),
        "status": endpoint.status,
        "reason": endpoint.reason,
        "failing_since_us": _us(endpoint.failing_since),
        "changed_at_us": to_epoch_us(endpoint.changed_at),
    }


def _told(delivery: Delivery) -> dict[str, Any]:
    last = delivery.log[-1] if delivery.log else None
    return {
        "status": delivery.status,
        "attempts": delivery.attempts,
        "due_at_us": to_epoch_us(delivery.due_at),
        "last_status": last.status_code if last else None,
        "last_error": delivery.error,
        "log_json": json.dumps(
            [[to_epoch_us(each.at), each.milliseconds, each.status_code, each.error] for each in delivery.log]
        ),
        "ended_at_us": _us(delivery.ended_at),
    }


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else to_epoch_us(moment)


def _at(us: int | None) -> datetime | None:
    return None if us is None else from_epoch_us(us)


def _endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(
        account_id=row.account_id,
        endpoint_id=row.endpoint_id,
        url=row.url,
        events=tuple(json.loads(row.events_json)),
        secret=row.secret,
        previous_secret=row.previous_secret,
        previous_until=_at(row.previous_until_us),
        status=row.status,
        reason=row.reason,
        failing_since=_at(row.failing_since_us),
        created_at=from_epoch_us(row.created_at_us),
        changed_at=from_epoch_us(row.changed_at_us),
    )


def _delivery(row: Row[Any]) -> Delivery:
    log = tuple(Attempt(from_epoch_us(us), ms, status, error) for us, ms, status, error in json.loads(row.log_json))
    return Delivery(
        account_id=row.account_id,
        delivery_id=row.delivery_id,
        endpoint_id=row.endpoint_id,
        event_id=row.event_id,
        event=row.event,
        body=row.body,
        status=row.status,
        attempts=row.attempts,
        due_at=from_epoch_us(row.due_at_us),
        log=log,
        created_at=from_epoch_us(row.created_at_us),
        ended_at=_at(row.ended_at_us),
        error=row.last_error,
    )
