"""Owns putting the parts together: a store, a sandbox and an executor that are open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import datetime
from typing import Any

from billing_mcp.catalog.loader import Catalog, load_catalog
from billing_mcp.documents.press import Press
from billing_mcp.domain.alerts import BALANCE_MOVED
from billing_mcp.domain.clock import Clock, system_clock
from billing_mcp.domain.errors import BillingError, PermissionDenied, Unauthenticated
from billing_mcp.kernel.answer import Answer
from billing_mcp.kernel.execution import Executor
from billing_mcp.kernel.keys import Keyring
from billing_mcp.kernel.principal import Permission, Platform, Principal
from billing_mcp.kernel.programs import Request, SingleCall
from billing_mcp.operations import REGISTRY
from billing_mcp.operations.payment_methods import ATTACH
from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.operations.platform_messages import PlatformMessages
from billing_mcp.operations.platform_payments import DETACH, REFUND
from billing_mcp.operations.topup_start import CHARGE
from billing_mcp.payments.embedded import EmbeddedProvider
from billing_mcp.payments.port import Provider
from billing_mcp.payments.providers import open_provider
from billing_mcp.sandbox.pool import Sandbox
from billing_mcp.sandbox.script import ScriptProgram
from billing_mcp.settings import Settings, parse_permissions
from billing_mcp.store.accounts import AccountRecord
from billing_mcp.store.clocks import DatabaseClock, clock_of_database
from billing_mcp.store.engine import TransactionAbortedError, uninterrupted
from billing_mcp.store.observer import NOBODY, Observer
from billing_mcp.store.store import Store
from billing_mcp.worker.charging import ASK, Charging, deliver_webhooks
from billing_mcp.worker.cycle import Cycle, cycle_duty, find_due_cycles
from billing_mcp.worker.dunning import DUN, dun_account, find_due_debts
from billing_mcp.worker.expiry import EXPIRE_HOLDS, expire_holds, find_due_holds
from billing_mcp.worker.followups import FollowUps
from billing_mcp.worker.lane import Duty, Lane, OnJob
from billing_mcp.worker.pruning import prune_platform_requests, prune_webhook_deliveries
from billing_mcp.worker.queues import OutboxQueue, Outcome
from billing_mcp.worker.tiers import JUDGE_MONTHS, find_ended_months, judge_tiers
from billing_mcp.worker.watching import find_due_balances, look_at_moved_balance
from billing_mcp.worker.worker import Worker

LOCAL_PRINCIPAL = "local"
_ACCOUNTS_LISTED = 20


class App:
    """The product, running: what every face calls."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        store: Store,
        sandbox: Sandbox,
        clock: Clock,
        provider: Provider,
        observer: Observer = NOBODY,
    ) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self.catalog = catalog
        self.holds = PlatformHolds(store, clock)
        self.messages = PlatformMessages(store, clock, catalog.book)
        self.provider = provider
        self.charging = Charging(store, catalog, clock, provider)
        self.followups = follow_ups(self.charging, store, clock, settings)
        self.executor = Executor(
            store,
            REGISTRY,
            self.catalog,
            clock,
            settings.limits(),
            observer,
            after_commit=self.followups.of,
            links=settings.links(),
        )
        self.press = Press.with_logo(settings.invoice_logo)
        self.observer = observer
        self._sandbox = sandbox
        self._keyring = Keyring(store, clock)
        self._granted = parse_permissions(settings.permissions)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, *, clock: Clock | None = None, observer: Observer = NOBODY
    ) -> AsyncIterator[App]:
        """The app for the block; `observer` hears what it does. Raises what `load_catalog`, `Store.open` and
        `Press.with_logo` raise.
        """
        catalog = load_catalog(settings.catalog)
        settings.ensure_database_folder()
        async with AsyncExitStack() as stack:
            store = await Store.open(settings.database, capacity=settings.postings_waiting, observer=observer)
            stack.push_async_callback(store.close)
            sandbox = Sandbox(settings.sandbox_limits(), settings.jail)
            await sandbox.start()
            stack.push_async_callback(sandbox.close)
            if clock is None:
                clock = await stack.enter_async_context(following_clock(store, settings))
            provider = await open_provider(settings, store, clock)
            stack.push_async_callback(provider.close)
            app = cls(settings, catalog, store, sandbox, clock, provider, observer)
            stack.push_async_callback(app.followups.settle, timeout_s=settings.worker_grace_s)
            stack.push_async_callback(app.executor.close)
            yield app

    async def local_principal(self) -> Principal:
        """Who is calling on one's own machine: the key of the settings, or without one the owner of it all.

        Raises Unauthenticated.
        """
        if self.settings.key is not None:
            try:
                return await self.principal_of(self.settings.key.get_secret_value())
            except Unauthenticated as error:
                error.hint = f"Check BILLING_MCP_KEY. {error.hint}"
                raise
        return self.within_settings(Principal(LOCAL_PRINCIPAL, frozenset(Permission)))

    async def principal_of(self, key: str) -> Principal:
        """The principal of a key, looked up every time: a revocation holds from the next call on.

        Raises Unauthenticated, and PermissionDenied for a key of the platform.
        """
        found = await self._holder_of(key)
        if isinstance(found, Platform):
            raise PermissionDenied(
                "a platform credential calls no billing function",
                code="platform_credential",
                hint="Use an agent's key, which is granted accounts: billing-mcp keys create NAME --account ACCOUNT_ID",
            )
        return self.within_settings(found)

    async def platform_of(self, key: str) -> Platform:
        """The platform, by one of its keys. Raises Unauthenticated, and PermissionDenied for an agent's credential."""
        found = await self._holder_of(key)
        if isinstance(found, Principal):
            raise not_the_platform()
        return found

    async def _holder_of(self, key: str) -> Principal | Platform:
        return await self._keyring.holder_of(key)

    def within_settings(self, principal: Principal) -> Principal:
        """No key can do more than the server as a whole."""
        granted = principal.permissions & self._granted
        if granted == principal.permissions and not self.settings.read_only:
            return principal
        return replace(principal, permissions=granted, read_only=principal.read_only or self.settings.read_only)

    async def try_worker(self) -> None:
        """Return when scripts can run, if they may have to wait; else raise what the pool of workers raises."""
        await self._sandbox.try_worker()

    async def run_script(
        self, principal: Principal, source: str, *, preview: bool = False, idempotency_key: str = ""
    ) -> Answer:
        """Execute a script."""
        accounts = await self._accounts_text(principal) if "help" in source else ""
        program = ScriptProgram(_storable(source), self._sandbox, accounts)
        return await self.executor.execute(Request(program, principal, preview, idempotency_key))

    async def call(
        self,
        principal: Principal,
        function: str,
        arguments: dict[str, object],
        *,
        preview: bool = False,
        idempotency_key: str = "",
    ) -> Answer:
        """Execute a single call."""
        named = {_storable(name): _storable(v) if isinstance(v, str) else v for name, v in arguments.items()}
        program = SingleCall(_storable(function), named)
        return await self.executor.execute(Request(program, principal, preview, idempotency_key))

    async def read(self, principal: Principal, function: str, arguments: dict[str, object]) -> Any:
        """The result of a single call of a function that only reads, which leaves no record. Raises BillingError."""
        return await self.executor.read(principal, function, arguments)

    def worker(self, *, on_job: OnJob | None = None) -> Worker:
        """A worker on the app's store. `on_job` hears of every job it has done."""
        return worker_on(self.store, self.settings, self.clock, self.charging, on_job=on_job)

    async def _accounts_text(self, principal: Principal) -> str:
        try:
            every = await uninterrupted(self._accounts())
        except (BillingError, TransactionAbortedError):
            return "The accounts cannot be listed now."
        granted = [a for a in every if principal.may_know(a.account_id)]
        shown = [f"  {account.account_id}  {account.name}" for account in granted[:_ACCOUNTS_LISTED]]
        more = f"\n  and {len(granted) - len(shown)} more" if len(granted) > len(shown) else ""
        return "Accounts:\n" + "\n".join(shown) + more if shown else "There is no account yet."

    async def _accounts(self) -> list[AccountRecord]:
        async with self.store.read(self.clock()) as tx:
            return await tx.accounts.all()


def not_the_platform() -> PermissionDenied:
    """Why an agent's credential, be it a key or a token, is refused where the platform acts."""
    return PermissionDenied(
        "an agent's credential does not act for the platform",
        code="agent_credential",
        hint="Use a platform key: billing-mcp keys create NAME --platform",
    )


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # no database keeps a lone surrogate


def worker_on(
    store: Store,
    settings: Settings,
    clock: Clock,
    charging: Charging,
    *,
    on_job: OnJob | None = None,
    telling: bool = True,
) -> Worker:
    """A worker that knows all jobs there are. One that is not `telling` anybody leaves events in the outbox."""
    holds, limits = PlatformHolds(store, clock), settings.worker_limits()
    cycle = Cycle(store, charging.catalog, clock)
    finders = [
        find_due_holds(store, clock),
        prune_platform_requests(store, clock),
        prune_webhook_deliveries(store, clock),
        charging.find_unchecked,
        find_due_balances(store, clock),
        find_due_cycles(store, cycle, clock),
        find_due_debts(store, clock),
        find_ended_months(store, clock),
    ]
    if isinstance(charging.provider, EmbeddedProvider):
        finders.append(deliver_webhooks(charging.provider, charging, clock))
    return Worker(
        store,
        clock,
        limits,
        jobs={
            EXPIRE_HOLDS: expire_holds(holds),
            CHARGE: charging.charge,
            ATTACH: charging.attach,
            DETACH: charging.detach,
            REFUND: charging.refund,
            ASK: charging.ask,
            BALANCE_MOVED: look_at_moved_balance(store, charging.catalog, clock),
            DUN: dun_account(store, charging.catalog, clock),
            JUDGE_MONTHS: judge_tiers(store, charging.catalog.book, clock),
        },
        duties=[cycle_duty(cycle, limits, clock), *(_telling(settings, clock) if telling else ())],
        finders=finders,
        on_job=on_job,
    )


def _telling(settings: Settings, clock: Clock) -> list[Duty[Any]]:
    # Only a worker tells anybody outside: who opens the app for an agent does not wait for an HTTP client to load.
    from billing_mcp.worker.receivers import Receivers
    from billing_mcp.worker.webhooks import webhook_duties

    receivers = Receivers(clock, to_loopback=settings.webhooks_to_loopback)
    return webhook_duties(receivers, settings.worker_limits(), clock)


def follow_ups(charging: Charging, store: Store, clock: Clock, settings: Settings) -> FollowUps:
    """What an app does at once after a commit."""
    limits = settings.worker_limits()
    jobs = {CHARGE: charging.charge, ATTACH: charging.attach}
    duties = {topic: Duty(OutboxQueue(topic, [topic], limits), job, limits) for topic, job in jobs.items()}
    lanes = {topic: Lane(duty, store, clock, _unheard) for topic, duty in duties.items()}
    return FollowUps(store, clock, lanes, lease_s=limits.lease_s, wait_s=settings.followups_s)


def _unheard(_topic: str, _outcome: Outcome, _seconds: float) -> None:
    """Nobody measures what follows at once."""


@asynccontextmanager
async def following_clock(store: Store, settings: Settings) -> AsyncIterator[Clock]:
    """The clock of `clock_on`; for the block it notices when another process has advanced it."""
    clock = await clock_on(store, settings)
    async with clock.following(store) if isinstance(clock, DatabaseClock) else nullcontext():
        yield clock


async def now_on(store: Store, settings: Settings) -> datetime:
    """The moment now by the clock of `clock_on`."""
    return (await clock_on(store, settings))()


async def clock_on(store: Store, settings: Settings) -> Clock:
    """The clock of whatever is done on a store.

    BILLING_MCP_NOW stops it; a database for tests has its own; else it is the system's. Raises what the database
    raises.
    """
    return await clock_of_database(store) if settings.now is None else clock_of(settings)


def clock_of(settings: Settings) -> Clock:
    """The system's clock, or one that stands still: where there is no database to ask (`clock_on`)."""
    stopped: datetime | None = settings.now
    return system_clock if stopped is None else lambda: stopped
