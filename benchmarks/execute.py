"""billing-mcp beside its peer, FastMCP's CodeMode: whole servers over stdio, by one and the same client.

Both run Python in the same Monty. The peer answers from dicts in memory and keeps nothing, so what
billing-mcp takes more is the price of a transaction, of permissions and of a record. The peer is shown
twice: as FastMCP ships it, where each execution starts a process, and with a pool of workers that is
kept. Each row is the median of five rounds, taken in turn; a time per request is the rounds' p50.

Run it with `python benchmarks/execute.py`. The peer gets an environment of its own, which is made at
the first run and kept in the user's cache.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types import CallToolResult
from platformdirs import user_cache_path
from rich.console import Console
from rich.table import Table

ROUNDS = 5
REQUESTS_A_ROUND = 40
CONCURRENT = 50
PEERS = Path(__file__).parent / "peers"
REQUIREMENTS = PEERS / "requirements.txt"
ACCOUNT = "0190c0de-0000-7000-8000-000000000001"

TRIVIAL = "trivial script, ms"
ONE_CALL = "one call, ms"
TEN_CALLS = "ten calls, ms"
AT_ONCE = f"{CONCURRENT} one-call scripts at once, scripts/s"
COLD_START = "cold start, ms"
LISTING = "tools/list, bytes"
ROWS = (TRIVIAL, ONE_CALL, TEN_CALLS, AT_ONCE, COLD_START, LISTING)

_OURS_CALL = f"billing.wallet_balance.get(account_id={ACCOUNT!r})"
_PEER_CALL = f"(await call_tool('billing.wallet_balance.get', {{'account_id': {ACCOUNT!r}}}))"
_LOOP = "balances = []\nfor _ in range(10):\n    balances.append({call}['balance'])\nreturn balances"
OUR_SCRIPTS = {TRIVIAL: "1 + 1", ONE_CALL: _OURS_CALL, TEN_CALLS: _LOOP.format(call=_OURS_CALL)}
PEER_SCRIPTS = {TRIVIAL: "return 1 + 1", ONE_CALL: f"return {_PEER_CALL}", TEN_CALLS: _LOOP.format(call=_PEER_CALL)}

Samples = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Subject:
    """A server to measure, and how it wants each script written; none for a server without scripts."""

    name: str
    command: list[str]
    scripts: dict[str, str]

    @asynccontextmanager
    async def connected(self, errors: TextIO) -> AsyncIterator[Client]:
        """A client of a new process of it, by the handshake that clients in use today begin with."""
        parameters = StdioServerParameters(command=self.command[0], args=self.command[1:])
        async with Client(stdio_client(parameters, errlog=errors), mode="legacy", read_timeout_seconds=60) as client:
            yield client


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="billing-mcp beside FastMCP's CodeMode.")
    parser.add_argument("--peer-python", help="a Python that has what peers/requirements.txt lists")
    peer_python = parser.parse_args().peer_python or made_python()
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder) / "bench.db")
        seed(database)
        subjects = [
            Subject("billing-mcp", [str(our_command()), "serve", "--database", database], OUR_SCRIPTS),
            Subject("FastMCP CodeMode", [peer_python, str(PEERS / "fastmcp_server.py")], PEER_SCRIPTS),
            Subject("… kept pool", [peer_python, str(PEERS / "fastmcp_server.py"), "--warm"], PEER_SCRIPTS),
            Subject("bare MCP SDK", [sys.executable, str(PEERS / "bare_server.py")], {}),
        ]
        with (Path(folder) / "stderr.txt").open("w") as errors:
            samples = await measure_scripts(subjects, errors)
            await measure_starts(subjects, samples, errors)
    medians = {name: {row: statistics.median(values) for row, values in rows.items()} for name, rows in samples.items()}
    Console(width=120).print(table_of(medians))


def made_python() -> str:
    """The Python of the peer's own environment: its needs are not ours, and some of them disagree."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    folder = user_cache_path("billing-mcp") / "fastmcp" / digest
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not (folder / "complete").exists():
        Console(stderr=True).print(f"Installing FastMCP into {folder}: this takes a minute, once.")
        venv.create(folder, clear=True, with_pip=True)
        # --no-deps: the list is whole, and one of its pins is older than FastMCP asks for.
        subprocess.run([str(python), "-m", "pip", "install", "-q", "--no-deps", "-r", str(REQUIREMENTS)], check=True)
        (folder / "complete").touch()
    return str(python)


def our_command() -> Path:
    """The `billing-mcp` of the environment that runs this."""
    return Path(sys.executable).with_name("billing-mcp")


def seed(database: str) -> None:
    """Fill a database with the demo's accounts."""
    command = [str(our_command()), "demo", "--seed-only", "--messages", "1000", "--database", database]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


async def measure_scripts(subjects: list[Subject], errors: TextIO) -> dict[str, Samples]:
    """All that needs a running server. The first round warms up and is not counted."""
    samples: dict[str, Samples] = {subject.name: {} for subject in subjects}
    async with AsyncExitStack() as stack:
        clients = {s.name: await stack.enter_async_context(s.connected(errors)) for s in subjects if s.scripts}
        for number in range(ROUNDS + 1):
            for subject in in_turn([s for s in subjects if s.scripts], number):
                for row, value in (await one_round(clients[subject.name], subject.scripts)).items():
                    if number:
                        samples[subject.name].setdefault(row, []).append(value)
    return samples


async def one_round(client: Client, scripts: dict[str, str]) -> dict[str, float]:
    """The p50 of each script in milliseconds, and the throughput of many at once."""
    measured = {row: await p50_ms(client, script) for row, script in scripts.items()}
    started = time.perf_counter()
    await asyncio.gather(*(execute(client, scripts[ONE_CALL]) for _ in range(CONCURRENT)))
    return measured | {AT_ONCE: CONCURRENT / (time.perf_counter() - started)}


async def p50_ms(client: Client, script: str) -> float:
    """The median time of a request, one after the other."""
    times = []
    for _ in range(REQUESTS_A_ROUND):
        started = time.perf_counter()
        await execute(client, script)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


async def execute(client: Client, script: str) -> CallToolResult:
    """Run a script. A failure would be measured as speed, so it ends the benchmark."""
    result = await client.call_tool("execute", {"code": script})
    if result.is_error:
        raise RuntimeError(f"the script failed: {result.content}")
    return result


async def measure_starts(subjects: list[Subject], samples: dict[str, Samples], errors: TextIO) -> None:
    """From starting the process to the answer to tools/list, and how long that answer is."""
    for number in range(ROUNDS + 1):
        for subject in in_turn(subjects, number):
            started = time.perf_counter()
            async with subject.connected(errors) as client:
                tools = await client.list_tools()
                elapsed_ms = (time.perf_counter() - started) * 1000
            if number:
                samples[subject.name].setdefault(COLD_START, []).append(elapsed_ms)
                size = len(tools.model_dump_json(by_alias=True, exclude_none=True).encode())
                samples[subject.name].setdefault(LISTING, []).append(size)


def in_turn(subjects: list[Subject], number: int) -> list[Subject]:
    """The subjects, another one first in each round."""
    first = number % len(subjects)
    return subjects[first:] + subjects[:first]


def table_of(medians: dict[str, dict[str, float]]) -> Table:
    """What was measured. A ratio is billing-mcp's figure divided by that server's."""
    ours, *others = medians
    table = Table("what", ours, title="Whole servers over stdio (in brackets: billing-mcp's figure as a multiple)")
    for name in others:
        table.add_column(name)
    for row in ROWS:
        base = medians[ours][row]
        cells = [f"{medians[n][row]:,.1f} ({base / medians[n][row]:.2f})" if row in medians[n] else "" for n in others]
        table.add_row(row, f"{base:,.1f}", *cells)
    return table


if __name__ == "__main__":
    asyncio.run(main())
