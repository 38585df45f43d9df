"""A target for hostile scripts: an app with little of everything, and accounts that must come to no harm."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import create_engine, select
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

from billing_mcp.app import App
from billing_mcp.domain.errors import ERRORS
from billing_mcp.kernel.answer import Answer
from billing_mcp.kernel.principal import Principal
from billing_mcp.settings import Settings
from tests.world import MANAGER, World

NOW = datetime(2026, 3, 12, 10, 0, tzinfo=UTC)
WORKERS = 2
TIGHT: dict[str, Any] = {
    "execution_s": 0.3,
    "wall_s": 3,
    "execution_after_write_s": 0.2,
    "wall_after_write_s": 0.6,
    "memory_mb": 16,
    "calls": 50,
    "output_kb": 4,
    "workers": WORKERS,
}
"""Limits that end a script soon. An honest script on a busy machine needs far less."""

ANYTHING = object()
"""The value of a script whose value is checked elsewhere."""

_GROWING = {"executions"}


@dataclass(frozen=True, slots=True)
class Case:
    """A hostile script: the codes with which it may fail, or what it returns because it does no harm.

    In its source, ACCOUNT stands for an account it may manage, and OTHER for one that others use.
    """

    name: str
    source: str
    codes: tuple[str, ...] = ()
    value: Any = None

    def __post_init__(self) -> None:
        assert set(self.codes) <= set(ERRORS), self.codes


def fails(name: str, source: str, *codes: str) -> Case:
    """A script that fails with one of these codes."""
    assert codes
    return Case(name, source, codes)


def harmless(name: str, source: str, value: Any) -> Case:
    """A script that sounds worse than it is: it completes with this value, and has changed nothing."""
    return Case(name, source, value=value)


def named(cases: Iterable[Case]) -> dict[str, Any]:
    """The cases as the arguments of `pytest.mark.parametrize`."""
    listed = list(cases)
    assert len({case.name for case in listed}) == len(listed)
    return {"argnames": "case", "argvalues": listed, "ids": [case.name for case in listed]}


class Pulse:
    """How long the event loop was held at most, while the block ran.

    `computed_s` is the longest stretch of computing between two beats, whatever else the
    machine does meanwhile; `waited_s` is the longest time between two beats on the clock.
    """

    def __init__(self) -> None:
        self.computed_s = 0.0
        self.waited_s = 0.0
        self.beats = 0
        self._task: asyncio.Task[None] | None = None
        self._last = (time.thread_time(), time.perf_counter())

    async def __aenter__(self) -> Self:
        self._last = (time.thread_time(), time.perf_counter())
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._note()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(0.005)
            self._note()

    def _note(self) -> None:
        computed_s, clock_s = time.thread_time(), time.perf_counter()
        self.computed_s = max(self.computed_s, computed_s - self._last[0])
        self.waited_s = max(self.waited_s, clock_s - self._last[1])
        self.beats += 1
        self._last = (computed_s, clock_s)


class Stopped:
    """A clock that stands still."""

    now = NOW

    def __call__(self) -> datetime:
        return self.now


def generous(path: Path) -> Settings:
    """Limits that no honest script meets, on a database."""
    return Settings(database=str(path), execution_after_write_s=5, wall_after_write_s=10, workers=1)


class Ground:
    """A SQLite file with an account to attack, and one beside it that others use."""

    def __init__(self, path: Path, account: str, other: str) -> None:
        self.path = path
        self.account = account
        self.other = other
        self._engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    @classmethod
    async def seeded(cls, folder: Path) -> Ground:
        """A new one, in a folder of its own."""
        path = folder / "billing.db"
        async with App.open(generous(path), clock=Stopped()) as app:
            world = World(app, Stopped())
            account = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=3)
            other = await world.account(funds="50.00", plan="smtp_per_proxy", proxy=2)
        return cls(path, account, other)

    def written(self, source: str) -> str:
        """The script with the accounts' ids in it."""
        return source.replace("ACCOUNT", repr(self.account)).replace("OTHER", repr(self.other))

    def stored(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table, but for the record of what was executed."""
        with self._engine.connect() as connection:
            return {
                table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
                for table in SQLModel.metadata.sorted_tables
                if table.name not in _GROWING
            }


@contextmanager
def _swept() -> Iterator[None]:
    """What other tests left in memory is not looked through while the loop is watched: a server does so too."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class Target:
    """An app at tight limits on such a ground."""

    def __init__(self, app: App, ground: Ground) -> None:
        self.app = app
        self.ground = ground
        self.world = World(app, Stopped())

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, **limits: Any) -> AsyncIterator[Target]:
        """A target in a folder of its own."""
        ground = await Ground.seeded(folder)
        settings = Settings(database=str(ground.path), **(TIGHT | limits))
        with _swept():
            async with App.open(settings, clock=Stopped()) as app:
                yield cls(app, ground)

    async def attacked(self, case: Case, principal: Principal = MANAGER, **options: Any) -> Answer:
        """The answer to a hostile script, after which all must be as it was. The answer itself is checked too."""
        before = self.ground.stored()
        async with Pulse() as pulse:
            answer = await self.app.run_script(principal, self.ground.written(case.source), **options)
        self._check_answer(case, answer)
        assert await self.app.executor.stored_answer(principal, answer.execution_id) == answer.to_json()
        assert self.ground.stored() == before
        assert (await self.world.audit()).findings == ()
        assert pulse.computed_s < self.app.settings.execution_s, "the event loop was held"
        assert pulse.waited_s < self.app.settings.wall_s, "the event loop was held"
        await self.check_at_work()
        return answer

    async def check_at_work(self) -> None:
        """More honest scripts at once than there are workers are all answered."""
        balances = (self.world.balance(self.ground.account) for _ in range(WORKERS + 1))
        assert await asyncio.gather(*balances) == ["100.00"] * (WORKERS + 1)

    def _check_answer(self, case: Case, answer: Answer) -> None:
        assert answer.changed is False
        assert answer.effects.wallets == []
        assert answer.effects.settings == []
        text = answer.to_json()
        assert json.loads(text)["changed"] is False
        assert len(text) < 40_000
        assert str(self.ground.path.parent) not in text
        if not case.codes:
            assert (answer.status, answer.error) == ("completed", None)
            assert case.value is ANYTHING or answer.result == case.value
            return
        assert answer.status == "failed"
        assert answer.result is None
        assert answer.error is not None
        assert answer.error.code in case.codes, answer.error
        self._check_error(case, answer)

    def _check_error(self, case: Case, answer: Answer) -> None:
        error = answer.error
        assert error is not None
        assert error.message.strip()
        assert len(error.message) < 2000
        assert error.hint is None or error.hint.strip()
        if error.line is None:
            assert error.source is None
            return
        lines = self.ground.written(case.source).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        assert 1 <= error.line <= len(lines)
        assert error.source == lines[error.line - 1].strip()[:200]
