"""billing.usage.*: what was sent, counted and charged, added up the same however it is asked."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from itertools import combinations, permutations
from typing import Any, get_args

import pytest
import pytest_asyncio

from billing_mcp.domain.errors import InvalidArgument, NotFound
from billing_mcp.domain.instructions import Instruction
from billing_mcp.domain.messages import PauseMessage
from billing_mcp.domain.money import parse_micros
from billing_mcp.operations.usage import Key
from tests.operations.platform import PHONE, Platform
from tests.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = get_args(Key)
COUNTED = ("accepted", "delivered", "failed", "quantity", "active_users")
NOBODY = "0190c0de-0000-7000-8000-0000000000ff"


@pytest.fixture
def world(lasting_world: World) -> World:
    """One for all of these tests: each is about accounts of its own."""
    return lasting_world


@pytest_asyncio.fixture(loop_scope="module")
async def busy(world: World) -> Platform:
    """An account with messages in every channel, on three days of two months."""
    world.clock.now = world.clock.now.replace(month=2, day=27)
    platform = await Platform.of(world)
    await platform.delivered(await platform.sms(2))
    late = await platform.emails(3)
    world.clock.now = world.clock.now.replace(month=3, day=2)
    await platform.report(late, recipient="u0@example.com")
    await platform.report(late, "failed", recipient="u1@example.com")
    await platform.delivered(await platform.sms(3, market="AT"), segments=2)
    await platform.report(await platform.sms(1), "failed")
    world.clock.now = world.clock.now.replace(day=5)
    await platform.delivered(await platform.chat())
    platform.later(hours=1)
    await platform.hear()
    await platform.delivered(await platform.chat(to="+4915112345679"))
    await platform.chat(to="+4915112345670")
    return platform


async def test_a_month_says_what_became_of_messages_and_what_they_were_charged_as(busy: Platform) -> None:
    month = await busy.ask("usage.get")

    channels = {each["channel"]: each for each in month.pop("channels")}
    assert month == {
        "month": "2026-03",
        "currency": "EUR",
        "accepted": 5,
        "delivered": 4,
        "failed": 2,
        "in_flight": 2,
        "active_users": 2,
        "amount": "0.3189",
    }
    told = ("accepted", "delivered", "failed", "in_flight", "active_users", "amount")
    assert {name: tuple(each[field] for field in told) for name, each in channels.items()} == {
        "email": (0, 1, 1, 1, 0, "0.0009"),
        "sms": (2, 1, 1, 0, 0, "0.138"),
        "rcs": (3, 2, 0, 1, 2, "0.18"),
    }
    assert channels["rcs"]["units"] == [
        {"unit": "a2p_conversation", "quantity": 1, "amount": "0.10"},
        {"unit": "basic", "quantity": 1, "amount": "0.06"},
        {"unit": "mau", "quantity": 2, "amount": "0.02"},
    ]
    assert channels["sms"]["tier_progress"] == {
        "tier": "standard",
        "source": "previous_month",
        "volume": 2,
        "next_tier": "growth",
        "missing": 998,
    }


async def test_a_month_that_is_over_says_what_was_on_its_way_at_its_end(busy: Platform) -> None:
    month = await busy.ask("usage.get", month="2026-02")

    assert (month["accepted"], month["delivered"], month["in_flight"], month["amount"]) == (4, 1, 3, "0.15")
    assert [each["tier_progress"] for each in month["channels"]] == [None, None, None]


async def test_a_month_before_all_of_it_is_empty(busy: Platform) -> None:
    month = await busy.ask("usage.get", month="2025-12")

    assert (month["month"], month["accepted"], month["in_flight"], month["amount"]) == ("2025-12", 0, 0, "0.00")


async def test_what_is_held_back_is_not_in_flight(world: World) -> None:
    platform = await Platform.of(world)
    await platform.sms()
    assert (await platform.ask("usage.get"))["in_flight"] == 1

    (waiting,) = await _messages(platform)
    await world.app.messages.submit(_pause(platform, waiting.message_id))

    month = await platform.ask("usage.get")
    assert (month["accepted"], month["in_flight"]) == (0, 0)


async def _messages(platform: Platform) -> list[Any]:
    async with platform.world.app.store.read(platform.world.clock()) as tx:
        return await tx.messages.all(platform.account_id)


def _pause(platform: Platform, message_id: str) -> Any:
    return Instruction(platform.account_id, PauseMessage(message_id), platform.world.clock())


@pytest.mark.parametrize("group_by", [*KEYS, *(",".join(pair) for pair in permutations(KEYS, 2))])
async def test_however_it_is_grouped_the_rows_are_in_order_and_add_up_to_the_total(
    busy: Platform, group_by: str
) -> None:
    keys = group_by.split(",")
    found = await busy.ask("usage.detailed", from_date="2026-02-01", to_date="2026-04-01", group_by=group_by)

    rows = found["items"]
    assert found["group_by"] == keys
    assert all(list(row)[: len(keys)] == keys for row in rows)
    groups = [tuple(row[key] for key in keys) for row in rows]
    assert groups == sorted(set(groups))
    for name in COUNTED:
        assert sum(row[name] for row in rows) == found["total"][name]
    assert sum(parse_micros(row["amount"]) for row in rows) == parse_micros(found["total"]["amount"])
    assert found["total"] == {
        "accepted": 9, "delivered": 5, "failed": 2, "quantity": 7, "active_users": 2, "amount": "0.4689",
    }  # fmt: skip


async def test_a_pair_of_keys_is_the_finer_of_both(busy: Platform) -> None:
    span = {"from_date": "2026-02-01", "to_date": "2026-04-01"}
    for pair in combinations(KEYS, 2):
        both = (await busy.ask("usage.detailed", **span, group_by=",".join(pair)))["items"]
        for key in pair:
            coarse = (await busy.ask("usage.detailed", **span, group_by=key))["items"]
            sums: dict[str, int] = defaultdict(int)
            for row in both:
                sums[row[key]] += parse_micros(row["amount"])
            assert sums == {row[key]: parse_micros(row["amount"]) for row in coarse}


async def test_days_are_half_open_and_without_them_it_is_the_month_so_far(busy: Platform) -> None:
    async def days(**span: str) -> list[str]:
        return [row["day"] for row in (await busy.ask("usage.detailed", **span))["items"]]

    assert await days() == ["2026-03-02", "2026-03-05"]
    assert await days(from_date="2026-02-27") == ["2026-02-27", "2026-03-02", "2026-03-05"]
    assert await days(from_date="2026-02-27", to_date="2026-03-02") == ["2026-02-27"]
    assert await days(from_date="2026-03-02", to_date="2026-03-03") == ["2026-03-02"]
    assert await days(to_date="2026-03-01") == ["2026-02-27"]
    found = await busy.ask("usage.detailed")
    assert (found["from_date"], found["to_date"], found["group_by"]) == ("2026-03-01", "2026-03-06", ["day"])


async def test_what_it_is_grouped_by_may_be_a_list(busy: Platform) -> None:
    as_text = await busy.ask("usage.detailed", group_by="day, channel")

    assert await busy.ask("usage.detailed", group_by=["day", "channel"]) == as_text
    assert await busy.ask("usage.detailed", group_by=["day"]) == await busy.ask("usage.detailed")


@pytest.mark.parametrize(
    ("function", "arguments", "field"),
    [
        ("usage.get", {"month": "2026-04"}, "month"),
        ("usage.get", {"month": "2026-13"}, "month"),
        ("usage.get", {"month": "2026-3"}, "month"),
        ("usage.get", {"month": "0000-01"}, "month"),
        ("usage.get", {"month": 202603}, "month"),
        ("usage.detailed", {"group_by": "week"}, "group_by"),
        ("usage.detailed", {"group_by": ""}, "group_by"),
        ("usage.detailed", {"group_by": "day,channel,tier"}, "group_by"),
        ("usage.detailed", {"group_by": []}, "group_by"),
        ("usage.detailed", {"group_by": [1]}, "group_by"),
        ("usage.detailed", {"from_date": "2026-03-05", "to_date": "2026-03-05"}, "to_date"),
        ("usage.detailed", {"from_date": "2026-04-01"}, "to_date"),
        ("usage.detailed", {"from_date": "2025-03-01", "to_date": "2026-03-03"}, "to_date"),
        ("usage.detailed", {"to_date": "0001-01-01"}, "to_date"),
    ],
)
async def test_what_cannot_be_meant_is_refused_by_its_field(
    world: World, function: str, arguments: dict[str, Any], field: str
) -> None:
    platform = await Platform.of(world)

    with pytest.raises(InvalidArgument) as caught:
        await platform.ask(function, **arguments)

    assert (caught.value.code, caught.value.field) == ("invalid_argument", field)
    assert caught.value.hint


async def test_a_leap_year_is_not_too_long(world: World) -> None:
    platform = await Platform.of(world)

    found = await platform.ask("usage.detailed", from_date="2028-01-01", to_date="2029-01-01")

    assert found["items"] == []


@pytest.mark.parametrize("function", ["usage.get", "usage.detailed"])
async def test_nobody_s_usage_is_not_found(world: World, function: str) -> None:
    with pytest.raises(NotFound):
        await Platform(world, NOBODY).ask(function)


async def test_another_account_s_usage_is_not_counted(busy: Platform) -> None:
    other = await Platform.of(busy.world)
    await other.delivered(await other.sms(5, to=PHONE))

    month = await other.ask("usage.get")

    assert (month["accepted"], month["amount"]) == (1, "0.375")
    assert (await other.ask("usage.detailed"))["total"]["amount"] == "0.375"
    assert (await busy.ask("usage.get"))["amount"] == "0.3189"


async def test_an_agent_asks_in_a_script(busy: Platform) -> None:
    script = f"""
month = billing.usage.get(account_id={busy.account_id!r})
days = billing.usage.detailed(account_id={busy.account_id!r}, group_by=["day", "channel"])
[month["amount"], [(row["day"], row["channel"]) for row in days["items"]]]
"""
    amount, days = await busy.world.must(script)

    assert amount == "0.3189"
    assert days == [["2026-03-02", "email"], ["2026-03-02", "sms"], ["2026-03-05", "rcs"]]


async def test_a_message_at_the_end_of_a_day_is_counted_on_the_day_that_it_was_charged(world: World) -> None:
    world.clock.now = world.clock.now.replace(hour=23, minute=59)
    platform = await Platform.of(world)
    message = await platform.sms()
    world.clock.now += timedelta(minutes=1)
    await platform.delivered(message)

    rows = (await platform.ask("usage.detailed"))["items"]

    assert [(row["day"], row["accepted"], row["delivered"], row["quantity"]) for row in rows] == [
        ("2026-03-12", 1, 0, 0),
        ("2026-03-13", 0, 1, 1),
    ]
