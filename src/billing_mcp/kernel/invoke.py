"""Owns the call of a billing function: rules, arguments, savepoint, handler, journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from billing_mcp.domain.errors import BillingError, InvalidArgument, LimitExceeded
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.likeness import either
from billing_mcp.kernel.registry import NAMESPACE, Registry
from billing_mcp.kernel.rules import RULES, Call, Rule


class WriteNeededError(Exception):
    """A manage function was called in a read snapshot: start again in a write transaction."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A call that was made, and how it ended."""

    function: str
    line: int | None
    error: str | None


def unknown_function(name: str, registry: Registry) -> InvalidArgument:
    """The error for a function that does not exist, with the one that was likely meant."""
    close = registry.closest(name)
    namespaces = ", ".join(resource.name for resource in registry.resources)
    hint = f"Did you mean {either(close)}?" if close else f"{NAMESPACE} has {namespaces}."
    return InvalidArgument(f"{name[:100]} does not exist", code="unknown_function", hint=hint)


class Invoker:
    """Calls billing functions within one transaction, for one principal."""

    def __init__(self, ctx: Context, registry: Registry, *, max_calls: int, rules: Sequence[Rule] = RULES) -> None:
        self._ctx = ctx
        self._registry = registry
        self._max_calls = max_calls
        self._rules = rules
        self._locked: set[str] = set()
        self.journal: list[JournalEntry] = []
        self.changed: dict[str, None] = {}

    async def invoke(self, name: str, arguments: Mapping[str, Any], *, line: int | None = None) -> Any:
        """The function's result. A call that raises has changed nothing.

        Raises BillingError for what a script may catch, and WriteNeededError.
        """
        try:
            result = await self._invoke(name, dict(arguments))
        except BillingError as error:
            self.journal.append(JournalEntry(name[:100], line, error.code))
            raise
        self.journal.append(JournalEntry(name, line, None))
        return result

    async def _invoke(self, name: str, arguments: dict[str, Any]) -> Any:
        operation = self._registry.get(name)
        if operation is None:
            raise unknown_function(name, self._registry)
        if len(self.journal) >= self._max_calls:
            raise LimitExceeded(
                f"a script may make {self._max_calls} calls", code="call_limit", hint="Use a larger page_size."
            )
        call = Call(operation, arguments)
        for rule in self._rules:
            rule(self._ctx, call)
        parsed = operation.arguments.parse(arguments)
        if not operation.writes:
            await self._touch(parsed)
            return await operation.handler(self._ctx, **parsed)
        if not self._ctx.tx.writable:
            raise WriteNeededError
        await self._touch(parsed)
        async with self._ctx.tx.savepoint():
            result = await operation.handler(self._ctx, **parsed)
        self.changed[str(parsed.get("account_id", ""))] = None
        return result

    @property
    def wrote(self) -> bool:
        """Whether a call has changed anything; `changed` says of which accounts, in order."""
        return bool(self.changed)

    async def _touch(self, arguments: Mapping[str, Any]) -> None:
        """In a write transaction, an account is locked at first touch: what is read stays true."""
        account_id = arguments.get("account_id")
        if self._ctx.tx.writable and isinstance(account_id, str) and account_id not in self._locked:
            await self._ctx.tx.accounts.get(account_id, lock=True)
            self._locked.add(account_id)
