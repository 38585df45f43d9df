"""A disk that is full refuses all that wait with one clear error, and harms nothing that was there."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from billing_mcp.store import engine
from billing_mcp.store.posting.batches import SQLiteBatches
from billing_mcp.store.store import Store
from tests.faults.filling import fill_and_make_room
from tests.faults.ground import OpenStore, open_accounts

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("only who may mount a disk can fill one")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


async def test_a_full_disk_refuses_all_that_wait_and_has_harmed_nothing(
    small_disk: Path, open_store: OpenStore
) -> None:
    database = str(small_disk / "billing.db")
    ballast = small_disk / "ballast"
    store = await open_store(database)
    accounts = await open_accounts(store, 4)
    ballast.write_bytes(bytes(3 << 20))

    async def make_room() -> None:
        ballast.unlink()

    with capture_logs() as logs:
        await fill_and_make_room(store, database, accounts, make_room)

    assert [log for log in logs if log["log_level"] == "error"] == []


async def test_a_file_that_may_not_grow_refuses_all_that_wait_and_has_harmed_nothing(sqlite: str) -> None:
    command = (sys.executable, "-m", "tests.faults.limited", sqlite)
    child = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT, cwd=PROJECT)
    said, _ = await child.communicate()

    assert said.decode().endswith("sound\n"), said.decode()
    assert b"[error" not in said
    assert child.returncode == 0


async def test_a_database_without_another_page_refuses_all_that_wait_and_has_harmed_nothing(
    sqlite: str, monkeypatch: pytest.MonkeyPatch, open_store: OpenStore
) -> None:
    await (await Store.open(sqlite)).close()
    monkeypatch.setattr(engine, "_SQLITE_WRITER_PRAGMAS", (*engine._SQLITE_WRITER_PRAGMAS, "max_page_count=100"))
    store = await open_store(sqlite)
    accounts = await open_accounts(store, 4)

    async def make_room() -> None:
        more = "PRAGMA max_page_count=1000000"
        batches = cast("SQLiteBatches", store._postings._batches)
        assert batches._connection is not None
        cast("sqlite3.Connection", batches._connection.driver_connection).execute(more)
        async with store._writer.connect() as connection:
            await connection.exec_driver_sql(more)

    with capture_logs() as logs:
        await fill_and_make_room(store, sqlite, accounts, make_room)

    assert [log for log in logs if log["log_level"] == "error"] == []
