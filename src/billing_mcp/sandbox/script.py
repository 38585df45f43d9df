"""Owns running a script: it is driven from call to call, and a write is finished before it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from pydantic_monty import (
    AsyncFunctionSnapshot,
    AsyncMontySession,
    AsyncNameLookupSnapshot,
    AsyncSnapshot,
    CollectString,
    ExternalResult,
    MontyComplete,
    MontyError,
    MontyTypingError,
)

from billing_mcp.domain.errors import BillingError, InvalidArgument, LimitExceeded, ScriptFailed
from billing_mcp.kernel.programs import Host, ProgramResult
from billing_mcp.kernel.registry import NAMESPACE
from billing_mcp.sandbox.failure import exception_type, explain, line_of
from billing_mcp.sandbox.hints import add_hint
from billing_mcp.sandbox.pool import Sandbox
from billing_mcp.sandbox.shape import LargeValueError, fitted_result, small_result
from billing_mcp.sandbox.source import HELP, RejectedError, Script, normalized, positional_arguments, prepare
from billing_mcp.sandbox.stubs import help_text
from billing_mcp.sandbox.typecheck import NOTHING_SAID, first_mistake, remark_on

_SOON_READ_CHARS = 4000
"""Up to so many a script is read in about the time that handing it to a thread takes."""


@dataclass(slots=True)
class ScriptProgram:
    """A script as a program. `accounts` is what `billing.help()` says of the accounts there are."""

    source: str
    sandbox: Sandbox
    accounts: str = ""
    _diagnostics: str | None = None
    """What the type checker says of it, once it has been asked."""

    async def run(self, host: Host) -> ProgramResult:
        """Lint the script, check its types before it may write, and run it."""
        limits = self.sandbox.limits
        output = CollectString(max_bytes=limits.output_bytes)
        try:
            script = await self._prepared(host)
            value = await self._run(script, host, output)
        except RejectedError as rejected:
            source = self._line(rejected.line)
            add_hint(rejected.error, source or "", remark_on(self._diagnostics, rejected.line), host.registry)
            line = None if source is None else rejected.line
            return ProgramResult(output=output.output, error=rejected.error, line=line, source=source)
        try:
            result = small_result(value, limits.result_chars)
        except LargeValueError:  # up to a second of computing
            result = await asyncio.to_thread(fitted_result, value, limits.result_chars)
        return ProgramResult(result, output.output)

    async def _prepared(self, host: Host) -> Script:
        """The script, read. Reading a long one takes a while, in which others are served."""
        read = partial(prepare, self.source, host.registry, max_bytes=self.sandbox.limits.code_bytes)
        return read() if len(self.source) <= _SOON_READ_CHARS else await asyncio.to_thread(read)

    async def _run(self, script: Script, host: Host, output: CollectString) -> Any:
        check = self._diagnostics is None and (script.names_write or host.writable)
        async with AsyncExitStack() as stack:
            session = await self.sandbox.open_session(stack, host, type_check=check)
            drive = _Drive(script, session, host, output, self.accounts, checked=check)
            try:
                await drive.start()
                self._diagnostics = drive.diagnostics if check else self._diagnostics
                return await drive.run()
            except BillingError as error:
                raise RejectedError(error, drive.line) from None
            except MontyError as error:
                failure = RejectedError(
                    explain(error, drive.raised, self.sandbox.limits), line_of(error, fed_before=drive.fed_before)
                )
        if isinstance(failure.error, ScriptFailed) and self._diagnostics is None:
            self._diagnostics = await self._check(script, host)
        raise failure

    async def _check(self, script: Script, host: Host) -> str:
        """What the type checker says of a script that failed without having been checked."""
        async with AsyncExitStack() as stack:
            try:
                session = await self.sandbox.open_session(stack, host, type_check=True)
                await _Drive(script, session, host, CollectString(), "", checked=True).feed()
            except MontyTypingError as error:
                return error.display()
            except (MontyError, BillingError):
                pass  # it fails before its first call, as we know, or no worker is free
        return NOTHING_SAID

    def _line(self, line: int | None) -> str | None:
        lines = normalized(self.source).split("\n")
        return lines[line - 1].strip()[:200] if line and 0 < line <= len(lines) else None


class _Drive:
    """One run of a script in one session."""

    def __init__(
        self,
        script: Script,
        session: AsyncMontySession,
        host: Host,
        output: CollectString,
        accounts: str,
        *,
        checked: bool,
    ) -> None:
        self.line: int | None = None
        self.raised: dict[str, BillingError] = {}
        self.diagnostics = NOTHING_SAID
        self._script = script
        self._joined = None if checked else script.joined  # what the checker says is of the script's own columns
        self._code = (self._joined or script.code).encode("utf-8", "replace")
        self.fed_before = 0 if self._joined else 1
        self._session = session
        self._host = host
        self._output = output
        self._accounts = accounts
        self._left_s = {False: host.limits.wall_after_write_s, True: host.limits.sandbox_after_write_s}
        self._snapshot: AsyncSnapshot | None = None

    async def start(self) -> None:
        """Run the script up to its first call. Raises RejectedError for what its types forbid."""
        try:
            await self.feed()
        except MontyTypingError as error:
            self.diagnostics = error.display()
            mistake = first_mistake(self.diagnostics, self._script.code, self._host.registry)
            if mistake is not None:
                raise mistake from None
            self._snapshot = await self._bounded(
                self._session.feed_start(self._script.code, print_callback=self._output, skip_type_check=True)
            )

    async def feed(self) -> None:
        """The same; raises MontyTypingError for all that the type checker says."""
        code = self._joined or self._script.code
        if self._joined is None:
            snapshot = await self._session.feed_start(self._script.prelude)
            while not isinstance(snapshot, MontyComplete):
                snapshot = await snapshot.resume_auto()
        snapshot = await self._bounded(self._session.feed_start(code, print_callback=self._output))
        while isinstance(snapshot, AsyncFunctionSnapshot) and snapshot.function_name == "import_stubs":
            snapshot = await self._bounded(snapshot.resume_auto())  # the checker asks for a module's types
        self._snapshot = snapshot

    async def run(self) -> Any:
        """Answer each call until the script ends. Returns its value."""
        while not isinstance(self._snapshot, MontyComplete):
            self._snapshot = await self._answer(self._snapshot)
        return self._snapshot.output

    async def _answer(self, snapshot: AsyncSnapshot | None) -> AsyncSnapshot:
        if isinstance(snapshot, AsyncNameLookupSnapshot):
            return await self._bounded(snapshot.resume())
        if not isinstance(snapshot, AsyncFunctionSnapshot):
            raise ScriptFailed("the script waits for something that never comes", hint="Call functions directly.")
        if snapshot.is_os_function:
            return await self._bounded(snapshot.resume_auto())
        self.line = self._code[: snapshot.position.start].count(b"\n") + 1
        return await self._bounded(snapshot.resume(await self._call(snapshot)))

    async def _call(self, snapshot: AsyncFunctionSnapshot) -> ExternalResult:
        name = snapshot.function_name
        if not name.startswith(f"{NAMESPACE}."):
            return {"exc_type": "NameError", "message": f"name {name!r} is not defined"}
        try:
            if name == HELP:
                return {"return_value": self._help(snapshot)}
            if snapshot.args:
                raise positional_arguments(name, "account_id=...")
            return {"return_value": await self._host.call(name, snapshot.kwargs, line=self.line)}
        except LimitExceeded:
            raise
        except BillingError as error:
            error.__traceback__ = error.__context__ = None  # they hold the arguments, of any size
            self.raised[str(error)] = error
            return cast("ExternalResult", {"exc_type": exception_type(error), "message": str(error)})

    def _help(self, snapshot: AsyncFunctionSnapshot) -> str:
        name = snapshot.args[0] if snapshot.args else snapshot.kwargs.get("name")
        if not (name is None or isinstance(name, str)):
            raise InvalidArgument(f"{HELP} takes the name of a function", hint='Such as "billing.plan.change".')
        return help_text(self._host.registry, name, self._accounts)

    async def _bounded(self, turn: Awaitable[AsyncSnapshot]) -> AsyncSnapshot:
        """Let the script go on. In a write transaction others wait for it, so its time is short.

        It has been read up to its first change before: it gets as long for that again as it may
        hold a lock after it, and then the much shorter rest.
        """
        if not self._host.writable:
            return await turn
        wrote = self._host.wrote
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(self._left_s[wrote]):
                return await turn
        except TimeoutError:
            limits = self._host.limits
            message = (
                f"after its first change a script may compute for {limits.sandbox_after_write_s:g} s"
                if wrote
                else f"before its first change a script may compute for {limits.wall_after_write_s:g} s"
            )
            hint = "Compute in a script that only reads; let the one that changes do little else."
            raise LimitExceeded(message, code="write_time_limit", hint=hint) from None
        finally:
            self._left_s[wrote] -= loop.time() - started
