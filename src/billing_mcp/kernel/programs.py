"""Owns the program that is a single call, as the command line makes it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing_mcp.domain.errors import BillingError
from billing_mcp.kernel.execution import Host, ProgramResult


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
