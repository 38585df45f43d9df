"""Owns the outbox: work that is written with the change that makes it due, and done after that commits.

Whoever takes a row leaves a lease on it, and makes it due again for when the lease ends: what a worker
leaves behind that was killed is taken by the next. Only who has the lease can end or put off the work.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Insert,
    Row,
    and_,
    delete,
    exists,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.events import Event
from billing_mcp.domain.ids import new_id
from billing_mcp.domain.messages import ACCEPTED_EVENT
from billing_mcp.store.among import Only, among
from billing_mcp.store.changes import ChangeLog
from billing_mcp.store.message_tables import MessageRow
from billing_mcp.store.tables import AccountRow, OutboxRow, table

WorkStatus = Literal["waiting", "dead"]

_OUTBOX = table(OutboxRow)
_ACCOUNTS = table(AccountRow)
_MESSAGES = table(MessageRow)
_C = _OUTBOX.c
# Written out, so that every plan can use the indexes that have these rows only.
_WAITING = _C.status == literal_column("'waiting'")
_DEAD = _C.status == literal_column("'dead'")
_AT_A_TIME = 500


@dataclass(frozen=True, slots=True)
class Work:
    """A row of the outbox. `attempts` is how often it was taken; `lease` is whose it is until `due_at`."""

    account_id: str
    event_id: str
    topic: str
    payload: Mapping[str, Any]
    status: WorkStatus
    created_at: datetime
    due_at: datetime
    attempts: int
    lease: str | None
    only_once: str | None
    last_error: str | None
    ended_at: datetime | None


class Outbox:
    """Events and other work, within one transaction."""

    def __init__(self, connection: AsyncConnection, changes: ChangeLog, now: datetime, only: Only = None) -> None:
        self._connection = connection
        self._changes = changes
        self._now = now
        self._now_us = to_epoch_us(now)
        self._only = only

    async def add(self, event: Event) -> None:
        """Tell the world of it once this transaction has committed."""
        payload = json.dumps(event.payload, sort_keys=True)
        row = self._row(event.account_id, event.event, payload)
        event_id = event.event_id or row["event_id"]
        await self._connection.execute(insert(_OUTBOX).values(row | {"event_id": event_id}))
        self._changes.add(replace(event, event_id=event_id))

    async def add_once(self, topic: str, account_ids: Sequence[str]) -> int:
        """Make work on a topic due for each account that has none waiting. Returns for how many.

        Accounts that somebody has locked are left out: whoever adds this adds it again a little later.
        """
        added = 0
        for some in _parts(sorted(account_ids)):
            meant = _ACCOUNTS.c.account_id.in_(some) & among(_ACCOUNTS.c.account_id, self._only)
            free = select(_ACCOUNTS.c.account_id).where(meant)
            locked = free.order_by(_ACCOUNTS.c.account_id).with_for_update(read=True, key_share=True, skip_locked=True)
            found = (await self._connection.execute(locked)).scalars().all()
            if not found:
                continue
            rows = [self._row(account_id, topic, "{}") | {"only_once": topic} for account_id in found]
            new = self._insert_new(rows).returning(_C.event_id)
            added += len((await self._connection.execute(new)).all())
        return added

    async def of(self, account_id: str) -> list[Event]:
        """The events of an account, oldest first."""
        rows = await self._connection.execute(select(_OUTBOX).where(_C.account_id == account_id).order_by(_C.event_id))
        return [Event(row.account_id, row.event, json.loads(row.payload_json), row.event_id) for row in rows]

    async def unsettled(self, topic: str, account_ids: Sequence[str], *, dead_since: datetime) -> set[str]:
        """Those of the accounts that have work on a topic: waiting, or dead since a moment."""
        dead = and_(_DEAD, _C.ended_at_us > to_epoch_us(dead_since))
        found: set[str] = set()
        for some in _parts(account_ids):
            for condition in (and_(_WAITING, _C.only_once == topic), and_(dead, _C.event == topic)):
                named = select(_C.account_id).where(condition & _C.account_id.in_(some))
                found.update((await self._connection.execute(named)).scalars())
        return found

    async def is_due(self, *topics: str) -> bool:
        """Whether any work on one of the topics is due."""
        due = select(_C.event_id).where(self._due(topics)).limit(1)
        return bool((await self._connection.execute(due)).all())

    async def due_topics(self, *topics: str) -> set[str]:
        """Those of the topics on which any work is due."""
        due = select(_C.event).where(self._due(sorted(topics))).distinct()
        return set((await self._connection.execute(due)).scalars())

    async def take(self, *topics: str, lease: str, until: datetime, limit: int) -> list[Work]:
        """Lease up to `limit` pieces of work on the topics that are due: those that waited longest first, by account.

        No two get the same one, and none waits for another.
        """
        free = select(_OUTBOX).where(self._due(topics)).order_by(_C.due_at_us, _C.account_id).limit(limit)
        found = (await self._connection.execute(free.with_for_update(skip_locked=True))).all()
        if not found:
            return []
        named = tuple_(_C.account_id, _C.event_id).in_([(row.account_id, row.event_id) for row in found])
        until_us = to_epoch_us(until)
        change = update(_OUTBOX).where(named).values(lease=lease, due_at_us=until_us, attempts=_C.attempts + 1)
        rows = (await self._connection.execute(change.returning(*_C))).all()
        order = {row.event_id: number for number, row in enumerate(found)}
        return sorted((_work(row) for row in rows), key=lambda work: order[work.event_id])

    async def take_one(self, account_id: str, event_id: str, *, lease: str, until: datetime) -> Work | None:
        """Lease one piece of work that is due, if nobody else has it."""
        named = (_C.account_id == account_id) & (_C.event_id == event_id)
        free = named & _WAITING & (_C.due_at_us <= self._now_us)
        change = update(_OUTBOX).where(free).values(lease=lease, due_at_us=to_epoch_us(until), attempts=_C.attempts + 1)
        return next((_work(row) for row in await self._connection.execute(change.returning(*_C))), None)

    async def withdraw_messages(self, account_id: str, campaign_id: str) -> list[str]:
        """Take the accepted messages of a campaign back that nobody has taken; their ids."""
        m = _MESSAGES.c
        accepted = (m.account_id == account_id) & (m.campaign_id == campaign_id) & (m.status == "accepted")
        named = (_C.account_id == account_id) & _C.event_id.in_(select(m.message_id).where(accepted))
        gone = delete(_OUTBOX).where(named & _WAITING & (_C.event == ACCEPTED_EVENT) & _C.lease.is_(None))
        return sorted((await self._connection.execute(gone.returning(_C.event_id))).scalars())

    async def finish_leased(self, account_id: str, event_id: str, lease: str) -> bool:
        """It is done, by whoever has this lease. False if it is not theirs any more."""
        ours = (_C.account_id == account_id) & (_C.event_id == event_id) & _WAITING & (_C.lease == lease)
        return (await self._connection.execute(delete(_OUTBOX).where(ours))).rowcount == 1

    async def finish(self, work: Work) -> bool:
        """It is done: it and what is dead of the same name leave the outbox. False if it is not ours any more."""
        ours = (await self._connection.execute(delete(_OUTBOX).where(_ours(work)))).rowcount == 1
        if ours:
            await self._forget_dead(work)
        return ours

    async def put_off(self, work: Work, *, until: datetime, error: str) -> bool:
        """Try it again at a moment. False if it is not ours any more."""
        return await self._change(work, due_at_us=to_epoch_us(until), lease=None, last_error=error)

    async def bury(self, work: Work, *, error: str) -> bool:
        """Never try it again by itself; of the same name one stays dead. False if it is not ours any more."""
        ours = await self._change(work, status="dead", lease=None, last_error=error, ended_at_us=self._now_us)
        if ours:
            await self._forget_dead(work)
        return ours

    async def revive(self, event_id: str | None = None) -> int:
        """Make what is dead due now, with all its attempts: the one with this id, or all. Returns how many.

        Of what waits under the same name again, the dead one is deleted instead. Raises NotFound for an id.
        """
        dead = _DEAD if event_id is None else _DEAD & (_C.event_id == event_id)
        other = _OUTBOX.alias()
        waits = (other.c.status == literal_column("'waiting'")) & (other.c.account_id == _C.account_id)
        twin = exists().where(waits & (other.c.only_once == _C.only_once))
        gone = await self._connection.execute(delete(_OUTBOX).where(dead & twin))
        again = (
            update(_OUTBOX).where(dead).values(status="waiting", attempts=0, due_at_us=self._now_us, ended_at_us=None)
        )
        revived = (await self._connection.execute(again)).rowcount + gone.rowcount
        if event_id is not None and not revived:
            raise NotFound(
                f"no dead work has the id {ascii(event_id)[1:-1][:80]}",
                field="event_id",
                hint="What waits is tried by itself. What is dead: billing-mcp outbox list",
            )
        return revived

    async def listed(self, status: WorkStatus | None, *, limit: int) -> list[Work]:
        """Up to `limit` pieces of work of all accounts, oldest first; None is every status."""
        wanted = {"waiting": _WAITING, "dead": _DEAD, None: or_(_WAITING, _DEAD)}[status]
        rows = await self._connection.execute(select(_OUTBOX).where(wanted).order_by(_C.event_id).limit(limit))
        return [_work(row) for row in rows]

    def _due(self, topics: Sequence[str]) -> ColumnElement[bool]:
        # One topic by itself: then the index has its rows in the order in which they are taken.
        named = _C.event == topics[0] if len(topics) == 1 else _C.event.in_(topics)
        return and_(_WAITING, named, _C.due_at_us <= self._now_us, among(_C.account_id, self._only))

    def _insert_new(self, rows: list[dict[str, Any]]) -> Insert:
        if self._connection.dialect.name == "sqlite":
            return sqlite.insert(_OUTBOX).values(rows).on_conflict_do_nothing()
        return postgresql.insert(_OUTBOX).values(rows).on_conflict_do_nothing()

    def _row(self, account_id: str, topic: str, payload_json: str) -> dict[str, Any]:
        return {
            "account_id": account_id,
            "event_id": new_id(self._now),
            "event": topic,
            "payload_json": payload_json,
            "created_at_us": self._now_us,
            "due_at_us": self._now_us,
        }

    async def _change(self, work: Work, **values: Any) -> bool:
        return (await self._connection.execute(update(_OUTBOX).where(_ours(work)).values(**values))).rowcount == 1

    async def _forget_dead(self, work: Work) -> None:
        if work.only_once is not None:
            same = and_(_C.account_id == work.account_id, _C.event == work.topic, _C.only_once == work.only_once)
            others = and_(_DEAD, same, _C.event_id != work.event_id)
            await self._connection.execute(delete(_OUTBOX).where(others))


def _ours(work: Work) -> ColumnElement[bool]:
    named = and_(_C.account_id == work.account_id, _C.event_id == work.event_id)
    return named & _WAITING & (_C.lease == work.lease)


def _parts(account_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (account_ids[start : start + _AT_A_TIME] for start in range(0, len(account_ids), _AT_A_TIME))


def _work(row: Row[Any]) -> Work:
    return Work(
        account_id=row.account_id,
        event_id=row.event_id,
        topic=row.event,
        payload=json.loads(row.payload_json),
        status=row.status,
        created_at=from_epoch_us(row.created_at_us),
        due_at=from_epoch_us(row.due_at_us),
        attempts=row.attempts,
        lease=row.lease,
        only_once=row.only_once,
        last_error=row.last_error,
        ended_at=None if row.ended_at_us is None else from_epoch_us(row.ended_at_us),
    )
