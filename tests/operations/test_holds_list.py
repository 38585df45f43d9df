"""The list of holds, as an agent reads it: each as it became, page by page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from billing_mcp.operations.platform_holds import DEFAULT_LIFE
from tests.operations.test_holds import NOBODY, placed
from tests.store.books import eur
from tests.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def world(lasting_world: World) -> World:
    """One for all of these tests: each is about accounts of its own."""
    return lasting_world


def listing(account_id: str, **options: Any) -> str:
    more = "".join(f", {name}={value!r}" for name, value in options.items())
    return f"billing.holds.list(account_id={account_id!r}{more})"


async def test_an_agent_sees_a_hold_with_all_that_became_of_it(world: World) -> None:
    account_id = await world.account(funds="10.00")
    hold_id = await placed(world.app.holds, "4.00", account_id, reference="msg_1")
    await world.app.holds.capture(account_id, hold_id, eur("1.25"))
    world.clock.now += timedelta(minutes=1)

    (item,) = (await world.must(listing(account_id)))["items"]
    assert item == {
        "hold_id": hold_id,
        "reference": "msg_1",
        "status": "open",
        "currency": "EUR",
        "amount": "4.00",
        "captured": "1.25",
        "released": "0.00",
        "remaining": "2.75",
        "created_at": "2026-03-12T10:00:00Z",
        "expires_at": "2026-03-19T10:00:00Z",
        "closed_at": None,
    }
    await world.app.holds.release(account_id, hold_id)

    (ended,) = (await world.must(listing(account_id, status="released")))["items"]
    changed = {"status": "released", "released": "2.75", "remaining": "0.00", "closed_at": "2026-03-12T10:01:00Z"}
    assert ended == item | changed
    assert (await world.must(listing(account_id)))["items"] == []


async def test_holds_are_listed_newest_first_by_their_status_and_those_that_are_open_add_up(world: World) -> None:
    holds, account_id = world.app.holds, await world.account(funds="100.00")
    other = await world.account(funds="100.00")
    await placed(holds, "9.00", other)
    ids = [await placed(holds, f"{n}.00", account_id) for n in range(1, 6)]
    await holds.capture(account_id, ids[0])
    await holds.release(account_id, ids[1])
    world.clock.now += DEFAULT_LIFE
    await holds.expire(account_id, ids[2])

    async def listed(status: str) -> tuple[str, ...]:
        return tuple(item["hold_id"] for item in (await world.must(listing(account_id, status=status)))["items"])

    assert await listed("all") == tuple(reversed(ids))
    assert await listed("open") == (ids[4], ids[3])
    assert [await listed(status) for status in ("captured", "released", "expired")] == [(one,) for one in ids[:3]]
    added_up = (
        f"items = {listing(account_id)}['items']\n"
        "held = sum([Decimal(item['remaining']) for item in items], Decimal(0))\n"
        f"[held == billing.balance.get(account_id={account_id!r})['reserved'], held]"
    )
    assert await world.must(f"from decimal import Decimal\n{added_up}") == [True, "9.00"]


@pytest.mark.parametrize("status", ["open", "all"])
async def test_paging_through_holds_neither_skips_nor_repeats_while_new_ones_arrive(world: World, status: str) -> None:
    account_id = await world.account(funds="100.00")
    ids = []
    for n in range(7):
        ids.append(await placed(world.app.holds, "1.00", account_id))
        if n % 3 == 0:
            world.clock.now += timedelta(milliseconds=1)

    seen: list[str] = []
    cursor, pages = None, 0
    while cursor is not None or not pages:
        options = {"limit": 3, "status": status} | ({"cursor": cursor} if cursor else {})
        page = await world.must(listing(account_id, **options))
        seen += [item["hold_id"] for item in page["items"]]
        cursor, pages = page["next_cursor"], pages + 1
        await placed(world.app.holds, "1.00", account_id)

    assert seen == ids[::-1]
    assert pages == 3


WRONG_LISTS: list[tuple[str, dict[str, Any]]] = [
    ("cursor", {"cursor": "0190"}),
    ("cursor", {"cursor": "deadbeef-1"}),
    ("cursor", {"cursor": ""}),
    ("cursor", {"cursor": "' OR 1=1 --"}),
    ("limit", {"limit": 0}),
    ("limit", {"limit": 101}),
    ("status", {"status": "closed"}),
    ("account_id", {"account_id": "not-a-uuid"}),
]


async def test_a_wrong_argument_of_the_list_is_named(world: World) -> None:
    account_id, principal = await world.account(), await world.app.local_principal()

    for named, options in WRONG_LISTS:
        arguments = {"account_id": account_id} | options
        answer = await world.app.call(principal, "billing.holds.list", arguments)
        assert answer.error is not None, options
        assert answer.error.code == "invalid_argument", options
        assert answer.error.message.startswith(named), options


async def test_the_holds_of_an_account_that_is_not_there_are_not_found(world: World) -> None:
    answer = await world.run(listing(NOBODY))

    assert answer.error is not None
    assert answer.error.code == "not_found"
