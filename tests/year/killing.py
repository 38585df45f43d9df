"""Time that passes in processes which are killed in the middle of what they do, and in others that go on from there."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from random import Random

from billing_mcp.domain.clock import start_of
from tests.stage import DAY, Stage
from tests.store.books import Run, raw_connection
from tests.year import SEED

PROJECT = Path(__file__).parents[2]
LAST_DAYS = (28, 29, 30, 31)
"""Most falls due on these."""
KILLED_DAYS = 0.3
"""How many of them see a kill."""
MOST_POSTED = 6
"""So many ledger transactions at most are posted before a kill."""


class Killing:
    """Lets time pass on one database; how often it has killed, and how often before all was done."""

    def __init__(self, database: str, children: Process, run: Run) -> None:
        self._database = database
        self._children = children
        self._run = run
        self._luck = Random(SEED)  # noqa: S311 - it need not be a secret
        self.kills = 0
        self.cut_short = 0

    @classmethod
    @asynccontextmanager
    async def on(cls, database: str) -> AsyncIterator[Killing]:
        """For the block."""
        command = (sys.executable, "-m", "tests.year.child")
        children = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, cwd=PROJECT)
        try:
            async with raw_connection(database) as run:
                yield cls(database, children, run)
        finally:
            assert children.stdin is not None
            children.stdin.close()
            await children.wait()

    async def day_by_day(self, stage: Stage, until: datetime) -> None:
        """Let time pass midnight by midnight: in this process, or by one that is killed and another that goes on."""
        while stage.clock() < until:
            midnight = min(start_of(stage.clock().date() + DAY), until)
            if midnight.day in LAST_DAYS and self._luck.random() < KILLED_DAYS:
                await self._killed(midnight)
                await stage.look_at_the_clock()
                await stage.until(midnight)
            else:
                await stage.day_by_day(midnight)

    async def _killed(self, until: datetime) -> None:
        """Let a process advance to a moment, and kill it once it has posted so much, if it does."""
        enough = await self._posted() + self._luck.randint(0, MOST_POSTED)
        assert self._children.stdin is not None
        self._children.stdin.write(f"{self._database}\t{until.isoformat()}\n".encode())
        process, ended = int(await self._said()), asyncio.create_task(self._said())
        while not ended.done() and await self._posted() < enough:
            await asyncio.wait([ended], timeout=0.002)
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        how = int(await ended)
        assert how in (0, -signal.SIGKILL)
        self.kills += how != 0
        self.cut_short += how != 0 and await self._left_work(until)

    async def _left_work(self, until: datetime) -> bool:
        """Whether something is due still, or was begun and never ended."""
        due = "SELECT 1 FROM billing_cycles WHERE next_due_us <= $1 UNION SELECT 1 FROM outbox WHERE lease IS NOT NULL"
        return bool(await self._run(due, int(until.timestamp()) * 1_000_000))

    async def _posted(self) -> int:
        ((count,),) = await self._run("SELECT SUM(last_seq) FROM wallets")
        return int(count or 0)

    async def _said(self) -> bytes:
        assert self._children.stdout is not None
        return await self._children.stdout.readline()
