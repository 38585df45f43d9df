"""Owns running a program on a connection: the driver's own, or that of an execution's transaction."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.errors import Internal
from billing_mcp.store.posting.program import Outcome, Program
from billing_mcp.store.posting.sql import Read, Write


def run_on_sqlite(driver: sqlite3.Connection, program: Program) -> list[Outcome]:
    """Run it on the plain driver, without a pause."""
    try:
        step = next(program)
        while True:
            if isinstance(step, Read):
                step = program.send(driver.execute(step.sql, step.values).fetchall())
            else:
                check_written(step, driver.executemany(step.sql, step.values).rowcount)
                step = next(program)
    except StopIteration as end:
        return cast("list[Outcome]", end.value)


async def run_on_asyncpg(driver: Any, program: Program) -> list[Outcome]:
    """Run it on the plain driver; a set is one statement. While the server writes one, the program goes on."""
    writing: asyncio.Task[None] | None = None
    try:
        step = next(program)
        while True:
            if writing is not None:
                await writing
            if isinstance(step, Read):
                writing = None
                step = program.send(await driver.fetch(step.sql, *step.values))
            else:
                writing = asyncio.ensure_future(_write(driver, step))
                await asyncio.sleep(0)  # now it is on its way
                step = next(program)
    except StopIteration as end:
        if writing is not None:
            await writing
        return cast("list[Outcome]", end.value)
    finally:
        if writing is not None and not writing.done():
            writing.cancel()


async def _write(driver: Any, step: Write) -> None:
    status: str = await driver.execute(step.sql, *step.values)  # such as "INSERT 0 64"
    check_written(step, int(status.rpartition(" ")[2]))


async def run_on_connection(connection: AsyncConnection, program: Program) -> list[Outcome]:
    """Run it in the connection's transaction."""
    many = connection.dialect.name == "sqlite"
    try:
        step = next(program)
        while True:
            if isinstance(step, Read):
                found = await connection.exec_driver_sql(step.sql, tuple(step.values))
                step = program.send(found.all())
            else:
                values: Any = list(step.values) if many else tuple(step.values)
                check_written(step, (await connection.exec_driver_sql(step.sql, values)).rowcount)
                step = next(program)
    except StopIteration as end:
        return cast("list[Outcome]", end.value)


def check_written(step: Write, written: int) -> None:
    """Raise Internal unless all rows of a set were written."""
    if step.count is not None and written != step.count:
        raise Internal(f"{step.table} changed under a posting: {written} of {step.count} rows were written")
