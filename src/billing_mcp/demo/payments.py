"""Owns how the demo's accounts pay: by the functions, the jobs and the test provider that everybody has."""

from __future__ import annotations

from typing import Any

from billing_mcp.app import follow_ups, worker_on
from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.clock import Clock
from billing_mcp.domain.errors import Internal
from billing_mcp.kernel.execution import Executor
from billing_mcp.kernel.limits import Limits
from billing_mcp.kernel.principal import Permission, Principal
from billing_mcp.kernel.programs import Request, SingleCall
from billing_mcp.operations import REGISTRY
from billing_mcp.payments.embedded import EmbeddedProvider
from billing_mcp.payments.tokens import TOKENS
from billing_mcp.settings import Settings
from billing_mcp.store.store import Store
from billing_mcp.worker.charging import Charging

_SEEDER = Principal("demo", frozenset(Permission))


class Agents:
    """Whoever acts for the demo's accounts, and what follows: the payment provider is asked, and tells."""

    def __init__(self, store: Store, catalog: Catalog, clock: Clock, provider: EmbeddedProvider) -> None:
        # One job at a time: then the past is the same each time. Nobody listens yet, so nobody is told of events.
        charging, settings = Charging(store, catalog, clock, provider), Settings(worker_jobs=1)
        self.worker = worker_on(store, settings, clock, charging, telling=False)
        """Does what falls due meanwhile, as a worker of the platform's would have."""
        self._followups = follow_ups(charging, store, clock, settings)
        self._executor = Executor(store, REGISTRY, catalog, clock, Limits(), after_commit=self._followups.of)

    async def call(self, function: str, **arguments: Any) -> Any:
        """The result of a call that works. Raises Internal for one that does not."""
        answer = await self._executor.execute(Request(SingleCall(function, arguments), _SEEDER))
        if answer.error is not None:
            raise Internal(f"the past cannot be lived: {answer.error.code}: {answer.error.message}")
        return answer.result

    async def pay(self, account_id: str, token: str, euros: int) -> None:
        """Top up with what a token stands for, which is added first if it is not there."""
        methods = (await self.call("billing.payment_methods.list", account_id=account_id))["items"]
        of_token = {each["last4"]: each["payment_method_id"] for each in methods}
        method_id = of_token.get(_last4(token))
        if method_id is None:
            added = await self.call("billing.payment_methods.add", account_id=account_id, token=token)
            method_id = added["payment_method_id"]
        await self.call("billing.topups.create", account_id=account_id, amount=euros, payment_method_id=method_id)

    async def close(self) -> None:
        """Let what runs end."""
        await self._followups.settle(timeout_s=5)
        await self._executor.close()


def _last4(token: str) -> str:
    return TOKENS[token].last4
