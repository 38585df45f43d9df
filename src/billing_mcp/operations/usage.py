"""billing.usage.*: what was sent, what it was counted as and what it cost, added up."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta
from typing import Annotated, Literal, NotRequired, cast, get_args

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.pricing import Channel, Unit
from billing_mcp.domain.rating import MessageType
from billing_mcp.domain.tiers import TierSource
from billing_mcp.kernel.arguments import AccountId, Day, Month, Takes
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Resource
from billing_mcp.operations.traffic import CHANNELS, ChannelNow, Used, channels_now

USAGE = Resource("usage", doc="What was sent, what it was counted as and what it cost.")

MAX_DAYS = 366
ACTIVE_USERS: Unit = "mau"
Key = Literal["day", "channel", "message_type", "unit", "tier", "market"]
_KEYS = get_args(Key)


def _keys(value: object) -> str:
    """The names as one text, each once."""
    names = value.split(",") if isinstance(value, str) else value
    if isinstance(names, list) and all(isinstance(name, str) and name.strip() in _KEYS for name in names):
        once = dict.fromkeys(name.strip() for name in names)
        if 1 <= len(once) <= 2:
            return ",".join(once)
    raise PydanticCustomError("group_by", "no group_by")


GroupBy = Annotated[
    str | list[str],
    BeforeValidator(_keys),
    Takes(f"one or two of {', '.join(_KEYS)}, joined by a comma", ("'day'", "'day,channel'")),
    WithJsonSchema({"type": "string", "pattern": f"^({'|'.join(_KEYS)})(,({'|'.join(_KEYS)}))?$"}),
]


class UnitUsage(TypedDict):
    """How many of a unit were charged, less those taken back, and what they cost."""

    unit: Unit
    quantity: int
    amount: str


class TierProgress(TypedDict):
    """The tier in force, and how many units this month has to bring yet for the next one, null where there is none."""

    tier: str
    source: TierSource
    volume: int
    next_tier: str | None
    missing: int | None


class ChannelUsage(TypedDict):
    """A channel's messages in a month, by recipient. `tier_progress` is that of now, null for a month that is over.

    `in_flight` are those on their way at the end of the month, or now, whenever they were accepted.
    """

    channel: Channel
    accepted: int
    delivered: int
    failed: int
    in_flight: int
    units: list[UnitUsage]
    active_users: int
    amount: str
    tier_progress: TierProgress | None


class MonthUsage(TypedDict):
    """A calendar month (UTC), in total and by channel."""

    month: str
    currency: str
    amount: str
    delivered: int
    active_users: int
    channels: list[ChannelUsage]
    accepted: int
    failed: int
    in_flight: int


class UsageTotals(TypedDict):
    """Messages by recipient, units that were charged, users that were active where they cost, and all of it in money.

    `quantity` counts no active users.
    """

    amount: str
    quantity: int
    delivered: int
    accepted: int
    failed: int
    active_users: int


class UsageRow(UsageTotals):
    """What falls together under the same day, channel or whatever it was grouped by."""

    day: NotRequired[str]
    channel: NotRequired[Channel]
    message_type: NotRequired[MessageType]
    unit: NotRequired[Unit]
    tier: NotRequired[str]
    market: NotRequired[str]


class UsageRows(TypedDict):
    """Rows in order, and all of them together. `to_date` is the day after the last."""

    currency: str
    from_date: str
    to_date: str
    group_by: list[Key]
    items: list[UsageRow]
    total: UsageTotals


@USAGE.operation(requires=Permission.VIEW, route="GET /usage", own_route="GET /usage")
async def get(ctx: Context, *, account_id: AccountId, month: Month | None = None) -> MonthUsage:
    """A calendar month's messages, units, active users and amounts, and how far each channel is from its next tier.

    Without `month` (YYYY-MM) it is the current one, in UTC, so far. What is taken back counts less than none on
    the day that it is. The amounts are those of messages; plans are charged for themselves.
    Errors: invalid_argument, not_found.
    """
    first, last = _days_of(month or ctx.today.isoformat()[:7], ctx.today)
    account = await ctx.tx.states.get(account_id)
    used = await ctx.tx.messages.usage(account_id, first, last)
    in_flight = await ctx.tx.messages.in_flight(account_id, last)
    now = await channels_now(ctx.tx, ctx.catalog.book, account) if last == ctx.today else {}
    totals = _totals(used)
    return {
        "month": first.isoformat()[:7],
        "currency": account.wallet.currency,
        "accepted": totals["accepted"],
        "delivered": totals["delivered"],
        "failed": totals["failed"],
        "in_flight": sum(in_flight.values()),
        "active_users": totals["active_users"],
        "amount": totals["amount"],
        "channels": [_channel(each, used, in_flight.get(each, 0), now.get(each)) for each in CHANNELS],
    }


@USAGE.operation(
    requires=Permission.VIEW, route="GET /usage/detailed", own_route="GET /usage/detailed", reads_once=True
)
async def detailed(
    ctx: Context,
    *,
    account_id: AccountId,
    from_date: Day | None = None,
    to_date: Day | None = None,
    group_by: GroupBy = "day",
) -> UsageRows:
    """Usage by day, channel, message_type, unit, tier or market, or by two of them such as "day,channel".

    Days are UTC; `from_date` is the first one, `to_date` the one after the last, at most 366 days later. Without
    them it is the current month so far. The rows are in order of what they are grouped by, and add up to `total`.
    Errors: invalid_argument, not_found.
    """
    first, end = _span(from_date, to_date, ctx.today)
    currency, used = await ctx.tx.messages.used(account_id, first, end - timedelta(days=1))
    keys = cast("list[Key]", cast("str", group_by).split(","))
    together: dict[tuple[str, ...], Used] = {}
    for key, usage in used:
        together.setdefault(tuple(getattr(key, name) for name in keys), []).append((key, usage))
    items = [{**dict(zip(keys, by, strict=True)), **_totals(rows)} for by, rows in sorted(together.items())]
    return {
        "currency": currency,
        "from_date": first.isoformat(),
        "to_date": end.isoformat(),
        "group_by": keys,
        "items": cast("list[UsageRow]", items),
        "total": _totals(used),
    }


def _days_of(month: str, today: date) -> tuple[date, date]:
    """The first day of a month, and its last one that has begun. Raises InvalidArgument for a month to come."""
    year, number = map(int, month.split("-"))
    first = date(year, number, 1)
    if first > today:
        raise InvalidArgument(
            f"month {month} has not begun; today is {today} (UTC)",
            field="month",
            hint="Leave month out for the current one.",
        )
    return first, min(today, first.replace(day=monthrange(year, number)[1]))


def _span(from_date: date | None, to_date: date | None, today: date) -> tuple[date, date]:
    """The first day, and the one after the last. Raises InvalidArgument."""
    end = to_date or today + timedelta(days=1)
    first = from_date or max(end, date(1, 1, 2)) - timedelta(days=1)
    first = first if from_date else first.replace(day=1)
    if end <= first:
        raise InvalidArgument(
            f"to_date must be later than from_date: {end} ends before {first} begins",
            field="to_date",
            hint="to_date is the day after the last: one whole day is from_date='2030-01-31', to_date='2030-02-01'.",
        )
    if (end - first).days > MAX_DAYS:
        raise InvalidArgument(
            f"from {first} to {end} are {(end - first).days} days, and at most {MAX_DAYS} are added up at a time",
            field="to_date",
            hint="Ask for a year at a time.",
        )
    return first, end


def _channel(channel: Channel, used: Used, in_flight: int, now: ChannelNow | None) -> ChannelUsage:
    mine = [(key, usage) for key, usage in used if key.channel == channel]
    totals = _totals(mine)
    return {
        "channel": channel,
        "accepted": totals["accepted"],
        "delivered": totals["delivered"],
        "failed": totals["failed"],
        "in_flight": in_flight,
        "units": _units(mine),
        "active_users": totals["active_users"],
        "amount": totals["amount"],
        "tier_progress": None if now is None else _progress(now),
    }


def _progress(now: ChannelNow) -> TierProgress:
    place = now.next_place
    return {
        "tier": now.tier.name,
        "source": now.standing.source,
        "volume": now.state.volume,
        "next_tier": now.named(place),
        "missing": now.missing,
    }


def _units(used: Used) -> list[UnitUsage]:
    """Every unit that was charged or taken back."""
    sums: dict[Unit, tuple[int, int]] = {}
    for key, usage in used:
        quantity, micros = sums.get(key.unit, (0, 0))
        sums[key.unit] = (quantity + usage.quantity, micros + usage.amount_micros)
    return [
        {"unit": unit, "quantity": quantity, "amount": format_micros(micros)}
        for unit, (quantity, micros) in sorted(sums.items())
        if quantity or micros
    ]


def _totals(used: Used) -> UsageTotals:
    units = [usage for key, usage in used if key.unit != ACTIVE_USERS]
    return {
        "accepted": sum(usage.accepted for usage in units),
        "delivered": sum(usage.delivered for usage in units),
        "failed": sum(usage.failed for usage in units),
        "quantity": sum(usage.quantity for usage in units),
        "active_users": sum(usage.quantity for key, usage in used if key.unit == ACTIVE_USERS),
        "amount": format_micros(sum(usage.amount_micros for _, usage in used)),
    }
