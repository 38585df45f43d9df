"""Owns moving accounts to other prices of the plan that they are on: what the platform does, and agents never."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.clock import Clock, iso, start_of
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.events import Event
from billing_mcp.domain.plan_migration import Migration, MigrationStatus, migrate
from billing_mcp.domain.plan_terms import Plan, PlanId

if TYPE_CHECKING:
    from billing_mcp.store.store import Store, Transaction

Progress = Callable[[int, int], None]
_TOGETHER = 50
"""So many accounts are moved in one transaction: others wait for them no longer than that takes."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What became of an account."""

    account_id: str
    status: MigrationStatus
    on: date
    previous_version: str | None


class PlanMigrations:
    """Moves accounts to other prices, a few in each transaction; to do it again does nothing more."""

    def __init__(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        self._store = store
        self._catalog = catalog
        self._clock = clock

    async def run(
        self,
        plan_id: PlanId,
        version: str,
        *,
        on: date | None = None,
        account_id: str | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> list[Migrated]:
        """Move all accounts on a plan, or one, to a version from a day on; what became of each, by its id.

        By default each is moved when what it pays for ends. Raises InvalidArgument, NotFound.
        """
        to = self._terms(plan_id, version)
        today = self._clock().date()
        if on is not None and on < today:
            raise InvalidArgument(
                f"{on.isoformat()} is in the past; today is {today.isoformat()} (UTC)",
                code="effective_date_in_past",
                field="on",
                hint="What was used before today stays at the prices that it was used at.",
            )
        ids = [account_id] if account_id else await self._accounts_on(plan_id)
        found: list[Migrated] = []
        for some in _cut(ids):
            now = self._clock()
            async with self._store.read(now) if dry_run else self._store.write(now) as tx:
                found += [await migrate_account(tx, self._catalog, each, to, on=on, dry_run=dry_run) for each in some]
            if progress is not None:
                progress(len(found), len(ids))
        return found

    def _terms(self, plan_id: PlanId, version: str) -> Plan:
        to = self._catalog.plans.named(plan_id, version)
        if to is None:
            versions = ", ".join(each.version for each in self._catalog.plans.versions[plan_id])
            raise InvalidArgument(
                f"{plan_id} has no version {ascii(version)[:80]}", field="to", hint=f"The catalog has {versions}."
            )
        return to

    async def _accounts_on(self, plan_id: PlanId) -> list[str]:
        async with self._store.read(self._clock()) as tx:
            return await tx.subscriptions.accounts_on(plan_id)


async def migrate_account(
    tx: Transaction, catalog: Catalog, account_id: str, to: Plan, *, on: date | None, dry_run: bool = False
) -> Migrated:
    """Move one account from a day on, or only tell what would become of it. Raises NotFound."""
    if not dry_run:
        await tx.accounts.get(account_id, lock=True)
    state = await tx.states.get(account_id)
    today = tx.now.date()
    if state.subscription is None or state.record.status == "closed":
        return Migrated(account_id, "leaves", on or today, None)
    made = migrate(state.subscription, catalog.plans, to, on=on, today=today)
    if made.status == "migrated" and not dry_run:
        await tx.subscriptions.save(made.subscription)
        await tx.outbox.add(_repriced(account_id, made, to))
    return Migrated(account_id, made.status, made.on, made.previous_version)


def _repriced(account_id: str, made: Migration, to: Plan) -> Event:
    payload = {
        "plan_id": to.plan_id,
        "previous_version": made.previous_version,
        "version": to.version,
        "effective_at": iso(start_of(made.on)),
    }
    return Event(account_id, "billing.plan.repriced", payload)


def migrated_item(made: Migrated) -> dict[str, Any]:
    """What became of an account, as people and machines read it."""
    return {
        "account_id": made.account_id,
        "status": made.status,
        "on": made.on.isoformat(),
        "previous_version": made.previous_version,
    }


def _cut(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(ids), _TOGETHER):
        yield ids[first : first + _TOGETHER]
