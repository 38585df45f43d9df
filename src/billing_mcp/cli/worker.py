"""Owns `billing-mcp worker`: doing what falls due, for as long as it runs or once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer

from billing_mcp import terminal
from billing_mcp.app import following_clock, worker_on
from billing_mcp.catalog.loader import load_catalog
from billing_mcp.cli.common import Database, Json, run
from billing_mcp.cli.opened import open_store
from billing_mcp.payments.providers import open_provider
from billing_mcp.worker.charging import Charging
from billing_mcp.worker.queues import Outcome
from billing_mcp.worker.worker import Worker

app = typer.Typer(add_completion=False)

_ENDINGS: dict[Outcome, str] = {"done": "done", "again": "to be tried again", "dead": "dead", "left": "left"}


@app.command()
def worker(
    once: Annotated[bool, typer.Option("--once", help="Do all that is due, and end.")] = False,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Do what falls due: give back what holds reserve that are past their time, and tell webhooks of events.

    It runs until Ctrl-C or SIGTERM, and then ends what it has begun. A server over HTTP does the same by
    itself; as many as you like may share a database. Killed at any time, the next one goes on.
    With --once it exits with 1 if work was given up for dead.
    """

    async def work() -> None:
        async with open_store(database) as (store, settings), following_clock(store, settings) as clock:
            catalog = load_catalog(settings.catalog)  # whose prices are wrong must not begin to charge by them
            provider = await open_provider(settings, store, clock)
            worker = worker_on(store, settings, clock, Charging(store, catalog, clock, provider))
            try:
                await (worker.run_once() if once else _until_told(worker))
            finally:
                await provider.close()
        _show(worker, as_json=as_json)
        if once and worker.outcomes["dead"]:
            raise typer.Exit(1)

    run(work())


async def _until_told(worker: Worker) -> None:
    say = terminal.error_console().print
    with _told_to_end() as stop:
        say("Working on what falls due - Ctrl-C ends.")
        await worker.run(stop)
    say("Ended: what was running has been finished, or is left to the next worker.")


def _show(worker: Worker, *, as_json: bool) -> None:
    counts = {ending: worker.outcomes[ending] for ending in _ENDINGS}
    if as_json:
        terminal.print_json(counts)
        return
    total = sum(counts.values())
    told = ", ".join(f"{count} {_ENDINGS[ending]}" for ending, count in counts.items() if count)
    terminal.say(f"{total} {'job' if total == 1 else 'jobs'}{f': {told}' if told else ''}.")
    if counts["dead"]:
        terminal.say("What is dead is tried again only when you say so: billing-mcp outbox list")


@contextmanager
def _told_to_end() -> Iterator[asyncio.Event]:
    """Set by the first SIGINT or SIGTERM; the second one ends the process as it always does."""
    loop, stop, numbers = asyncio.get_running_loop(), asyncio.Event(), (signal.SIGINT, signal.SIGTERM)

    def end() -> None:
        stop.set()
        restore()

    def restore() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)

    # Windows has no such handlers: there Ctrl-C interrupts, and what was running is left to its lease.
    with suppress(NotImplementedError):
        for number in numbers:
            loop.add_signal_handler(number, end)
    try:
        yield stop
    finally:
        with suppress(NotImplementedError):
            restore()
