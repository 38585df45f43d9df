"""`python -m tests.year.child` lets time pass in databases, each time in a process of its own, which may be killed.

For each line of `DATABASE<tab>MOMENT` it forks, says the number of the process, and then how that ended. The process
advances the clock of the database to the moment, and does all that is due on the way.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from datetime import datetime

import aiosqlite
import asyncpg
import sqlalchemy.dialects.postgresql.asyncpg
import sqlalchemy.dialects.sqlite.aiosqlite
import structlog

from billing_mcp.store.store import Store
from tests.stage import Stage
from tests.year import BEGINS

PRELOADED = (aiosqlite, asyncpg, sqlalchemy.dialects.postgresql.asyncpg, sqlalchemy.dialects.sqlite.aiosqlite)
"""What is first imported when it is first used: here no process has to."""


async def advance(database: str, until: datetime) -> None:
    """Advance the database's own clock."""
    store = await Store.open(database)
    try:
        stage = await Stage.open(store, BEGINS)
        await stage.look_at_the_clock()
        await stage.until(until)
    finally:
        await store.close()


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    assert threading.active_count() == 1  # a fork takes one along
    for line in sys.stdin:
        database, until = line.rstrip("\n").split("\t")
        process = os.fork()
        if not process:
            asyncio.run(advance(database, datetime.fromisoformat(until)))
            os._exit(0)
        print(process, flush=True)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
