"""A year of 20 accounts comes to the same books to the last hash, however it is lived; and they are right."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pickle
import shutil
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from billing_mcp.store.audit_export import export_books
from billing_mcp.store.store import Store
from tests.stage import Stage
from tests.year import ACCOUNTS, ENDS, SOAK
from tests.year.books import Books, books_of, differences
from tests.year.invariants import assert_holds
from tests.year.killing import Killing
from tests.year.living import Passing, live
from tests.year.script import script

LIMIT_S = 7200 if SOAK else 300
VERIFIER = Path(__file__).parents[2] / "audit" / "verify.py"
MUST_BE_THERE = {
    "invoice paid",
    "invoice past_due",
    "invoice void",
    "credit_note paid",
    "29 February",
    "adjustment",
    "charge",
    "credit",
    "hold",
    "release",
    "reversal",
    "rounding",
    "topup",
}
"""Kinds of documents and of ledger transactions that a year has: else it would show little."""
Lived = tuple[Books, Counter[tuple[str, str]]]
"""The books after a year, and what came of its acts, how often."""
MUST_HAPPEN = {"cancel", "capture", "correct", "plan", "release", "report", "resume", "send", "top_up"}
"""What is done at least ten times (releases and the undoing of what is pending: three), and not only refused."""


class Reference:
    """The year in one go on SQLite. It is lived once in a session, by whichever of its processes comes first."""

    def __init__(self, migrated: Path, own: Path) -> None:
        shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
        self._kept, self._lock = shared / "year.pickle", shared / "year.lock"
        self._migrated, self._own = migrated, own
        with suppress(BlockingIOError):  # who is not the first has another year to live meanwhile
            self._live(fcntl.LOCK_NB)

    def get(self) -> Lived:
        """The books, and what came of its acts; waits for whoever lives it."""
        self._live()
        found: Lived = pickle.loads(self._kept.read_bytes())  # noqa: S301 - our own
        return found

    def _live(self, how: int = 0) -> None:
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | how)
            if not self._kept.exists():
                database = str(shutil.copyfile(self._migrated, self._own / "year.db"))
                self._kept.write_bytes(pickle.dumps(asyncio.run(lived(database, Stage.until))))


@pytest.fixture(scope="session")
def reference(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The year that others are compared with."""
    return Reference(migrated_sqlite, tmp_path_factory.getbasetemp())


async def lived(database: str, passing: Passing) -> Lived:
    """The books after the year was lived in a database, and what came of its acts, how often."""
    store = await Store.open(database)
    try:
        told = await live(store, script(), passing)
    finally:
        await store.close()
    return await books_of(database), Counter(told)


async def assert_verified(database: str, folder: Path) -> None:
    """An export of the books is proved by the verifier, which shares no code with us."""
    store, path = await Store.open(database), folder / "books.jsonl"
    try:
        async with store.read(ENDS) as tx:
            await export_books(tx, path)
    finally:
        await store.close()
    verifier = await asyncio.create_subprocess_exec(sys.executable, "-I", str(VERIFIER), str(path), stdout=PIPE)
    said, _ = await verifier.communicate()
    assert verifier.returncode == 0, said.decode()


@pytest.mark.timeout(LIMIT_S)
async def test_a_year_is_the_same_in_one_go_on_sqlite_and_day_by_day_with_kills_on_each_database(
    reference: Reference, database: str, tmp_path: Path
) -> None:
    async with Killing.on(database) as killing:
        books, again = await lived(database, killing.day_by_day)
    expected, came_of = await asyncio.to_thread(reference.get)

    assert differences(expected, books) == []
    assert again == came_of
    assert killing.cut_short >= 5
    seen = await assert_holds(database, ended=ENDS.date())
    assert MUST_BE_THERE - {name for name, count in seen.items() if count} == set()
    done = Counter({name: count for (name, outcome), count in came_of.items() if outcome == "done"})
    assert {name for name in MUST_HAPPEN if done[name] >= (3 if name in ("release", "resume") else 10)} == MUST_HAPPEN
    assert done["open"] == ACCOUNTS
    await assert_verified(database, tmp_path)


@pytest.mark.timeout(LIMIT_S)
@pytest.mark.skipif(not SOAK, reason="the long year is lived in every way only with BILLING_MCP_SOAK=1")
async def test_a_long_year_is_the_same_in_one_go_on_each_database(reference: Reference, database: str) -> None:
    books, _ = await lived(database, Stage.until)
    expected, _ = await asyncio.to_thread(reference.get)
    assert differences(expected, books) == []
