"""Owns stored subscriptions and the dated counts of what plans charge by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import date, datetime

from sqlalchemy import BindParameter, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.accrual import ComponentCount
from billing_mcp.domain.errors import Refused
from billing_mcp.domain.subscriptions import Phase, Subscription
from billing_mcp.store.changes import ChangeLog, SettingChange
from billing_mcp.store.reading.fetch import fetch
from billing_mcp.store.reading.query import Rows
from billing_mcp.store.tables import ComponentCountRow, SubscriptionPhaseRow, SubscriptionRow, table

_SUBSCRIPTIONS = table(SubscriptionRow)
_PHASES = table(SubscriptionPhaseRow)
_COUNTS = table(ComponentCountRow)
_PHASE = tuple(each.name for each in fields(Phase))
_ACCOUNT_ID: BindParameter[str] = bindparam("account_id")
SUBSCRIPTION = (
    select(_SUBSCRIPTIONS).where(_SUBSCRIPTIONS.c.account_id == _ACCOUNT_ID),
    select(_PHASES).where(_PHASES.c.account_id == _ACCOUNT_ID).order_by(_PHASES.c.starts_on),
)
"""One subscription and its phases, by `account_id`."""
COUNTS = (
    select(_COUNTS)
    .where(_COUNTS.c.account_id == _ACCOUNT_ID)
    .order_by(_COUNTS.c.effective_on, _COUNTS.c.component_type)
)
"""The counts of one account, by `account_id`."""


class Subscriptions:
    """Subscriptions and component counts, within one transaction."""

    def __init__(self, connection: AsyncConnection, changes: ChangeLog, now: datetime) -> None:
        self._connection = connection
        self._changes = changes
        self._today = now.date()

    async def find(self, account_id: str) -> Subscription | None:
        """The subscription of an account, if it ever had one."""
        return subscription_of(*await fetch(self._connection, *SUBSCRIPTION, account_id=account_id))

    async def save(self, subscription: Subscription) -> None:
        """Store the subscription as it is now, and record what changed in it."""
        before = await self.find(subscription.account_id)
        values = {"anchor_day": subscription.anchor_day, "settled_through": subscription.settled_through}
        account_id = subscription.account_id
        if before is None:
            await self._connection.execute(insert(_SUBSCRIPTIONS).values(account_id=account_id, **values))
        else:
            matching = _SUBSCRIPTIONS.c.account_id == account_id
            await self._connection.execute(update(_SUBSCRIPTIONS).where(matching).values(**values))
        await self._save_phases(before, subscription)
        for setting, describe in (("plan", self._plan), ("pending", self._pending), ("prices", self._prices)):
            was, now = describe(before), describe(subscription)
            if was != now:
                self._changes.add(SettingChange(account_id, setting, was, now))
        was, now = self._version(before), self._version(subscription)
        if was != now and self._plan(before) == self._plan(subscription):  # other prices alone
            self._changes.add(SettingChange(account_id, "price_version", was, now))

    async def accounts_on(self, plan_id: str) -> list[str]:
        """Accounts that were, are or will be on a plan."""
        on_plan = select(_PHASES.c.account_id).where(_PHASES.c.plan_id == plan_id).distinct()
        found = await self._connection.execute(on_plan.order_by(_PHASES.c.account_id))
        return list(found.scalars())

    async def counts(self, account_id: str) -> list[ComponentCount]:
        """The dated counts of every component, oldest first."""
        (rows,) = await fetch(self._connection, COUNTS, account_id=account_id)
        return counts_of(rows)

    async def set_count(self, account_id: str, count: ComponentCount) -> None:
        """From a day on there are so many units.

        Raises Refused with code `period_settled` for a day that is already charged.
        """
        subscription = await self.find(account_id)
        if subscription is not None and count.effective_on < subscription.settled_through:
            raise Refused(
                f"days before {subscription.settled_through.isoformat()} are settled",
                code="period_settled",
                hint=f"Date the count {subscription.settled_through.isoformat()} or later.",
            )
        c = _COUNTS.c
        same = (c.account_id == account_id) & (c.component_type == count.component_type)
        await self._connection.execute(delete(_COUNTS).where(same & (c.effective_on == count.effective_on)))
        values = {
            "account_id": account_id,
            "component_type": count.component_type,
            "effective_on": count.effective_on,
            "quantity": count.quantity,
        }
        await self._connection.execute(insert(_COUNTS).values(**values))
        day = count.effective_on.isoformat()
        self._changes.add(SettingChange(account_id, f"{count.component_type} from {day}", None, str(count.quantity)))

    async def _save_phases(self, before: Subscription | None, after: Subscription) -> None:
        old: Sequence[Phase] = before.phases if before else ()
        gone: list[date] = [phase.starts_on for phase in old if phase not in after.phases]
        if gone:
            stale = (_PHASES.c.account_id == after.account_id) & _PHASES.c.starts_on.in_(gone)
            await self._connection.execute(delete(_PHASES).where(stale))
        new = [phase for phase in after.phases if phase not in old]
        if new:
            rows = [{"account_id": after.account_id, **asdict(phase)} for phase in new]
            await self._connection.execute(insert(_PHASES), rows)

    def _plan(self, subscription: Subscription | None) -> str | None:
        phase = subscription.phase_on(self._today) if subscription else None
        return _named(phase) if phase else None

    def _version(self, subscription: Subscription | None) -> str | None:
        phase = subscription.phase_on(self._today) if subscription else None
        return phase.price_version if phase else None

    def _pending(self, subscription: Subscription | None) -> str | None:
        pending = subscription.pending_after(self._today) if subscription else None
        return f"{_named(pending)} from {pending.starts_on.isoformat()}" if pending else None

    def _prices(self, subscription: Subscription | None) -> str | None:
        """The migrations to come."""
        coming = [p for p in subscription.phases if p.migrates and p.starts_on > self._today] if subscription else []
        return ", ".join(f"{p.price_version} from {p.starts_on.isoformat()}" for p in coming) or None


def _named(phase: Phase) -> str:
    """A plan, and how it is paid where that is not by the month."""
    by = " yearly" if phase.billing_period == "yearly" else ""
    return f"{phase.plan_id}{by}" if phase.plan_id else "none"


def subscription_of(rows: Rows, phases: Rows) -> Subscription | None:
    """The subscription that was selected, if there is one."""
    found = tuple(Phase(*(getattr(phase, name) for name in _PHASE)) for phase in phases)
    for row in rows:
        return Subscription(row.account_id, row.anchor_day, row.settled_through, found)
    return None


def counts_of(rows: Rows) -> list[ComponentCount]:
    """The counts that were selected."""
    return [ComponentCount(row.component_type, row.effective_on, row.quantity) for row in rows]
