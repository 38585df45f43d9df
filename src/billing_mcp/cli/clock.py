"""Owns `billing-mcp clock`: the time of a database for demos and tests, and going on to another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from billing_mcp import terminal
from billing_mcp.app import now_on, worker_on
from billing_mcp.catalog.loader import load_catalog
from billing_mcp.cli.common import Database, Json, run
from billing_mcp.cli.opened import open_store
from billing_mcp.demo.history import DEMO_ACCOUNTS
from billing_mcp.domain.clock import iso, start_of
from billing_mcp.domain.errors import InvalidArgument, Refused
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.standings import Change
from billing_mcp.payments.providers import open_provider
from billing_mcp.settings import EARLIEST_YEAR, LATEST_YEAR, Settings
from billing_mcp.store.clocks import DatabaseClock
from billing_mcp.store.store import Store, Transaction
from billing_mcp.store.test_clock import ClockMark
from billing_mcp.worker.advancing import Advance, stored
from billing_mcp.worker.changes import changes_since, standings_of
from billing_mcp.worker.charging import Charging
from billing_mcp.worker.worker import Worker

app = typer.Typer(no_args_is_help=True, add_completion=False)


@dataclass(frozen=True, slots=True)
class _Advanced:
    """Where the clock stood and stands, how often it stopped, what became of accounts, and of jobs."""

    since: datetime
    now: datetime
    stops: int
    changes: Sequence[Change]
    worker: Worker


@app.callback()
def _clock() -> None:
    """The time of a database for demos and tests: look at a month, or a year, of billing in seconds.

    Such a database has a clock of its own, which stands still until it is advanced. Whatever opens the database goes
    by it; BILLING_MCP_NOW, where it is set, outranks it. The demo's database has one.
    """


@app.command()
def start(
    at: Annotated[
        str | None, typer.Option(metavar="MOMENT", help="Where it stands: a date, or ISO 8601 (UTC). Default: now.")
    ] = None,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Make a database one for tests, with a clock of its own: while it has no account, or only the demo's.

    For good: the time of real accounts is the system's. What runs on the database already does not notice: start it
    again.
    """

    async def work() -> None:
        async with open_store(database) as (store, settings):
            now = await now_on(store, settings)
            moment = now if at is None else _moment(at, "at")
            async with store.write(now) as tx:
                await _start(tx, moment, now)
            await _show(store, settings, as_json=as_json)

    run(work())


@app.command()
def show(as_json: Json = False, database: Database = None) -> None:
    """Show what time it is in a database, and whose time that is."""

    async def work() -> None:
        async with open_store(database) as (store, settings):
            await _show(store, settings, as_json=as_json)

    run(work())


@app.command()
def advance(
    to: Annotated[str, typer.Option(metavar="MOMENT", help="A date, which begins at 00:00 UTC, or ISO 8601.")],
    account: Annotated[
        list[UUID] | None, typer.Option(metavar="ACCOUNT_ID", help="Only what is due of this account. Repeatable.")
    ] = None,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Do all that would have happened until a moment, each thing at its own, and leave the clock there.

    Months are closed, holds and credits expire, payments settle, wallets are reloaded, reminders are sent. Interrupted
    or killed, what was done stays: run it again, and it goes on. With --account what others have due is done late:
    by a worker, or when the clock is advanced next.
    """

    async def work() -> None:
        until = _moment(to, "to")
        async with open_store(database) as (store, settings):
            if settings.now is not None:
                raise InvalidArgument(
                    "BILLING_MCP_NOW stops the clock of every command: there is nothing to advance",
                    field="BILLING_MCP_NOW",
                    hint="Unset it.",
                )
            done = await _advance(store, settings, until, [str(each) for each in account or ()])
        _report(done, as_json=as_json)
        if done.worker.outcomes["dead"]:
            raise typer.Exit(1)

    run(work())


async def _start(tx: Transaction, moment: datetime, now: datetime) -> None:
    mark = await tx.test_clock.find()
    accounts = {each.account_id for each in await tx.accounts.all()}
    if mark is None and accounts - DEMO_ACCOUNTS:
        raise Refused(
            "there are accounts in this database: its time stays the system's",
            code="not_a_test_database",
            hint="Give a --database that is new, or the demo's.",
        )
    if accounts and moment < now:
        raise InvalidArgument(
            f"it is {iso(now)} in this database already, and a clock goes on only", field="at", hint="Give a later one."
        )
    if accounts and mark is not None and mark.stands_at is not None and moment > now:
        raise InvalidArgument(
            f"the clock stands at {iso(now)}: what is due until then would be late",
            field="at",
            hint=f"billing-mcp clock advance --to {iso(moment)}",
        )
    await tx.test_clock.set(ClockMark(moment))


async def _show(store: Store, settings: Settings, *, as_json: bool) -> None:
    now = await now_on(store, settings)
    async with store.read(now, single=True) as tx:
        mark = await tx.test_clock.find()
    if as_json:
        stands_at = mark and mark.stands_at and iso(mark.stands_at)
        terminal.print_json({"now": iso(now), "test_clock": mark is not None, "stands_at": stands_at})
        return
    terminal.say(f"It is {iso(now)}: {_whose(mark, settings)}.")


def _whose(mark: ClockMark | None, settings: Settings) -> str:
    if settings.now is not None:
        return "BILLING_MCP_NOW stops the clock"
    if mark is None:
        return "the system's time; this database is not one for tests"
    if mark.stands_at is None:
        return "the system's time, until the clock of this test database is advanced"
    return "the clock of this test database stands there"


async def _advance(store: Store, settings: Settings, until: datetime, account_ids: Sequence[str]) -> _Advanced:
    async with store.read(await now_on(store, settings)) as tx:
        mark = await tx.test_clock.find()
        for account_id in account_ids:
            await tx.accounts.get(account_id)
    if mark is None:
        raise Refused(
            "the time of this database is the system's, and cannot be advanced",
            code="not_a_test_database",
            hint="Start a clock in a database without accounts, billing-mcp clock start, or try billing-mcp demo.",
        )
    clock = DatabaseClock(mark)
    since = clock()
    if until < since:
        raise InvalidArgument(
            f"it is {iso(since)} in this database already, and a clock goes on only",
            field="to",
            hint="Give a later one.",
        )
    catalog = load_catalog(settings.catalog)  # whose prices are wrong must not begin to charge by them
    limited = store.of_accounts(account_ids) if account_ids else store
    provider = await open_provider(settings, limited, clock)
    # One job at a time: then the same span comes to the same, however often it is lived through.
    one_by_one = settings.model_copy(update={"worker_jobs": 1})
    worker = worker_on(limited, one_by_one, clock, Charging(limited, catalog, clock, provider))
    go, stops = stored(store, clock), 0
    try:
        before = await standings_of(store, catalog.book, since)
        await go(since)  # one that went with the system's time stands from now on
        with terminal.counting(f"Advancing to {until.date()}") as bar:

            def on_stop(moment: datetime) -> None:
                nonlocal stops
                stops += 1
                bar((moment - since).days, max(1, (until - since).days))

            await Advance(limited, clock, go, worker).to(until, on_stop=on_stop)
        changes = await changes_since(store, catalog.book, before, clock())
    except asyncio.CancelledError:
        say = terminal.error_console().print
        say(f"Interrupted: the clock stands at {iso(clock())}. The same command goes on from there.", markup=False)
        raise
    finally:
        await provider.close()
    return _Advanced(since, clock(), stops, changes, worker)


def _report(done: _Advanced, *, as_json: bool) -> None:
    if as_json:
        jobs = {ending: done.worker.outcomes[ending] for ending in ("done", "again", "dead", "left")}
        told = {"since": iso(done.since), "now": iso(done.now), "stops": done.stops, "jobs": jobs}
        terminal.print_json({**told, "accounts": [_item(change) for change in done.changes]})
        return
    terminal.say(f"It was {iso(done.since)}, and is {iso(done.now)}: the clock stopped {done.stops} times on the way.")
    if done.changes:
        rows = [_row(change) for change in done.changes]
        shown = [name for name in rows[0] if any(row[name] for row in rows)]
        cells = [[row[name] for name in shown] for row in rows]
        right = [name for name in shown if name in _FIGURES]
        terminal.console().print(terminal.table("What changed", shown, cells, right=right))
    else:
        terminal.say("Nothing has changed.")
    if done.worker.outcomes["dead"]:
        terminal.say("Some work was given up for dead: billing-mcp outbox list")


_FIGURES = ("invoices", "charged", "paid in", "expired", "reminders", "balance", "free")


def _row(change: Change) -> dict[str, str]:
    """What a table shows of an account; what has not changed is blank."""
    return {
        "account": change.name,
        "invoices": str(change.invoices or ""),
        "charged": _money(change.charged_micros),
        "paid in": _money(change.paid_in_micros),
        "expired": _money(change.credits_expired_micros),
        "tiers": ", ".join(f"{channel} {was} → {now}" for channel, (was, now) in change.tiers.items()),
        "reminders": str(change.reminders or ""),
        "balance": f"{_between(change.balance_micros)} {change.currency}",
        "free": _between(change.free_micros) if change.free_micros != change.balance_micros else "",
        "status": " → ".join(dict.fromkeys(change.status)),
    }


def _between(micros: tuple[int, int]) -> str:
    return " → ".join(dict.fromkeys(format_micros(each) for each in micros))


def _money(micros: int) -> str:
    return format_micros(micros) if micros else ""


def _item(change: Change) -> dict[str, Any]:
    return {
        "account_id": change.account_id,
        "name": change.name,
        "currency": change.currency,
        "invoices": change.invoices,
        "charged": format_micros(change.charged_micros),
        "paid_in": format_micros(change.paid_in_micros),
        "credits_expired": format_micros(change.credits_expired_micros),
        "tiers": {channel: _from_to(pair) for channel, pair in change.tiers.items()},
        "reminders": change.reminders,
        "balance": _from_to(map(format_micros, change.balance_micros)),
        "free": _from_to(map(format_micros, change.free_micros)),
        "status": _from_to(change.status),
    }


def _from_to(pair: Iterable[str]) -> dict[str, str]:
    return dict(zip(("before", "after"), pair, strict=True))


def _moment(text: str, field: str) -> datetime:
    """A date is its first moment. Raises InvalidArgument."""
    with suppress(ValueError, OverflowError):
        day = date.fromisoformat(text) if len(text) == len("2026-03-01") else None
        given = datetime.fromisoformat(text) if day is None else start_of(day)
        moment = given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
        if EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
            return moment
    message = f"--{field} must be a date or a moment in ISO 8601, such as 2026-03-01 or 2026-03-01T12:00:00Z; "
    raise InvalidArgument(f"{message}got {text!r}", field=field)
