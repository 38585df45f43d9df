"""billing.ledger.list: all that moved money, each row once, however the pages are cut."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from billing_mcp.domain.ledger import LedgerTransaction
from tests.conftest import NOW
from tests.store.books import charge, eur, topup
from tests.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY = "0190c0de-0000-7000-8000-0000000000ff"


@pytest.fixture
def world(lasting_world: World) -> World:
    """One for all of these tests: each is about accounts of its own."""
    return lasting_world


def listing(account_id: str, **options: Any) -> str:
    more = "".join(f", {name}={value!r}" for name, value in options.items())
    return f"billing.ledger.list(account_id={account_id!r}{more})"


async def post(world: World, account_id: str, amount: str, *, free: bool = False) -> str:
    """Money arrives, or with `free` some of it is spent; the id of that transaction."""
    make = charge if free else topup
    async with world.app.store.write(world.clock()) as tx:
        (posted,) = await tx.ledger.post([make(amount, account_id)])
    return posted.transaction_id


async def walk(world: World, account_id: str, *, limit: int, **dates: str) -> tuple[list[str], int]:
    """All pages one after the other, while something is posted between them; and how many pages."""
    seen: list[str] = []
    cursor, pages = None, 0
    while cursor is not None or not pages:
        options = dates | ({"cursor": cursor} if cursor else {})
        page = await world.must(listing(account_id, limit=limit, **options))
        seen += [item["transaction_id"] for item in page["items"]]
        cursor, pages = page["next_cursor"], pages + 1
        await post(world, account_id, "0.01")
    return seen, pages


async def history(world: World, account_id: str) -> list[LedgerTransaction]:
    async with world.app.store.read(NOW) as tx:
        return [row async for row in tx.ledger.history(account_id)]


async def test_the_ledger_tells_every_move_with_the_balances_after_it(world: World) -> None:
    account_id = await world.account(funds="10.00")
    placed = await world.app.holds.place(account_id, eur("4.00"), reference="msg_1")
    assert placed.hold is not None
    world.clock.now += timedelta(seconds=1)
    captured = await world.app.holds.capture(account_id, placed.hold.hold_id, eur("1.50"), final=True)

    answer = await world.must(listing(account_id))

    assert answer["next_cursor"] is None
    told = ("type", "direction", "amount", "free_after", "reserved_after", "total_after", "hold_id", "created_at")
    first, second, hold_id = "2026-03-12T10:00:00Z", "2026-03-12T10:00:01Z", placed.hold.hold_id
    assert [tuple(item[name] for name in told) for item in answer["items"]] == [
        ("release", "credit", "2.50", "8.50", "0.00", "8.50", hold_id, second),
        ("charge", "debit", "1.50", "6.00", "2.50", "8.50", hold_id, second),
        ("hold", "debit", "4.00", "6.00", "4.00", "10.00", hold_id, first),
        ("topup", "credit", "10.00", "10.00", "0.00", "10.00", None, first),
    ]
    descriptions = ["Release for msg_1", "Charge for msg_1", "Hold for msg_1", "Top-up of 10.00 EUR by test"]
    assert [item["description"] for item in answer["items"]] == descriptions
    ids = [item["transaction_id"] for item in answer["items"]]
    assert ids[:3] == [*reversed(captured.transaction_ids), *placed.transaction_ids]
    assert {(item["currency"], item["status"]) for item in answer["items"]} == {("EUR", "posted")}


async def test_another_account_s_ledger_is_not_shown(world: World) -> None:
    one, other = await world.account(funds="1.00"), await world.account(funds="2.00")

    assert [item["amount"] for item in (await world.must(listing(one)))["items"]] == ["1.00"]
    assert [item["amount"] for item in (await world.must(listing(other)))["items"]] == ["2.00"]


@pytest.mark.parametrize(("limit", "pages"), [(1, 7), (3, 3), (6, 2), (7, 1), (100, 1)])
async def test_paging_neither_skips_nor_repeats_while_rows_arrive(world: World, limit: int, pages: int) -> None:
    account_id = await world.account()
    posted = []
    for number in range(1, 8):
        posted.append(await post(world, account_id, f"{number}.00"))
        if number % 3 == 0:  # so that some share a moment
            world.clock.now += timedelta(microseconds=1)

    assert await walk(world, account_id, limit=limit) == (posted[::-1], pages)


async def test_paging_goes_on_after_a_clock_that_was_set_back(world: World) -> None:
    account_id = await world.account()
    later = [await post(world, account_id, f"{number}.00") for number in (1, 2)]
    world.clock.now -= timedelta(hours=1)
    earlier = [await post(world, account_id, f"{number}.00") for number in (3, 4)]
    world.clock.now += timedelta(hours=2)

    assert await walk(world, account_id, limit=1) == ([*reversed(later), *reversed(earlier)], 4)


MIDNIGHT = datetime(2026, 3, 13, tzinfo=UTC)
MOMENTS = {
    "a day before": MIDNIGHT - timedelta(days=1),
    "just before": MIDNIGHT - timedelta(microseconds=1),
    "at midnight": MIDNIGHT,
    "just before the next": MIDNIGHT + timedelta(days=1) - timedelta(microseconds=1),
    "the next": MIDNIGHT + timedelta(days=1),
}


RANGES: list[tuple[dict[str, str], list[str]]] = [
    ({}, list(MOMENTS)),
    ({"from_date": "2026-03-13"}, ["at midnight", "just before the next", "the next"]),
    ({"to_date": "2026-03-13"}, ["a day before", "just before"]),
    ({"from_date": "2026-03-13", "to_date": "2026-03-14"}, ["at midnight", "just before the next"]),
    ({"from_date": "2026-03-12", "to_date": "2026-03-13"}, ["a day before", "just before"]),
    ({"from_date": "2026-03-12", "to_date": "2026-03-14"}, list(MOMENTS)[:4]),
    ({"from_date": "2026-03-15"}, []),
    ({"to_date": "2026-03-12"}, []),
    ({"from_date": "0001-01-01", "to_date": "9999-12-31"}, list(MOMENTS)),
]


async def test_days_are_utc_and_end_where_the_next_begins(world: World) -> None:
    account_id = await world.account()
    posted = {}
    for name, moment in MOMENTS.items():
        world.clock.now = moment
        posted[await post(world, account_id, "1.00")] = name
    world.clock.now = datetime(9999, 12, 31, tzinfo=UTC)

    for dates, found in RANGES:
        page = await world.must(listing(account_id, **dates, limit=len(found) or 1))
        ids, _ = await walk(world, account_id, limit=2, **dates)
        assert [posted[one] for one in ids if one in posted] == found[::-1], dates
        if "to_date" in dates:  # else what was posted since is the newest
            assert [posted[item["transaction_id"]] for item in page["items"]] == found[::-1], dates
            assert page["next_cursor"] is None, dates


async def test_a_day_can_be_a_date_of_the_script(world: World) -> None:
    account_id = await world.account(funds="1.00")

    script = f"from datetime import date\nbilling.ledger.list(account_id={account_id!r}, from_date=date(2026, 3, 12))"

    assert len((await world.must(script))["items"]) == 1
    assert date(2026, 3, 12) == NOW.date()


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("to_date", {"from_date": "2026-03-13", "to_date": "2026-03-13"}),
    ("to_date", {"from_date": "2026-03-13", "to_date": "2026-03-12"}),
    ("from_date", {"from_date": "2026-02-30"}),
    ("to_date", {"to_date": "tomorrow"}),
    ("from_date", {"from_date": "2026-03-13T00:00:00Z"}),
    ("limit", {"limit": 0}),
    ("limit", {"limit": 101}),
    ("limit", {"limit": True}),
    ("cursor", {"cursor": "0-"}),
    ("cursor", {"cursor": "-1-1"}),
    ("cursor", {"cursor": "abc"}),
    ("cursor", {"cursor": ""}),
    ("cursor", {"cursor": "1-2-3"}),
    ("cursor", {"cursor": "8000000000000000-1"}),
    ("cursor", {"cursor": "1-8000000000000000"}),
    ("cursor", {"cursor": "f" * 65}),
    ("cursor", {"cursor": "1-2' OR 1=1"}),
    ("account_id", {"account_id": "not-a-uuid"}),
]


async def test_a_wrong_argument_is_named(world: World) -> None:
    account_id, principal = await world.account(funds="1.00"), await world.app.local_principal()

    for named, options in WRONG:
        arguments = {"account_id": account_id} | options
        answer = await world.app.call(principal, "billing.ledger.list", arguments)
        assert answer.error is not None, options
        assert answer.error.code == "invalid_argument", options
        assert answer.error.message.startswith(named), options


@pytest.mark.parametrize("cursor", ["7fffffffffffffff-7fffffffffffffff", "0-0"])
async def test_a_cursor_at_the_ends_of_what_can_be_counted_is_taken(world: World, cursor: str) -> None:
    account_id = await world.account(funds="1.00")

    page = await world.must(listing(account_id, cursor=cursor))

    assert len(page["items"]) == (0 if cursor == "0-0" else 1)


async def test_the_ledger_of_an_account_that_is_not_there_is_not_found(world: World) -> None:
    answer = await world.run(listing(NOBODY))

    assert answer.error is not None
    assert answer.error.code == "not_found"


async def test_the_rows_of_all_pages_add_up_to_the_wallet(world: World) -> None:
    account_id = await world.account(funds="50.00")
    for number in range(1, 6):
        await post(world, account_id, f"{number}.000001", free=True)
    placed = await world.app.holds.place(account_id, eur("3.00"))
    assert placed.hold is not None
    await world.app.holds.capture(account_id, placed.hold.hold_id, eur("1.00"))
    script = f"""
from decimal import Decimal
total, cursor, go_on = Decimal(0), None, True
while go_on:
    page = billing.ledger.list(account_id={account_id!r}, cursor=cursor, limit=3)
    for item in page['items']:
        if item['type'] not in ('hold', 'release'):
            total += Decimal(item['amount']) if item['direction'] == 'credit' else -Decimal(item['amount'])
    cursor = page['next_cursor']
    go_on = cursor is not None
total == billing.balance.get(account_id={account_id!r})['total']
"""

    assert await world.must(script) is True
    assert len(await history(world, account_id)) == 8
