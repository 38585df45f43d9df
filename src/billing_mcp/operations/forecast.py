"""billing.forecast.*: how long the money lasts."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.forecast import Forecast, forecast, history_from
from billing_mcp.domain.money import format_micros
from billing_mcp.kernel.arguments import AccountId
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource
from billing_mcp.operations.account import load_account

if TYPE_CHECKING:
    from billing_mcp.store.store import Transaction

FORECAST = Resource("forecast", doc="How long the money lasts, by recent use.")


class ForecastHistory(TypedDict):
    """The days that a forecast is made of, up to and without `to_date`. Below 28 `sufficient` is False."""

    from_date: str
    to_date: str
    days: int
    sufficient: bool


class DailySpending(TypedDict):
    """What a day costs, `plan` included, which is the plan's share of each."""

    low: str
    expected: str
    high: str
    plan: str


class RunwayDays(TypedDict):
    """Whole days, today included; null where nothing is spent."""

    low: int | None
    expected: int | None
    high: int | None


class RunsOutOn(TypedDict):
    """The day on which the money does not last till the end; null where nothing is spent."""

    earliest: str | None
    expected: str | None
    latest: str | None


class Runway(TypedDict):
    """`net_available` is `available` less `accrued_charges`."""

    currency: str
    available: str
    accrued_charges: str
    net_available: str
    history: ForecastHistory
    daily_spending: DailySpending
    runway_days: RunwayDays
    runs_out_on: RunsOutOn


@FORECAST.operation(requires=Permission.VIEW, route="GET /forecast", own_route="GET /forecast")
async def get(ctx: Context, *, account_id: AccountId) -> Runway:
    """How many days the money lasts if spending goes on as lately, with the range.

    Expected: what messages cost a day over the last 4 whole weeks (UTC), and what the plan accrues a day. Low and
    high: the same in the cheapest and the dearest of the last 8 weeks; high spending makes the low runway.
    Errors: not_found.
    """
    currency, found = await _forecast(ctx.tx, ctx.catalog, account_id)
    daily = found.daily
    low, expected, high = (
        found.runway_days(each) for each in (daily.high_micros, daily.expected_micros, daily.low_micros)
    )
    return {
        "currency": currency,
        "available": format_micros(found.available_micros),
        "accrued_charges": format_micros(found.accrued_micros),
        "net_available": format_micros(found.net_micros),
        "history": {
            "from_date": (found.today - timedelta(days=found.history_days)).isoformat(),
            "to_date": found.today.isoformat(),
            "days": found.history_days,
            "sufficient": found.has_enough_history,
        },
        "daily_spending": {
            "low": format_micros(daily.low_micros),
            "expected": format_micros(daily.expected_micros),
            "high": format_micros(daily.high_micros),
            "plan": format_micros(found.plan_micros),
        },
        "runway_days": {"low": low, "expected": expected, "high": high},
        "runs_out_on": {
            "earliest": _after(found.today, low),
            "expected": _after(found.today, expected),
            "latest": _after(found.today, high),
        },
    }


async def forecast_of(tx: Transaction, catalog: Catalog, account_id: str) -> Forecast:
    """How long an account's money lasts. Raises NotFound."""
    return (await _forecast(tx, catalog, account_id))[1]


async def _forecast(tx: Transaction, catalog: Catalog, account_id: str) -> tuple[str, Forecast]:
    _, account = await load_account(tx, catalog, account_id)
    wallet, today = account.wallet, tx.now.date()
    spent = await tx.messages.spent_by_day(account_id, history_from(today), today - timedelta(days=1))
    found = forecast(spent, account.accrued_micros, wallet.available_micros, today)
    return wallet.currency, found


def _after(today: date, days: int | None) -> str | None:
    return None if days is None else (today + timedelta(days=days)).isoformat()
