"""A process that is killed at any moment, with 64 writers at work, loses and doubles nothing."""

from __future__ import annotations

import asyncio
import random
import sys
from asyncio.subprocess import PIPE, Process
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import pytest

from billing_mcp.domain.instructions import Receipt
from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.store.store import Store
from tests.faults import SOAK
from tests.faults.ground import assert_sound, descriptions, holds_on, open_accounts, until
from tests.faults.writers import ACCOUNTS, HOLDERS, PAYERS, Round, told
from tests.store.books import raw_connection

PROJECT = Path(__file__).parents[2]
KILLS = 10
LATEST = 600
"""By then so many steps at most are acknowledged when the kill comes, on purpose."""


class Victim:
    """A child with many writers, and what it was told."""

    def __init__(self, process: Process, log: Path, run: str) -> None:
        self.run = run
        self._process = process
        self._log = log

    @classmethod
    async def start(cls, database: str, folder: Path, run: str, *, module: str = "tests.faults.writers") -> Victim:
        """A child that is ready and waits for the word."""
        log = folder / f"{run}.log"
        command = (sys.executable, "-m", module, database, str(log), run)
        return cls(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stderr=PIPE, cwd=PROJECT), log, run)

    async def killed_after(self, steps: int) -> None:
        """Let it write, and kill it once so many steps were acknowledged."""
        assert self._process.stdin is not None
        assert self._process.stderr is not None
        self._process.stdin.write(b"go\n")
        await until(lambda: self._process.returncode is not None or self._acknowledged() >= steps, "its writing")
        with suppress(ProcessLookupError):
            self._process.kill()
        assert await self._process.wait() == -9, (await self._process.stderr.read()).decode()
        self._process.stdin.close()

    async def end(self) -> None:
        """Let it go, without having written."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.communicate()

    def _acknowledged(self) -> int:
        return self._log.read_bytes().count(b"\n") if self._log.exists() else 0

    def steps(self) -> dict[tuple[int, int, str], str]:
        """What was acknowledged: by writer, round and step."""
        known = {}
        for line in self._log.read_text().splitlines(keepends=True):
            writer, number, step, what = line.split("\t")
            if what.endswith("\n"):
                known[int(writer), int(number), step] = what.rstrip("\n")
        return known


async def send_again(holds: PlatformHolds, rounds: list[Round], known: dict[tuple[int, int, str], str]) -> bool:
    """Send the rounds of one writer again. Whether all of it had happened before."""
    replayed = True

    def check(each: Round, step: str, receipt: Receipt) -> None:
        nonlocal replayed
        replayed &= receipt.replayed
        acknowledged = known.get((each.writer, each.number, step))
        assert acknowledged in (None, told(receipt)), f"{each.name}: {step}"
        assert acknowledged is None or receipt.replayed, f"{each.name}: {step} was lost"

    for each in rounds:
        placed = await each.place(holds)
        check(each, "place", placed)
        assert placed.hold is not None
        check(each, "end", await each.end(holds, placed.hold.hold_id))
    return replayed


async def assert_nothing_was_lost_or_doubled(database: str, victim: Victim) -> None:
    known = victim.steps()
    last: dict[int, int] = defaultdict(lambda: -1)
    for writer, number, _ in known:
        last[writer] = max(last[writer], number)
    store = await Store.open(database)
    try:
        await assert_sound(store, database)
        counts = await descriptions(database)
        for number in range(HOLDERS, HOLDERS + PAYERS):
            paid = [counts.get(Round(victim.run, number, n).name, 0) for n in range(last[number] + 3)]
            assert paid in ([1] * (last[number] + 1) + [n, 0] for n in (0, 1))
        holds = holds_on(store)
        rounds = [[Round(victim.run, n, r) for r in range(last[n] + 2)] for n in range(HOLDERS)]
        await asyncio.gather(*(send_again(holds, each, known) for each in rounds))
        assert all(await asyncio.gather(*(send_again(holds, each, known) for each in rounds)))
        await assert_stand(database, victim.run, [each for writer in rounds for each in writer])
        await assert_sound(store, database)
    finally:
        await store.close()


async def assert_stand(database: str, run: str, rounds: list[Round]) -> None:
    """Each round has one hold, which is as its steps leave it; there are no others."""
    columns = "reference, amount_micros, captured_micros, released_micros, status"
    async with raw_connection(database) as sql:
        stored = await sql(f"SELECT {columns} FROM holds WHERE reference LIKE $1", f"{run}-%")  # noqa: S608
    assert sorted(stored) == sorted((each.name, each.amount, *each.after) for each in rounds)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("chapter", range(20 if SOAK else 1))
async def test_a_kill_under_64_writers_loses_nothing_and_doubles_nothing(
    database: str, tmp_path: Path, chapter: int
) -> None:
    store = await Store.open(database)
    await open_accounts(store, ACCOUNTS)
    await store.close()
    moments = random.Random(chapter)  # noqa: S311 - it need not be a secret
    victim = await Victim.start(database, tmp_path, f"run{chapter}x0")
    for kill in range(KILLS):
        await victim.killed_after(moments.randrange(1, LATEST))
        following = await Victim.start(database, tmp_path, f"run{chapter}x{kill + 1}")
        try:
            await assert_nothing_was_lost_or_doubled(database, victim)
        except BaseException:
            await following.end()
            raise
        victim = following
    await victim.end()
