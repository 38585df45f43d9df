"""What an execution costs beside its parts, in one run on this machine.

Each row is the median of five rounds, in milliseconds, with its ratio to the bare sandbox
running the same trivial script. The app is the real one: SQLite with WAL and FULL, demo data,
real worker processes; only the MCP transport is left out.

Run it with `python benchmarks/parts.py`.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from pydantic_monty import AsyncMonty
from rich.console import Console
from rich.table import Table

from billing_mcp.app import App
from billing_mcp.demo.history import STORIES, seed_demo
from billing_mcp.settings import Settings

ROUNDS = 5
CALLS_A_ROUND = 40
ACCOUNT = STORIES[0].account_id
BALANCE = f"billing.wallet_balance.get(account_id={ACCOUNT!r})"
TEN = f"[{BALANCE}['balance'] for _ in range(10)]"
WRITE = f"billing.plan.cancel(account_id={ACCOUNT!r})\nbilling.plan.resume(account_id={ACCOUNT!r})"

Work = Callable[[], Awaitable[object]]


async def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(database=str(Path(folder) / "bench.db"), execution_after_write_s=1)
        async with App.open(settings) as app, AsyncMonty(min_processes=1, max_processes=2) as pool:
            await seed_demo(app.store, app.clock(), messages=1000)
            principal = await app.local_principal()

            async def bare() -> object:
                async with pool.checkout() as session:
                    return await session.feed_run("1 + 1")

            def script(source: str, *, preview: bool = False) -> Work:
                async def run() -> object:
                    answer = await app.run_script(principal, source, preview=preview)
                    assert answer.error is None, answer.error
                    return answer

                return run

            works: dict[str, Work] = {
                "bare sandbox, trivial script": bare,
                "trivial script": script("1 + 1"),
                "one call": script(BALANCE),
                "ten calls": script(TEN),
                "a write, previewed": script(WRITE, preview=True),
                "a write, committed": script(WRITE),
                "the same single call without a script": lambda: app.call(
                    principal, "billing.wallet_balance.get", {"account_id": ACCOUNT}
                ),
            }
            medians = await measure(works)
    table = Table("what", "ms", "of the bare sandbox", title="An execution beside its parts")
    base = medians["bare sandbox, trivial script"]
    for name, median in medians.items():
        table.add_row(name, f"{median:.2f}", f"{median / base:.1f}")
    Console().print(table)


async def measure(works: dict[str, Work]) -> dict[str, float]:
    """The median milliseconds of each work, their rounds taken in turn."""
    rounds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS + 1):
        for name, work in works.items():
            started = time.perf_counter()
            for _ in range(CALLS_A_ROUND):
                await work()
            rounds[name].append((time.perf_counter() - started) * 1000 / CALLS_A_ROUND)
    return {name: statistics.median(times[1:]) for name, times in rounds.items()}


if __name__ == "__main__":
    asyncio.run(main())
