"""Owns programs: what can be executed, what it may ask of the kernel, and the one that is a single call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from billing_mcp.domain.errors import BillingError
from billing_mcp.kernel.limits import Limits
from billing_mcp.kernel.principal import Principal
from billing_mcp.kernel.registry import Registry


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """How a program ended: with a value, or with an error and where it arose."""

    value: Any = None
    output: str = ""
    error: BillingError | None = None
    line: int | None = None
    source: str | None = None


class Host(Protocol):
    """What a running program may ask of the kernel."""

    execution_id: str
    now: datetime
    registry: Registry
    limits: Limits

    @property
    def writable(self) -> bool:
        """Whether this run is in a write transaction."""

    @property
    def wrote(self) -> bool:
        """Whether the program has changed something: from then on it holds a lock."""

    async def call(self, name: str, arguments: dict[str, Any], *, line: int | None = None) -> Any:
        """Call a billing function. Raises BillingError; what else it raises ends the program."""


class Program(Protocol):
    """Something that can be run from its start again and again, always to the same end."""

    @property
    def source(self) -> str:
        """Its text, as it is stored, and as an idempotency key is bound to it."""

    async def run(self, host: Host) -> ProgramResult:
        """Run it once. A LimitExceeded that it raises ends the execution."""


@dataclass(frozen=True, slots=True)
class Request:
    """A program to execute, for whom, and how."""

    program: Program
    principal: Principal
    preview: bool = False
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class SingleCall:
    """One call of one billing function: an execution by the same rules as a script's."""

    function: str
    arguments: dict[str, Any]

    @property
    def source(self) -> str:
        """The call as a script would write it."""
        return f"{self.function}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"

    async def run(self, host: Host) -> ProgramResult:
        """Make the call."""
        try:
            return ProgramResult(value=_in_json(await host.call(self.function, self.arguments)))
        except BillingError as error:
            return ProgramResult(error=error)


def _in_json(value: Any) -> Any:
    """The result with exact numbers as texts, as a script's result has them."""
    if isinstance(value, dict):
        return {name: _in_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_in_json(item) for item in value]
    return str(value) if isinstance(value, Decimal) else value
