"""A wallet with a million transactions beside one with a thousand; memory over 200,000 holds; the audit.

On SQLite. The large book is written by the product itself, by 256 callers, which takes some minutes.
A page is asked for as an agent does, by a call of one function; its time is the median of five rounds'
p50. Run it with `python -m benchmarks.books`.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from billing_mcp.app import App
from billing_mcp.domain.instructions import Instruction
from billing_mcp.domain.ledger import AVAILABLE, REVENUE, Entry, Posting
from billing_mcp.operations.platform import open_account, receive_payment
from billing_mcp.settings import Settings
from billing_mcp.store.audit import verify_books

ACCOUNT = "0190c0de-0000-7000-8000-000000000001"
SMALL, LARGE = 1_000, 1_000_000
HOLDS = 200_000
CALLERS = 256
ROUNDS, REQUESTS = 5, 40
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(seconds=20)
MIB = 1 << 20


async def main() -> None:
    """Measure and print."""
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small.db", Path(folder) / "large.db"
        for path, number in ((small, SMALL), (large, LARGE)):
            async with App.open(Settings(database=str(path))) as app:
                await write(app, number)
        async with App.open(Settings(database=str(small))) as few, App.open(Settings(database=str(large))) as many:
            console.print(await pages(few, many))
            console.print(await audit(many))
        async with App.open(Settings(database=str(Path(folder) / "holds.db"))) as app:
            console.print(await memory(app))


async def write(app: App, number: int) -> None:
    """An account whose total has changed so many times."""
    async with app.store.write(BEGIN) as tx:
        await open_account(tx, ACCOUNT, "Books", "EUR")
        await receive_payment(tx, ACCOUNT, 10**12, provider="bench")

    async def charge(n: int) -> None:
        now = BEGIN + n * STEP
        legs = (Entry(AVAILABLE, -1, "EUR"), Entry(REVENUE, 1, "EUR"))
        await app.store.submit(Instruction(ACCOUNT, Posting(ACCOUNT, "charge", f"Message {n}", legs, now), now))

    await by_callers(f"Writing {number:,} transactions", number - 1, charge)


async def by_callers(title: str, number: int, act: Callable[[int], Awaitable[None]]) -> None:
    """Do it so many times, each caller one after the other, with a progress bar."""
    numbers = iter(range(1, number + 1))
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=number)

        async def call() -> None:
            for n in numbers:
                await act(n)
                bar.advance(task)

        await asyncio.gather(*(call() for _ in range(CALLERS)))


async def pages(few: App, many: App) -> Table:
    """Pages and cursors of the large wallet beside the first of the small one."""
    by_page, by_cursor = "billing.transactions.list", "billing.ledger.list"
    late = {"limit": 100}
    subjects: dict[str, tuple[App, str, dict[str, Any]]] = {
        "1,000: first page": (few, by_page, {"page_size": 100}),
        "first page": (many, by_page, {"page_size": 100}),
        "middle page": (many, by_page, {"page_size": 100, "page": LARGE // 200}),
        "last page": (many, by_page, {"page_size": 100, "page": LARGE // 100}),
        "1,000: first of the ledger": (few, by_cursor, late),
        "first of the ledger": (many, by_cursor, late),
        "middle, by cursor": (many, by_cursor, late | {"cursor": cursor_at(LARGE // 2)}),
        "last, by cursor": (many, by_cursor, late | {"cursor": cursor_at(101)}),
        "one day in the middle": (many, by_cursor, late | day_at(LARGE // 2)),
        "1,000: balance": (few, "billing.balance.get", {}),
        "balance": (many, "billing.balance.get", {}),
    }
    samples: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(ROUNDS):
        for name, (app, function, arguments) in subjects.items():
            samples[name].append(await p50_ms(app, function, arguments))
    medians = {name: statistics.median(values) for name, values in samples.items()}
    table = Table("what, of 1,000,000", "ms", "of the first of 1,000 (wanted ≤ 2)", title="Pages of 100")
    base = 1.0
    for name, value in medians.items():
        base = value if name.startswith("1,000") else base
        table.add_row(name, f"{value:.2f}", f"{value / base:.2f}")
    return table


def cursor_at(seq: int) -> str:
    """The cursor behind which the transaction before `seq` comes."""
    created_us = int((BEGIN + (seq - 1) * STEP).timestamp() * 1_000_000)
    return f"{created_us:x}-{seq:x}"


def day_at(seq: int) -> dict[str, str]:
    """The day of a transaction."""
    day = (BEGIN + seq * STEP).date()
    return {"from_date": day.isoformat(), "to_date": (day + timedelta(days=1)).isoformat()}


async def p50_ms(app: App, function: str, arguments: dict[str, Any]) -> float:
    """The median time of a call, one after the other."""
    principal = await app.local_principal()
    times = []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        answer = await app.call(principal, function, {"account_id": ACCOUNT, **arguments})
        times.append((time.perf_counter() - started) * 1000)
        if answer.error is not None:
            raise RuntimeError(answer.error.message)
    return statistics.median(times)


async def audit(app: App) -> Table:
    """How long the audit takes."""
    started = time.perf_counter()
    async with app.store.read(app.clock()) as tx:
        report = await verify_books(tx)
    elapsed_s = time.perf_counter() - started
    if report.findings:
        raise RuntimeError(report.findings[0].problem)
    table = Table("entries", "s", "s for a million (wanted < 60)", title="audit verify")
    table.add_row(f"{report.entries:,}", f"{elapsed_s:.1f}", f"{elapsed_s / report.entries * 1_000_000:.1f}")
    return table


async def memory(app: App) -> Table:
    """What the process holds while holds are placed and captured."""
    async with app.store.write(app.clock()) as tx:
        await open_account(tx, ACCOUNT, "Memory", "EUR")
        await receive_payment(tx, ACCOUNT, 10**12, provider="bench")
    table = Table("holds", "resident MiB", title="Memory")

    async def hold(done: int, number: int) -> None:
        n = done + number
        placed = await app.holds.place(ACCOUNT, 10, reference=f"msg_{n}", idempotency_key=f"place {n}")
        if placed.hold is not None:
            await app.holds.capture(ACCOUNT, placed.hold.hold_id, idempotency_key=f"capture {n}")

    for quarter in range(1, 5):
        done = (quarter - 1) * HOLDS // 4
        await by_callers(f"Holding, {quarter} of 4", HOLDS // 4, partial(hold, done))
        table.add_row(f"{quarter * HOLDS // 4:,}", f"{resident_bytes() / MIB:.1f}")
    return table


def resident_bytes() -> int:
    """What of this process is in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    asyncio.run(main())
