"""What rating, tiers and usage cost: messages beside plain holds, and a month of few messages beside one of many.

Rated sends and holds go through the same public Python API and the same engine, by as many callers, in turn. A batch
of messages goes through a whole server over HTTP. A month's usage is asked of two databases, of which one has a
hundred times as many messages. The books of all are audited. Each row is the median of five rounds.

Run it with `python -m benchmarks.messages`, on a machine that does nothing else. Filling takes some minutes, and three
gigabytes of the temporary folder; `--few` leaves the large database out.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import uvloop
from benchmarks.faces import ACCOUNT, FUNDS_MICROS, UNBOUND, audited, bearer, fill, json_bytes, process
from benchmarks.peers.http_load import load, request
from rich.console import Console
from rich.progress import track
from rich.table import Table

from billing_mcp.app import App
from billing_mcp.catalog.loader import default_catalog
from billing_mcp.domain.clock import system_clock
from billing_mcp.domain.instructions import Instruction
from billing_mcp.domain.messages import SendMessage
from billing_mcp.operations.drafts import Draft
from billing_mcp.operations.platform import open_account, receive_payment
from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.operations.platform_messages import PlatformMessages
from billing_mcp.settings import Settings
from billing_mcp.store.store import Store

ROUNDS = 5
EACH = 6_400
CALLERS = 256
BATCH = 1_000
BATCHES = 12
READS = 300
FEW, MANY = 10_000, 1_000_000
DAYS = 28
TEXT = "Your code is 402 118. It is good for ten minutes."

_numbers = count(1)
Subject = Callable[[], Awaitable[float]]


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What rating, tiers and usage cost.")
    parser.add_argument("--few", action="store_true", help="leave the million messages out")
    few = parser.parse_args().few
    with tempfile.TemporaryDirectory() as folder:
        await sends(str(Path(folder) / "sends.db"))
        await batches(str(Path(folder) / "batches.db"))
        if not few:
            await usage(Path(folder))


async def sends(database: str) -> None:
    """Rated sends a second beside plain holds, on SQLite."""
    await fill(database)
    store = await Store.open(database)
    holds = PlatformHolds(store, system_clock)
    messages = PlatformMessages(store, system_clock, default_catalog().book)

    async def hold(number: int) -> None:
        await holds.place(ACCOUNT, 6_500, reference=f"msg_{number:012d}", idempotency_key=f"key {number}")

    def sending(draft: Callable[[int], Draft]) -> Callable[[int], Awaitable[object]]:
        return lambda number: messages.send(ACCOUNT, draft(number), idempotency_key=f"key {number}")

    subjects: dict[str, Subject] = {
        "plain holds": lambda: by_callers(hold),
        "emails": lambda: by_callers(sending(email)),
        "text messages": lambda: by_callers(sending(sms)),
        "RCS of a conversational agent": lambda: by_callers(sending(rcs)),
    }
    medians = await measure(subjects)
    await store.close()
    await audited(database)
    base = medians["plain holds"]
    rows = [(name, f"{value:,.0f}", f"{value / base:.2f}", "≥ 0.6") for name, value in medians.items()]
    show(f"SQLite, {CALLERS} callers", ("what", "a second", "of plain holds", "wanted"), rows)


async def by_callers(work: Callable[[int], Awaitable[object]]) -> float:
    """Do it EACH times by CALLERS who each wait for their own. Returns how many a second."""
    left = iter(range(EACH))

    async def call() -> None:
        for _ in left:
            await work(next(_numbers))

    started_s = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(CALLERS)))
    return EACH / (time.perf_counter() - started_s)


async def batches(database: str) -> None:
    """Batches of a thousand over REST, by four callers."""
    _, platform = await fill(database)
    command = ["-m", "billing_mcp", "serve", "--transport", "http", "--port", "0", "--json-response"]

    def batch(mode: str) -> Callable[[int], bytes]:
        def make(_: int) -> bytes:
            messages = [
                {"channel": "sms", "to": [phone(number)], "market": "DE", "text": TEXT, "reference": f"msg_{number}"}
                for number in (next(_numbers) for _ in range(BATCH))
            ]
            body = json_bytes({"account_id": ACCOUNT, "mode": mode, "messages": messages})
            headers = bearer(platform) | {"Idempotency-Key": f"batch {next(_numbers)}"}
            return request("POST", "/v1/messages/batch", headers, body)

        return make

    async with process(command, {"BILLING_MCP_DATABASE": database, **UNBOUND}, "Serving agents on") as port:

        def asked(mode: str, callers: int) -> Subject:
            async def ask() -> float:
                done = await load(port, batch(mode), connections=callers, requests=BATCHES)
                return done.per_second * BATCH

            return ask

        subjects = {
            "each for itself, four callers": asked("each", 4),
            "each for itself, one caller": asked("each", 1),
            "all or nothing, one caller": asked("all_or_nothing", 1),
        }
        medians = await measure(subjects)
    await audited(database)
    rows = [(name, f"{value:,.0f}", "≥ 4,000") for name, value in medians.items()]
    show(f"SQLite, batches of {BATCH:,} over REST", ("what", "messages a second", "wanted"), rows)


async def usage(folder: Path) -> None:
    """The p50 of billing.usage.get, of a month with ten thousand messages and of one with a million."""
    paths = {number: str(folder / f"{number}.db") for number in (FEW, MANY)}
    now = datetime.fromisoformat("2026-03-31T12:00:00Z")
    for number, path in paths.items():
        await live(path, number, now)
    names = {number: f"{number:,} messages" for number in paths}
    samples: dict[str, list[float]] = {name: [] for name in names.values()}
    for _ in range(ROUNDS):
        for number, path in paths.items():
            async with App.open(Settings(database=path, now=now)) as app:
                principal = await app.local_principal()
                times = []
                for _ in range(READS):
                    started_s = time.perf_counter()
                    found = await app.read(principal, "billing.usage.get", {"account_id": ACCOUNT, "month": "2026-03"})
                    times.append((time.perf_counter() - started_s) * 1000)
                assert found["accepted"] == number, found["accepted"]
                samples[names[number]].append(statistics.median(times))
    medians = {name: statistics.median(times) for name, times in samples.items()}
    base = medians[names[FEW]]
    rows = [(name, f"{value:.2f}", f"{value / base:.2f}", "≤ 1.5") for name, value in medians.items()]
    show("A month's usage", ("of", "ms", "of the few", "wanted"), rows)


async def live(database: str, messages: int, now: datetime) -> None:
    """A month of delivered messages, spread over its days in the same variety however many there are."""
    store = await Store.open(database)
    clock = [now]
    platform = PlatformMessages(store, lambda: clock[0], default_catalog().book)
    try:
        async with store.write(now - timedelta(days=60)) as tx:
            await open_account(tx, ACCOUNT, "Benchmark", "EUR")
            await receive_payment(tx, ACCOUNT, FUNDS_MICROS, provider="test")
        hashes = await platform.hashes()
        drafts = (email, sms, rcs)
        parts = [(day, start) for day in range(DAYS) for start in range(0, messages // DAYS + 1, 2_000)]
        done = 0
        for day, start in track(parts, description=f"{messages:,} messages"):
            clock[0] = now.replace(day=day + 1)
            each = min(2_000, messages // DAYS + 1 - start, messages - done)
            asked: list[Instruction] = []
            for number in range(done, done + each):
                sent = platform.sending(ACCOUNT, drafts[number % 3](number), hashes)
                assert isinstance(sent.action, SendMessage)
                asked += [sent, await platform.reporting(ACCOUNT, sent.action.message_id, "delivered")]
            async with store.write(clock[0]) as tx:
                await tx.ledger.carry_out(asked)
            done += each
    finally:
        await store.close()


def email(number: int) -> Draft:
    """A message to one recipient."""
    return Draft("email", to=[f"user{number}@example.com"], reference=f"msg_{number}")


def sms(number: int) -> Draft:
    """A text message of one part."""
    return Draft("sms", to=[phone(number)], market="DE", text=TEXT, reference=f"msg_{number}")


def rcs(number: int) -> Draft:
    """A message that a conversation may form from."""
    return Draft("rcs", to=[phone(number)], market="DE", text=TEXT, sender="shop", conversational=True)


def phone(number: int) -> str:
    """A user's number."""
    return f"+4915{number:09d}"


async def measure(subjects: dict[str, Subject]) -> dict[str, float]:
    """The median of each. The first round warms up and is not counted."""
    samples: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(ROUNDS + 1):
        for name, subject in subjects.items():
            value = await subject()
            if number:
                samples[name].append(value)
    return {name: statistics.median(values) for name, values in samples.items()}


def show(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=110).print(table)


if __name__ == "__main__":
    uvloop.run(main())
