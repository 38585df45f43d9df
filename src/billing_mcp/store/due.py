"""Owns when anything falls due by time alone, and what others have begun of it: all that a worker does, in one look.

Whatever a worker finds or takes by a moment is listed here with its column, or a test clock would pass it by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ScalarSelect,
    Select,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import KeyedColumnElement

from billing_mcp.domain.advancing import Due
from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.store.among import Only, among
from billing_mcp.store.cycle_tables import BillingCycleRow
from billing_mcp.store.payment_tables import BalanceCheckRow, TopUpRow
from billing_mcp.store.provider_tables import ProviderObjectRow, ProviderWebhookRow
from billing_mcp.store.tables import AccountRow, HoldRow, OutboxRow, table
from billing_mcp.store.webhook_tables import WebhookEndpointRow

_ACCOUNTS = table(AccountRow).c
_CYCLES = table(BillingCycleRow).c
_HOLDS = table(HoldRow).c
_TOPUPS = table(TopUpRow).c
_CHECKS = table(BalanceCheckRow).c
_OBJECTS = table(ProviderObjectRow).c
_TOLD = table(ProviderWebhookRow).c
_OUTBOX = table(OutboxRow)
_ENDPOINTS = table(WebhookEndpointRow)
# Written out, so that every plan can use the indexes that have these rows only.
_OPEN = _HOLDS.status == literal_column("'open'")
_WAITING = _OUTBOX.c.status == literal_column("'waiting'")


_NOW_US = bindparam("now_us", type_=BigInteger)


@dataclass(frozen=True, slots=True)
class _Source:
    """A column of moments at which something is due, and which rows count."""

    at_us: KeyedColumnElement[int]
    counts: ColumnElement[bool]

    def by_now(self) -> ColumnElement[bool]:
        """Whether any is due."""
        return exists(select(self.at_us).where(self.counts & (self.at_us <= _NOW_US)))

    def after_now(self) -> ScalarSelect[Any]:
        """The first that will be."""
        return select(func.min(self.at_us)).where(self.counts & (self.at_us > _NOW_US)).scalar_subquery()


class DueDates:
    """What falls due, within one transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime, only: Only = None) -> None:
        self._connection = connection
        self._now_us = to_epoch_us(now)
        self._only = only

    async def look(self, topics: frozenset[str]) -> Due:
        """What is due by now, and when the next is, for a worker that knows these topics of the outbox."""
        looking = _looking(topics, self._only)
        (row,) = (await self._connection.execute(looking, {"now_us": self._now_us})).all()
        return Due(
            by_now=bool(row.by_now),
            begun_elsewhere=bool(row.begun_elsewhere),
            dated=_first(row[2:-_QUEUES]),
            queued=_first(row[-_QUEUES:]),
        )

    async def take_over(self, topics: frozenset[str]) -> None:
        """Make due now what somebody has begun and not ended: it may be done twice, as by any worker that is late."""
        for changed, held in zip((_OUTBOX, _ENDPOINTS), _held(topics, self._only), strict=True):
            again = update(changed).where(held).values(lease=None, due_at_us=self._now_us)
            await self._connection.execute(again, {"now_us": self._now_us})


@lru_cache(maxsize=64)
def _looking(topics: frozenset[str], only: Only) -> Select[Any]:
    """The look of `DueDates.look`: to put it together takes longer than the look."""
    sources = [*_dated(only), *_queued(topics, only)]
    return select(
        or_(*(each.by_now() for each in sources)).label("by_now"),
        or_(*(exists().where(held) for held in _held(topics, only))).label("begun_elsewhere"),
        *(each.after_now() for each in sources),
    )


def _dated(only: Only) -> Iterator[_Source]:
    """What has its date by itself."""
    yield _Source(_CYCLES.next_due_us, among(_CYCLES.account_id, only))
    yield _Source(_ACCOUNTS.dunning_due_us, among(_ACCOUNTS.account_id, only))
    yield _Source(_HOLDS.expires_at_us, and_(_OPEN, among(_HOLDS.account_id, only)))
    yield _Source(_TOPUPS.check_at_us, among(_TOPUPS.account_id, only))
    yield _Source(_CHECKS.due_at_us, among(_CHECKS.account_id, only))
    yield _Source(_OBJECTS.due_at_us, among(_OBJECTS.account_id, only))
    yield _Source(_TOLD.due_at_us, among(_TOLD.account_id, only))


_QUEUES = 2


def _queued(topics: frozenset[str], only: Only) -> Iterator[_Source]:
    """What waits for a worker, or for another try: the outbox and webhooks' endpoints."""
    rows = _OUTBOX.c
    yield _Source(rows.due_at_us, and_(_WAITING, rows.event.in_(sorted(topics)), among(rows.account_id, only)))
    yield _Source(_ENDPOINTS.c.due_at_us, among(_ENDPOINTS.c.account_id, only))


def _held(topics: frozenset[str], only: Only) -> Iterator[ColumnElement[bool]]:
    """What of either somebody has a lease on that has not run out."""
    for source, rows in zip(_queued(topics, only), (_OUTBOX, _ENDPOINTS), strict=True):
        yield and_(rows.c.lease.is_not(None), source.at_us > _NOW_US, source.counts)


def _first(moments_us: Sequence[int | None]) -> datetime | None:
    least = min((each for each in moments_us if each is not None), default=None)
    return None if least is None else from_epoch_us(least)
