"""Owns stored alerts and automatic reloads, and what makes somebody look at a balance, within one transaction."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Table, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.alerts import Threshold
from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.reloads import AutoReload
from billing_mcp.store.among import Only, among
from billing_mcp.store.changes import ChangeLog, SettingChange
from billing_mcp.store.payment_tables import AlertsRow, AutoReloadRow, BalanceCheckRow
from billing_mcp.store.reading.fetch import fetch
from billing_mcp.store.tables import WalletRow, table

_RELOADS = table(AutoReloadRow)
_ALERTS = table(AlertsRow)
_CHECKS = table(BalanceCheckRow)
_WALLETS = table(WalletRow)
RELOAD = select(_RELOADS).where(_RELOADS.c.account_id == bindparam("account_id"))
"""The automatic reload of an account, by `account_id`."""
ALERTS = select(_ALERTS).where(_ALERTS.c.account_id == bindparam("account_id"))
"""The alerts of an account, by `account_id`."""
_MOMENTS = ("rests_until", "last_failed_at")


@dataclass(frozen=True, slots=True)
class Alerts:
    """The thresholds of an account, and for how long a crossing that was told is not told again."""

    account_id: str
    cooldown: timedelta
    thresholds: tuple[Threshold, ...] = ()


class Watches:
    """What accounts want to be done, and to hear, when their balance falls."""

    def __init__(self, connection: AsyncConnection, changes: ChangeLog, only: Only = None) -> None:
        self._connection = connection
        self._changes = changes
        self._only = only

    async def reload(self, account_id: str) -> AutoReload:
        """The automatic reload of an account; one that was never set is off."""
        (rows,) = await fetch(self._connection, RELOAD, account_id=account_id)
        return _reload(rows[0]) if rows else AutoReload(account_id)

    async def save_reload(self, reload: AutoReload) -> None:
        """Store an automatic reload."""
        values = {each.name: getattr(reload, each.name) for each in fields(AutoReload)}
        for name in _MOMENTS:
            moment = values.pop(name)
            values[f"{name}_us"] = None if moment is None else to_epoch_us(moment)
        await self._put(_RELOADS, values)

    async def alerts(self, account_id: str) -> Alerts | None:
        """The alerts of an account; None where none was ever set."""
        (rows,) = await fetch(self._connection, ALERTS, account_id=account_id)
        return _alerts(rows[0]) if rows else None

    async def save_alerts(self, alerts: Alerts) -> None:
        """Store the alerts of an account."""
        found = [asdict(each) | {"told_at": each.told_at and to_epoch_us(each.told_at)} for each in alerts.thresholds]
        values = {"cooldown_s": int(alerts.cooldown.total_seconds()), "thresholds_json": json.dumps(found)}
        await self._put(_ALERTS, {"account_id": alerts.account_id, **values})

    def note(self, account_id: str, setting: str, before: str | None, after: str | None) -> None:
        """Say what was set, as people read it among effects."""
        self._changes.add(SettingChange(account_id, setting, before, after))

    async def watch(
        self, account_id: str, *, low_micros: int | None, high_micros: int | None, check_at: datetime | None
    ) -> None:
        """Have somebody look at the balance once it leaves a span, or at a moment."""
        span = {"watch_low_micros": low_micros, "watch_high_micros": high_micros}
        await self._connection.execute(update(_WALLETS).where(_WALLETS.c.account_id == account_id).values(**span))
        if check_at is None:
            await self._connection.execute(delete(_CHECKS).where(_CHECKS.c.account_id == account_id))
        else:
            await self._put(_CHECKS, {"account_id": account_id, "due_at_us": to_epoch_us(check_at)})

    async def due_account_ids(self, now: datetime) -> list[str]:
        """The accounts whose balance is due to be looked at, though it has not moved."""
        due = (_CHECKS.c.due_at_us <= to_epoch_us(now)) & among(_CHECKS.c.account_id, self._only)
        found = select(_CHECKS.c.account_id).where(due)
        return sorted((await self._connection.execute(found.limit(500))).scalars())

    async def _put(self, into: Table, values: dict[str, Any]) -> None:
        dialect = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        new = dialect.insert(into).values(**values)
        kept = {name: value for name, value in values.items() if name != "account_id"}
        await self._connection.execute(new.on_conflict_do_update(index_elements=["account_id"], set_=kept))


def _reload(row: Row[Any]) -> AutoReload:
    values = row._asdict()
    for name in _MOMENTS:
        at_us = values.pop(f"{name}_us")
        values[name] = None if at_us is None else from_epoch_us(at_us)
    return AutoReload(**values | {name: bool(values[name]) for name in ("enabled", "paused")})


def _alerts(row: Row[Any]) -> Alerts:
    found = json.loads(row.thresholds_json)
    thresholds = [Threshold(**each | {"told_at": each["told_at"] and from_epoch_us(each["told_at"])}) for each in found]
    return Alerts(row.account_id, timedelta(seconds=row.cooldown_s), tuple(thresholds))
