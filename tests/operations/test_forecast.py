"""billing.forecast.get: how long the money lasts, on what was really sent and charged."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from billing_mcp.domain.errors import NotFound
from tests.operations.platform import Platform
from tests.world import World

NOBODY = "0190c0de-0000-7000-8000-0000000000ff"
NOTHING = {"low": None, "expected": None, "high": None}


async def sends(platform: Platform, segments_a_day: int, days: int) -> None:
    """So many segments to Germany, at 0.075 each, on each of so many days; afterwards it is the day after."""
    for _ in range(days):
        await platform.delivered(await platform.sms(segments_a_day))
        platform.later(days=1)


async def test_what_is_not_used_never_runs_out(world: World) -> None:
    platform = await Platform.of(world, funds="50.00")

    assert await platform.ask("forecast.get") == {
        "currency": "EUR",
        "available": "50.00",
        "accrued_charges": "0.00",
        "net_available": "50.00",
        "history": {"from_date": "2026-03-12", "to_date": "2026-03-12", "days": 0, "sufficient": False},
        "daily_spending": {"low": "0.00", "expected": "0.00", "high": "0.00", "plan": "0.00"},
        "runway_days": NOTHING,
        "runs_out_on": {"earliest": None, "expected": None, "latest": None},
    }


async def test_four_weeks_of_messages_by_hand(world: World) -> None:
    platform = await Platform.of(world, funds="100.00")
    for segments in (2, 6, 4, 4):  # a day of each week: 0.15, 0.45, 0.30 and 0.30, on average 0.30
        await sends(platform, segments, 7)

    # 112 segments were 8.40; 91.60 / 0.45 = 203.5, / 0.30 = 305.3, / 0.15 = 610.6; today is 9 April.
    assert await platform.ask("forecast.get") == {
        "currency": "EUR",
        "available": "91.60",
        "accrued_charges": "0.00",
        "net_available": "91.60",
        "history": {"from_date": "2026-03-12", "to_date": "2026-04-09", "days": 28, "sufficient": True},
        "daily_spending": {"low": "0.15", "expected": "0.30", "high": "0.45", "plan": "0.00"},
        "runway_days": {"low": 203, "expected": 305, "high": 610},
        "runs_out_on": {"earliest": "2026-10-29", "expected": "2027-02-08", "latest": "2027-12-10"},
    }


async def test_a_plan_accrues_every_day_and_what_it_has_is_not_there_any_more(world: World) -> None:
    platform = await Platform.of(world, funds="100.00", plan="smtp_per_mailbox")
    platform.later(days=10)

    found = await platform.ask("forecast.get")

    # 29.00 x 10/31 = 9.354839. In the next 30 days: 29.00 x 21/31 and, from 12 April, 29.00 x 9/30, by 30.
    assert (found["available"], found["accrued_charges"], found["net_available"]) == (
        "100.00",
        "9.354839",
        "90.645161",
    )
    assert found["daily_spending"] == dict.fromkeys(("low", "expected", "high", "plan"), "0.944839")
    assert found["runway_days"] == {"low": 95, "expected": 95, "high": 95}  # 90.645161 / 0.944839 = 95.9
    assert found["history"]["sufficient"] is False


async def test_a_plan_that_is_to_end_is_counted_for_the_days_that_it_has_left(world: World) -> None:
    platform = await Platform.of(world, funds="100.00", plan="smtp_per_mailbox")
    platform.later(days=28)  # it ends on 12 April, in 3 days
    await world.must(f"billing.plan.cancel(account_id={platform.account_id!r})")

    assert (await platform.ask("forecast.get"))["daily_spending"]["plan"] == "0.093548"  # 29.00 x 3/31 / 30


async def test_what_is_held_cannot_be_spent_and_today_does_not_count_yet(world: World) -> None:
    platform = await Platform.of(world, funds="10.00")
    await sends(platform, 2, 3)
    await platform.delivered(await platform.sms(10))
    await platform.sms(8)

    found = await platform.ask("forecast.get")

    assert found["available"] == "8.20"  # 10.00 - 3 x 0.15 - 0.75, and 0.60 on its way
    assert found["daily_spending"]["expected"] == "0.15"
    assert (found["history"]["days"], found["history"]["sufficient"]) == (3, False)
    assert found["runway_days"] == {"low": 54, "expected": 54, "high": 54}
    assert found["runs_out_on"]["expected"] == (world.clock.now.date() + timedelta(days=54)).isoformat()


async def test_of_several_messages_and_channels_a_day_all_count(world: World) -> None:
    platform = await Platform.of(world)
    await platform.delivered(await platform.sms(1))
    await platform.delivered(await platform.sms(1, market="AT"))
    emails = await platform.emails(2)
    await platform.report(emails, recipient="u0@example.com")
    platform.later(days=1)

    assert (await platform.ask("forecast.get"))["daily_spending"]["expected"] == "0.1449"  # 0.075 + 0.069 + 0.0009


async def test_it_is_the_same_in_a_script_that_writes_as_in_one_that_reads(world: World) -> None:
    platform = await Platform.of(world, funds="100.00")
    await sends(platform, 1, 2)
    call = f"billing.forecast.get(account_id={platform.account_id!r})"
    change = f"billing.plan.change(account_id={platform.account_id!r}, plan_id='smtp_per_mailbox')"

    read: Any = await world.must(call)
    before, after = await world.must(f"before = {call}\n{change}\n[before, {call}]", preview=True)

    assert before == read
    assert after["daily_spending"]["plan"] != read["daily_spending"]["plan"]


async def test_nobodys_account_has_no_forecast(world: World) -> None:
    platform = Platform(world, NOBODY)
    with pytest.raises(NotFound):
        await platform.ask("forecast.get")
