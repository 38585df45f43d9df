"""An agent's scripts without a database: real workers, and a host that answers from a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from billing_mcp.domain.errors import BillingError, LimitExceeded
from billing_mcp.kernel.invoke import WriteNeededError, unknown_function
from billing_mcp.kernel.limits import Limits
from billing_mcp.kernel.programs import ProgramResult
from billing_mcp.kernel.registry import Registry
from billing_mcp.operations import REGISTRY
from billing_mcp.sandbox.pool import Sandbox
from billing_mcp.sandbox.script import ScriptProgram

ACCOUNT = "0190c0de-0000-7000-8000-000000000001"
OTHER = "0190c0de-0000-7000-8000-000000000002"
NOW = datetime(2026, 3, 12, 10, 30, tzinfo=UTC)

BALANCE = {"accrued_charges": "10.00", "balance": "112.50", "currency": "EUR", "net_balance": "102.50"}
CURRENT_PLAN = {
    "billing_period": "monthly",
    "currency": "EUR",
    "plan_id": "smtp_per_mailbox",
    "plan_name": "Per mailbox",
    "price": "99.00",
    "status": "active",
    "can_cancel_plan": True,
    "can_change_plan": True,
}
PLANS = {"items": [{"plan_id": "smtp_per_mailbox", "price": "99.00"}, {"plan_id": "smtp_per_proxy", "price": "49.00"}]}
OPERATION = {
    "status": "completed",
    "account_status": "active",
    "effective_at": "2026-03-12T00:00:00Z",
    "eligible": True,
    "previous_plan_id": "smtp_per_mailbox",
    "target_plan_id": "smtp_per_proxy",
}
ANSWERS: dict[str, Any] = {
    "billing.current_plan.get": CURRENT_PLAN,
    "billing.plan.cancel": OPERATION,
    "billing.plan.change": OPERATION,
    "billing.plan.resume": OPERATION,
    "billing.plans.list": PLANS,
    "billing.wallet_balance.get": BALANCE,
}


@dataclass
class FakeHost:
    """A host that parses arguments as the kernel does, and answers from a table instead of a store."""

    answers: dict[str, Any] = field(default_factory=dict)
    registry: Registry = field(default_factory=lambda: REGISTRY)
    writable: bool = False
    wrote: bool = False
    max_calls: int = 500
    execution_id: str = "0190c0de-0000-7000-8000-0000000000ff"
    now: datetime = NOW
    limits: Limits = field(default_factory=lambda: Limits(sandbox_after_write_s=5.0))
    calls: list[tuple[str, dict[str, Any], int | None]] = field(default_factory=list)

    async def call(self, name: str, arguments: dict[str, Any], *, line: int | None = None) -> Any:
        """The answer that stands in the table, raised if it is an error."""
        operation = self.registry.get(name)
        if operation is None:
            raise unknown_function(name, self.registry)
        if len(self.calls) >= self.max_calls:
            raise LimitExceeded(f"a script may make {self.max_calls} calls", code="call_limit")
        parsed = operation.arguments.parse(arguments)
        if operation.writes and not self.writable:
            raise WriteNeededError
        self.calls.append((name, parsed, line))
        answer = self.answers.get(name, ANSWERS.get(name))
        if isinstance(answer, Exception):
            raise answer
        self.wrote = self.wrote or operation.writes
        return answer

    @property
    def lines(self) -> list[int | None]:
        """The lines from which the script called."""
        return [line for _, _, line in self.calls]


class Agent:
    """Sends scripts to one pool of workers."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    async def run(self, source: str, host: FakeHost | None = None) -> ProgramResult:
        """Run a script as the kernel does: in a read snapshot, and from its start again once it must write."""
        host = host or FakeHost()
        program = ScriptProgram(source, self.sandbox, "Accounts: none")
        try:
            return await program.run(host)
        except WriteNeededError:
            host.writable = True
            host.calls.clear()
            return await program.run(host)

    async def value(self, source: str, host: FakeHost | None = None) -> Any:
        """The value of a script that works."""
        result = await self.run(source, host)
        assert result.error is None, (result.error, result.error.hint, result.line)
        return result.value

    async def error(self, source: str, host: FakeHost | None = None) -> BillingError:
        """The error of a script that does not work."""
        result = await self.run(source, host)
        assert result.error is not None, result.value
        return result.error

    async def failure(self, source: str, host: FakeHost | None = None) -> tuple[str, int | None, str | None]:
        """Code, line and source text of what stopped a script."""
        result = await self.run(source, host)
        assert result.error is not None, result.value
        return result.error.code, result.line, result.source
