"""Many lives of a model, each on a fresh database of its own: what the stateful tests have in common."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from billing_mcp.store.migrate import upgrade_database

SOAK = os.environ.get("BILLING_MCP_SOAK") == "1"
"""Whether to live through fifty times as many lives."""

Fresh = Callable[[], AbstractAsyncContextManager[str]]
"""A database for one life."""


def explore(machine: Any, fresh: Fresh, *, examples: int, length: int, **more: Any) -> None:
    """Live through so many lives of a machine, each of so many steps; it is made with a runner and `fresh`."""
    with asyncio.Runner() as runner:
        here = type(machine.__name__, (machine,), {"__init__": lambda self: machine.__init__(self, runner, fresh)})
        depth = settings(
            max_examples=examples * (50 if SOAK else 1),
            stateful_step_count=length,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            **more,
        )
        run_state_machine_as_test(here, settings=depth)


def fresh_files(folder: Path) -> Fresh:
    """SQLite files, copied from one that is migrated."""
    template = folder / "template.db"
    asyncio.run(upgrade_database(str(template)))
    numbers = count(1)

    @asynccontextmanager
    async def fresh() -> AsyncIterator[str]:
        place = folder / str(next(numbers))
        place.mkdir()
        yield str(shutil.copy(template, place / "billing.db"))
        shutil.rmtree(place)

    return fresh


def fresh_databases(migrated: str, server: str) -> Fresh:
    """PostgreSQL databases, copied from one that is migrated."""
    template = urlsplit(migrated).path[1:]
    numbers = count(1)

    @asynccontextmanager
    async def fresh() -> AsyncIterator[str]:
        name = f"{template}_{next(numbers)}"
        connection = await asyncpg.connect(server)
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield migrated.replace(f"/{template}?", f"/{name}?")
        await connection.execute(f"DROP DATABASE {name}")
        await connection.close()

    return fresh
