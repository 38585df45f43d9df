"""Workers that kill themselves: `python -m tests.faults.cashiers DATABASE EPOCH_S EVERY_S PLACE...`.

One after the other, by a clock that goes on by EVERY_S, takes up one charge that is due, goes as far as its place, and
is gone: no line of it runs after that. All are forked from one process, which has loaded everything, and says how each
of them ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from billing_mcp.operations.topup_start import CHARGE
from billing_mcp.payments.embedded import EmbeddedProvider
from billing_mcp.store.store import Store
from billing_mcp.worker import charging
from billing_mcp.worker.worker import Worker
from tests.worker.desk import LIMITS
from tests.worker.till import Till

PLACES: dict[str, tuple[Any, str]] = {
    "registered": (EmbeddedProvider, "create_payment"),
    "stored": (charging.Charging, "_registered"),
    "confirmed": (EmbeddedProvider, "confirm_payment"),
    "recording": (charging, "learn"),
    "recorded": (charging.Charging, "charge"),
}
"""After what a worker is killed: the provider's answers, what is stored of them, and within that transaction."""


def _last(work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[None]]:
    async def work_and_die(*args: Any, **named: Any) -> None:
        await work(*args, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    return work_and_die


async def _charge(database: str, now: datetime, place: str) -> None:
    owner, name = PLACES[place]
    setattr(owner, name, _last(getattr(owner, name)))
    store = await Store.open(database)
    till = await Till.open(store, lambda: now)
    limits = replace(LIMITS, at_a_time=1)
    await Worker(store, till.clock, limits, jobs={CHARGE: till.charging.charge}).run_once()


def main() -> None:
    """Send them one after the other, and say by which signal each was ended, or its exit code."""
    database, epoch_s, every_s, *places = sys.argv[1:]
    for number, place in enumerate(places):
        now = datetime.fromtimestamp(int(epoch_s) + number * int(every_s), UTC)
        child = os.fork()
        if child == 0:
            asyncio.run(_charge(database, now, place))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{place} {os.waitstatus_to_exitcode(status)}\n")


if __name__ == "__main__":
    main()
