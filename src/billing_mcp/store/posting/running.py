"""Owns running a program on a connection: the driver's own, or that of an execution's transaction."""

from __future__ import annotations

import sqlite3
from typing import Any, cast

from sqlalchemy import CursorResult
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.store.posting.program import Outcome, Program
from billing_mcp.store.posting.sql import Read


def run_on_sqlite(driver: sqlite3.Connection, program: Program) -> list[Outcome]:
    """Run it on the plain driver, without a pause."""
    try:
        step = next(program)
        while True:
            if isinstance(step, Read):
                step = program.send(driver.execute(step.sql, step.values).fetchall())
            else:
                step = program.send(driver.executemany(step.sql, step.values).rowcount)
    except StopIteration as end:
        return cast("list[Outcome]", end.value)


async def run_on_asyncpg(driver: Any, program: Program) -> list[Outcome]:
    """Run it on the plain driver; a set is one statement."""
    try:
        step = next(program)
        while True:
            if isinstance(step, Read):
                step = program.send(await driver.fetch(step.sql, *step.values))
            else:
                status: str = await driver.execute(step.sql, *step.values)  # such as "INSERT 0 64"
                step = program.send(int(status.rpartition(" ")[2]))
    except StopIteration as end:
        return cast("list[Outcome]", end.value)


async def run_on_connection(connection: AsyncConnection, program: Program) -> list[Outcome]:
    """Run it in the connection's transaction."""
    try:
        step = next(program)
        while True:
            if isinstance(step, Read):
                found = await connection.exec_driver_sql(step.sql, tuple(step.values))
                step = program.send(found.all())
            else:
                sqlite = connection.dialect.name == "sqlite"
                values: Any = list(step.values) if sqlite else tuple(step.values)
                written: CursorResult[Any] = await connection.exec_driver_sql(step.sql, values)
                step = program.send(written.rowcount)
    except StopIteration as end:
        return cast("list[Outcome]", end.value)
