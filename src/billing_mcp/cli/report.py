"""Owns `billing-mcp report`: what people would rather look at than read."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import typer
from rich.table import Table

from billing_mcp import charts, terminal
from billing_mcp.app import LOCAL_PRINCIPAL, clock_on
from billing_mcp.catalog.loader import load_catalog
from billing_mcp.charts import Bar, Chart
from billing_mcp.cli.common import Database, Json, run
from billing_mcp.cli.opened import open_store
from billing_mcp.domain.errors import Refused
from billing_mcp.kernel.execution import Executor
from billing_mcp.kernel.limits import Limits
from billing_mcp.kernel.principal import Permission, Principal
from billing_mcp.operations import REGISTRY
from billing_mcp.operations.traffic import CHANNELS

app = typer.Typer(help="Charts of what was used.", no_args_is_help=True, add_completion=False)

Measure = Literal["amount", "units", "messages"]
_OF: dict[Measure, str] = {"amount": "amount", "units": "quantity", "messages": "accepted"}
_BAR_CHARS = 64


@dataclass(frozen=True, slots=True)
class _Found:
    """A month's usage: as a whole, and by day and channel."""

    name: str
    month: dict[str, Any]
    days: dict[str, Any]


@app.callback()
def _report() -> None:
    """Charts of what was used."""


@app.command()
def usage(
    account_id: Annotated[UUID, typer.Argument(metavar="ACCOUNT_ID")],
    month: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="Default: the current one, in UTC.")] = None,
    of: Annotated[Measure, typer.Option(help="What the bars are long by.")] = "amount",
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write the chart there, to be shown or printed.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Draw a month of messages, day by day and channel by channel, and how far each is from its next tier.

    The figures are those of billing.usage.get and billing.usage.detailed. Examples:

    billing-mcp report usage 0190c0de-0000-7000-8000-000000000004 --month 2026-02

    billing-mcp report usage 0190c0de-0000-7000-8000-000000000004 --of messages --svg usage.svg
    """

    async def work() -> None:
        if svg is not None and svg.exists() and not force:
            raise Refused(f"{svg} is there already", code="file_exists", field="svg", hint="Give --force, or another.")
        found = await _found(database, str(account_id), month)
        if svg is not None:
            svg.write_text(charts.as_svg(_chart(found, of)), "utf-8")
        if as_json:
            terminal.print_json({"usage": found.month, "by_day": found.days})
            return
        out = terminal.console()
        out.print(charts.in_terminal(_chart(found, of), width=_BAR_CHARS))
        out.print()
        out.print(_channels(found.month))
        if svg is not None:
            terminal.say(f"Drawn: {svg}")

    run(work())


async def _found(database: str | None, account_id: str, month: str | None) -> _Found:
    async with open_store(database) as (store, settings):
        clock = await clock_on(store, settings)
        executor = Executor(store, REGISTRY, load_catalog(settings.catalog), clock, Limits())
        principal = Principal(LOCAL_PRINCIPAL, frozenset(Permission))
        try:
            named = {} if month is None else {"month": month}
            whole = await executor.read(principal, "billing.usage.get", {"account_id": account_id, **named})
            first = date.fromisoformat(f"{whole['month']}-01")
            until = first + timedelta(days=monthrange(first.year, first.month)[1])
            span = {"from_date": first.isoformat(), "to_date": until.isoformat(), "group_by": "day,channel"}
            days = await executor.read(principal, "billing.usage.detailed", {"account_id": account_id, **span})
            async with store.read(clock()) as tx:
                name = (await tx.accounts.get(account_id)).name
        finally:
            await executor.close()
    return _Found(name, whole, days)


def _chart(found: _Found, of: Measure) -> Chart:
    values = {(row["day"], row["channel"]): Decimal(row[_OF[of]]) for row in found.days["items"]}
    first, end = (date.fromisoformat(found.days[name]) for name in ("from_date", "to_date"))
    days = [first + timedelta(days=number) for number in range((end - first).days)]
    bars = [
        Bar(f"{day.day:02d}", tuple(values.get((day.isoformat(), channel), Decimal(0)) for channel in CHANNELS))
        for day in days
    ]
    currency = found.month["currency"]
    what = f"{of} of messages" if of != "messages" else "messages"
    unit = currency if of == "amount" else ""
    return Chart(f"{found.name}: {what}, {found.month['month']}", CHANNELS, tuple(bars), unit)


def _channels(month: dict[str, Any]) -> Table:
    rows = [_row(channel) for channel in month["channels"]]
    total = ("total", *(f"{month[name]:,}" for name in ("accepted", "delivered", "failed")), "", month["amount"], "")
    columns = ("channel", "accepted", "delivered", "failed", "units", f"amount, {month['currency']}", "tier")
    figures = columns[1:4] + columns[5:6]
    return terminal.table(f"By channel, {month['month']}", columns, [*rows, total], right=figures)


def _row(channel: dict[str, Any]) -> tuple[str, ...]:
    counts = tuple(f"{channel[name]:,}" for name in ("accepted", "delivered", "failed"))
    units = "\n".join(f"{each['quantity']:,} {each['unit']}" for each in channel["units"])
    return (channel["channel"], *counts, units, channel["amount"], _tier(channel["tier_progress"]))


def _tier(progress: dict[str, Any] | None) -> str:
    if progress is None:
        return ""
    if progress["next_tier"] is None:
        return f"{progress['tier']} ({progress['source']})"
    return f"{progress['tier']} ({progress['source']})\n{progress['missing']:,} units to {progress['next_tier']}"
