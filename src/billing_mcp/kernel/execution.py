"""Owns the execution: a program runs as one transaction, which commits whole or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.clock import Clock
from billing_mcp.domain.document_links import Links
from billing_mcp.domain.errors import BillingError, Conflict, Internal, LimitExceeded, Unavailable
from billing_mcp.domain.events import EXECUTION_COMPLETED, Event, Json
from billing_mcp.domain.ids import new_id
from billing_mcp.domain.instructions import check_key
from billing_mcp.domain.no_card_numbers import refuse_card_numbers
from billing_mcp.kernel.answer import Answer, AnswerError, Effects, summarize_calls
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.effects import effects_of
from billing_mcp.kernel.hiding import recorded_script, without_card_numbers
from billing_mcp.kernel.idempotency import key_in_use, stored_answer
from billing_mcp.kernel.invoke import Invoker, JournalEntry, WriteNeededError
from billing_mcp.kernel.journal import Journal
from billing_mcp.kernel.limits import Limits
from billing_mcp.kernel.principal import Principal
from billing_mcp.kernel.programs import ProgramResult, Request
from billing_mcp.kernel.registry import Registry
from billing_mcp.store.engine import TransactionAbortedError, uninterrupted
from billing_mcp.store.executions import ExecutionRecord
from billing_mcp.store.observer import NOBODY, Observer
from billing_mcp.store.store import Store, Transaction

log = structlog.get_logger()

MAX_ATTEMPTS = 10
_LOOKS_AFTER_S = (0.1, 0.4, 1.5)


AfterCommit = Callable[[Sequence[Event]], Awaitable[list[dict[str, Any]]]]
"""Does at once what an execution has made due, and returns what has come of it within a few seconds."""


@dataclass(slots=True)
class _Run:
    """A request that is being executed, at its frozen moment."""

    request: Request
    execution_id: str
    now: datetime
    started_s: float
    in_program: bool = False
    abandoned: bool = False
    journal: Sequence[JournalEntry] = ()
    events: Sequence[Event] = ()

    def abandon(self, task: asyncio.Task[Answer]) -> None:
        """Nobody waits any more: end the program, but never a statement or a commit half-way."""
        self.abandoned = True
        if self.in_program:
            task.cancel()

    @property
    def principal_id(self) -> str:
        return self.request.principal.principal_id

    @property
    def key(self) -> str:
        return "" if self.request.preview else self.request.idempotency_key

    @property
    def source(self) -> str:
        return self.request.program.source

    def record(self, answer: Answer) -> ExecutionRecord:
        answer_json = answer.to_json()
        script = recorded_script(self.source, answer_json, self.journal)
        return ExecutionRecord(
            principal_id=self.principal_id,
            execution_id=self.execution_id,
            created_at=self.now,
            duration_us=int((time.perf_counter() - self.started_s) * 1_000_000),
            status=answer.status,
            changed=bool(answer.changed),
            script=script.replace("\0", "\N{REPLACEMENT CHARACTER}"),  # PostgreSQL stores no NUL
            answer_json=answer_json,
        )


class _Session:
    """One pass of the program through one transaction."""

    def __init__(self, executor: Executor, run: _Run, tx: Transaction) -> None:
        self.execution_id = run.execution_id
        self.now = run.now
        self.limits = executor.limits
        principal = run.request.principal
        self.registry = executor.registry.without_writes() if principal.read_only else executor.registry
        context = Context(tx, principal, executor.catalog, run.execution_id, executor.links)
        self._invoker = Invoker(context, self.registry, max_calls=executor.limits.calls)
        run.journal = self._invoker.journal  # that of the last pass is what was called
        self._run = run
        self.writable = tx.writable
        self._deadline: asyncio.Timeout | None = None

    @property
    def wrote(self) -> bool:
        return self._invoker.wrote

    @property
    def changed(self) -> list[str]:
        """The accounts that the program has changed, in order."""
        return list(self._invoker.changed)

    @property
    def journal(self) -> list[JournalEntry]:
        return self._invoker.journal

    async def call(self, name: str, arguments: dict[str, Any], *, line: int | None = None) -> Any:
        first = not self.wrote
        result = await uninterrupted(self._invoker.invoke(name, arguments, line=line))
        if first and self.wrote and self._deadline is not None:
            soon = asyncio.get_running_loop().time() + self.limits.wall_after_write_s
            self._deadline.reschedule(min(soon, self._deadline.when() or soon))
        return result

    async def run(self, deadline_s: float) -> ProgramResult:
        """Run the program, ended by the wall clock at `deadline_s` of the loop's time."""
        if self._run.abandoned:
            raise asyncio.CancelledError
        self._run.in_program = True
        try:
            async with asyncio.timeout_at(deadline_s) as self._deadline:
                return await self._run.request.program.run(self)
        except TimeoutError:
            if self._deadline is None or not self._deadline.expired():
                raise
            return ProgramResult(error=self._too_long())
        except LimitExceeded as error:
            return ProgramResult(error=error)
        finally:
            self._run.in_program = False

    def _too_long(self) -> LimitExceeded:
        if self.wrote:
            message = f"after its first change a script has {self.limits.wall_after_write_s:g} s left"
            return LimitExceeded(message, code="write_time_limit", hint="Read and compute first, change last.")
        return LimitExceeded(f"a script may take {self.limits.wall_s:g} s in all", code="time_limit")


class Executor:
    """Executes programs on a store: the only way in."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        catalog: Catalog,
        clock: Clock,
        limits: Limits,
        observer: Observer = NOBODY,
        after_commit: AfterCommit | None = None,
        links: Links | None = None,
    ) -> None:
        self.registry = registry
        self.catalog = catalog
        self.links = links
        self._after_commit = after_commit
        self.limits = limits
        self._store = store
        self._clock = clock
        self._observer = observer
        self._journal = Journal(store, clock)
        self._running: set[asyncio.Task[Answer]] = set()
        self._keys_in_use: set[tuple[str, str]] = set()

    async def execute(self, request: Request) -> Answer:
        """Run the program as one transaction, and store what it did.

        Never raises for what the program does: the answer tells. When the caller goes away the
        program ends, and the execution leaves its whole effect or none.
        """
        now = self._clock()
        run = _Run(request, new_id(now), now, time.perf_counter())
        task = asyncio.create_task(self._execute(run))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            run.abandon(task)
            raise

    async def read(self, principal: Principal, function: str, arguments: dict[str, Any]) -> Any:
        """The result of a single call of a function that only reads. It leaves no record.

        Raises BillingError.
        """
        try:
            result = await self._read(self._clock(), principal, function, arguments)
        except BillingError as error:
            self._observer.calls_ended([(function, error.code)])
            raise
        self._observer.calls_ended([(function, None)])
        return result

    async def stored_answer(self, principal: Principal, execution_id: str) -> str | None:
        """The JSON of the answer to one of the principal's own executions."""
        return await uninterrupted(self._journal.answer(principal.principal_id, execution_id))

    async def settled(self) -> None:
        """Wait for what runs."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def close(self) -> None:
        """Wait for what runs, and store what is not stored yet."""
        await self.settled()
        await self._journal.close()

    async def _read(self, now: datetime, principal: Principal, function: str, arguments: dict[str, Any]) -> Any:
        operation = self.registry.get(function)
        single = operation is not None and operation.reads_once
        for _ in range(MAX_ATTEMPTS):
            with suppress(TransactionAbortedError):
                async with self._store.read(now, single=single) as tx:
                    context = Context(tx, principal, self.catalog, execution_id="", links=self.links)
                    return await Invoker(context, self.registry, max_calls=1).invoke(function, arguments)
        raise _busy()

    async def _execute(self, run: _Run) -> Answer:
        try:
            answer = await self._answered(run)
        except asyncio.CancelledError:
            self._report(run, "abandoned")
            raise
        self._report(run, answer.status if answer.execution_id == run.execution_id else "replayed", answer.error)
        return answer

    def _report(self, run: _Run, status: str, error: AnswerError | None = None) -> None:
        seconds = time.perf_counter() - run.started_s
        self._observer.execution_ended(status, seconds, None if error is None else error.code)
        self._observer.calls_ended((entry.function, entry.error) for entry in run.journal)

    async def _answered(self, run: _Run) -> Answer:
        try:
            answer = await self._alone_under_its_key(run)
        except BillingError as error:
            if error.code == "outcome_unknown":
                unknown = _failed(run, error).model_copy(update={"changed": None})
                return await self._settled(run) or unknown
            answer = _failed(run, error)
        except Exception:
            log.exception("execution_crashed", execution_id=run.execution_id)
            message = "the server failed on this; its log says why"
            answer = _failed(run, Internal(message, hint="Nothing was changed; try again."))
        if not answer.changed and not answer.replayed:
            await self._journal.add(run.record(answer), wait=answer.status != "completed")
        elif run.events and self._after_commit is not None:
            await self._follow_up(run, answer, self._after_commit)
        return answer

    async def _follow_up(self, run: _Run, answer: Answer, after_commit: AfterCommit) -> None:
        """Add what comes of it soon. It is done already: nothing that goes wrong here can change that."""
        try:
            answer.followups = await after_commit(run.events)
            if answer.followups:
                async with self._store.write(self._clock()) as tx:
                    await tx.executions.add_news(run.principal_id, run.execution_id, answer.to_json())
        except Exception:
            log.exception("no_followups", execution_id=run.execution_id)

    async def _settled(self, run: _Run) -> Answer | None:
        """What became of a commit whose answer was lost. The database may be away for a moment.

        It is recorded as failed, unless its own record is there: the database lets only one of them be, and
        waits for a commit that is still under way.
        """
        message = "the database went away at the commit, and has not made it"
        hint = "Nothing was changed; send the same again."
        failed = run.record(_failed(run, Unavailable(message, code="database_unavailable", hint=hint)))
        for pause_s in _LOOKS_AFTER_S:
            await asyncio.sleep(pause_s)
            with suppress(BillingError, TransactionAbortedError):
                async with self._store.write(run.now) as tx:
                    stored = await tx.executions.settle(failed)
                return Answer.model_validate_json(stored)
        return None

    async def _alone_under_its_key(self, run: _Run) -> Answer:
        refuse_card_numbers(run.request.idempotency_key, field="idempotency_key")
        if not run.key:
            return await self._run(run)
        check_key(run.key)
        claim = (run.principal_id, run.key)
        if claim in self._keys_in_use:
            raise key_in_use(run.key)
        self._keys_in_use.add(claim)
        try:
            async with self._store.read(run.now) as tx:
                stored = await stored_answer(tx, run.principal_id, run.key, run.source)
            return stored or await self._run(run)
        finally:
            self._keys_in_use.discard(claim)

    async def _run(self, run: _Run) -> Answer:
        deadline_s = asyncio.get_running_loop().time() + self.limits.wall_s
        for _ in range(MAX_ATTEMPTS):
            try:
                return await self._read_then_write(run, deadline_s)
            except TransactionAbortedError:
                log.info("execution_restarted", execution_id=run.execution_id)
        raise _busy()

    async def _read_then_write(self, run: _Run, deadline_s: float) -> Answer:
        try:
            async with self._store.read(run.now) as tx:
                session = _Session(self, run, tx)
                return _answer(run, await session.run(deadline_s), session, tx)
        except WriteNeededError:
            pass  # Nothing was written, and the program runs again to the same end.
        async with self._store.write(run.now) as tx:
            if run.key:
                if not await tx.executions.claim(run.principal_id, run.key):
                    raise key_in_use(run.key)
                stored = await stored_answer(tx, run.principal_id, run.key, run.source)
                if stored is not None:
                    tx.rollback_only = True
                    return stored
            session = _Session(self, run, tx)
            answer = _answer(run, await session.run(deadline_s), session, tx)
            if not answer.changed:
                tx.rollback_only = True
                return answer
            await _tell(tx, run, session, answer)
            await tx.executions.add([run.record(answer)])
            if run.key:
                await tx.executions.keep(run.principal_id, run.key, run.source, run.execution_id, run.now)
        run.events = tx.changes.events
        return answer


async def _tell(tx: Transaction, run: _Run, session: _Session, answer: Answer) -> None:
    """Tell each account that was changed of its own part, where anybody listens: others have the record."""
    listening = await tx.webhooks.listening(session.changed)
    functions = sorted({entry.function for entry in session.journal if entry.error is None})
    for account_id in session.changed:
        if account_id in listening:
            own = [each for each in answer.effects.wallets if each.account_id == account_id]
            payload: dict[str, Json] = {
                "execution_id": run.execution_id,
                "principal_id": run.principal_id,
                "functions": functions,
                "wallets": [each.model_dump(exclude={"account_id"}) for each in own],
            }
            await tx.outbox.add(Event(account_id, EXECUTION_COMPLETED, payload))


def _answer(run: _Run, result: ProgramResult, session: _Session, tx: Transaction) -> Answer:
    if result.error is not None:
        return _failed(run, result.error, result, session.journal)
    answer = Answer(
        status="previewed" if run.request.preview else "completed",
        changed=session.wrote and not run.request.preview,
        execution_id=run.execution_id,
        result=result.value,
        output=result.output,
        effects=Effects.model_validate(effects_of(tx.changes.changes)),
        calls=summarize_calls(session.journal),
    )
    return without_card_numbers(answer)


def _failed(
    run: _Run, error: BillingError, result: ProgramResult | None = None, journal: Sequence[JournalEntry] = ()
) -> Answer:
    where = result or ProgramResult()
    answer = Answer(
        status="failed",
        changed=False,
        execution_id=run.execution_id,
        output=where.output,
        calls=summarize_calls(journal),
        error=AnswerError.of(error, line=where.line, source=where.source),
    )
    return without_card_numbers(answer)


def _busy() -> Conflict:
    return Conflict("the accounts are busy with other changes", code="database_busy", hint="Try the same again.")
