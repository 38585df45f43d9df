"""Batches of holds: each item for itself, all in one request, and under a key once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from billing_mcp.domain.errors import BillingError, Unavailable
from billing_mcp.domain.instructions import Instruction, Receipt
from tests.conftest import Clock
from tests.faces.platform import NOBODY, PlatformClient, must, refusal
from tests.world import World

Outcomes = list[Receipt | BillingError]
CarryOut = Callable[[Sequence[Instruction]], Awaitable[Outcomes]]


def place(account_id: str, amount: str = "1.00", **more: Any) -> dict[str, Any]:
    return {"action": "place", "account_id": account_id, "amount": amount, **more}


def capture(account_id: str, hold_id: str, **more: Any) -> dict[str, Any]:
    return {"action": "capture", "account_id": account_id, "hold_id": hold_id, **more}


def release(account_id: str, hold_id: str, **more: Any) -> dict[str, Any]:
    return {"action": "release", "account_id": account_id, "hold_id": hold_id, **more}


def told(body: dict[str, Any]) -> list[tuple[int, str]]:
    """The status of each item, and what state its hold is in or why it was refused."""
    assert [each["index"] for each in body["items"]] == list(range(len(body["items"])))
    return [
        (each["status"], each["hold"]["status"] if "hold" in each else each["error"]["code"]) for each in body["items"]
    ]


async def test_each_item_is_carried_out_for_itself(platform: PlatformClient, world: World) -> None:
    rich, poor = await world.account(funds="10.00"), await world.account(funds="1.00")
    first, second, third = [await platform.placed(rich) for _ in range(3)]

    answer = await platform.batch(
        place(rich, "2.00", reference="msg_1", idempotency_key="k"),
        place(poor, "1.01"),
        capture(rich, first),
        capture(rich, second, amount="0.25", final=True),
        release(rich, third),
        release(rich, third),
        capture(poor, first),
        place(NOBODY),
        place(rich, "2.00", reference="msg_1", idempotency_key="k"),
        place(rich, "2.50", idempotency_key="k"),
        place(poor, "1.00", idempotency_key="k"),
    )

    body = answer.json()
    assert told(body) == [
        (201, "open"),
        (402, "insufficient_funds"),
        (200, "captured"),
        (200, "captured"),
        (200, "released"),
        (409, "hold_not_open"),
        (404, "not_found"),
        (404, "not_found"),
        (201, "open"),
        (422, "idempotency_key_reused"),
        (201, "open"),
    ]
    assert body["counts"] == {"done": 5, "replayed": 1, "refused": 5}
    assert body["items"][8] == {**body["items"][0], "index": 8, "replayed": True}
    assert (await platform.get(f"/accounts/{rich}"))["reserved"] == 2
    assert (await platform.get(f"/accounts/{rich}"))["total"] == 8.75
    assert (await world.audit()).findings == ()


async def test_an_item_is_answered_as_if_it_were_sent_alone(platform: PlatformClient, world: World) -> None:
    account_id = await world.account(funds="10.00")
    (item,) = (await platform.batch(place(account_id, reference="r", idempotency_key="k"))).json()["items"]

    alone = await must(platform.place(account_id, reference="r", key="k"))

    assert (alone.json(), alone.headers["idempotent-replayed"]) == (item["hold"], "true")


async def test_a_batch_has_1_to_1000_items(platform: PlatformClient, world: World) -> None:
    account_id = await world.account(funds="10.00")

    full = await must(platform.batch(*[place(account_id, "0.01")] * 1000, key="k"))
    again = await must(platform.batch(*[place(account_id, "0.01")] * 1000, key="k"))

    assert full.json()["counts"] == {"done": 1000, "replayed": 0, "refused": 0}
    assert (again.content, again.headers["idempotent-replayed"]) == (full.content, "true")
    for items in ([], [place(account_id, "0.01")] * 1001):
        assert refusal(await platform.batch(*items), 422, "invalid_argument")["field"] == "items"
    assert (await platform.get(f"/accounts/{account_id}"))["reserved"] == 10
    assert (await world.audit()).findings == ()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"amount": "0"}, "amount"),
    ({"amount": "9" * 400}, "amount"),
    ({"amount": 1}, "amount"),
    ({"reference": "a\u0000b"}, "reference"),
    ({"reference": "a\u001fb"}, "reference"),
    ({"account_id": "nobody"}, "account_id"),
    ({"account_id": None}, "account_id"),
    ({"expires_at": "tomorrow"}, "expires_at"),
    ({"idempotency_key": ""}, "idempotency_key"),
    ({"idempotency_key": "a\nb"}, "idempotency_key"),
    ({"hold_id": NOBODY}, "hold_id"),
    ({"action": "expire"}, "action"),
    ({"action": None}, "action"),
    ({"action": "capture"}, "hold_id"),
    ({"action": "release"}, "amount"),
]


async def test_an_item_that_is_malformed_refuses_the_whole_batch_by_name(
    platform: PlatformClient, world: World
) -> None:
    account_id = await world.account(funds="100.00")
    good = [place(account_id) for _ in range(20)]

    for change, field in WRONG:
        items = [*good[:17], {**good[17], **change}, *good[18:]]
        refused = await platform.batch(*items, key="k")
        assert refusal(refused, 422, refused.json()["code"])["field"] == f"items.17.{field}", change
    odd: tuple[Any, ...] = (None, "x", [], {})
    for item in odd:
        refused = await platform.send("POST", "/holds/batch", {"items": [*good[:17], item]})
        assert refusal(refused, 422, refused.json()["code"])["field"].startswith("items.17"), item
    assert (await platform.get(f"/accounts/{account_id}"))["reserved"] == 0
    assert (await must(platform.batch(*good, key="k"))).json()["counts"]["done"] == 20


async def test_a_batch_under_a_key_is_done_once_and_answered_the_same(
    platform: PlatformClient, elsewhere: PlatformClient, world: World, clock: Clock
) -> None:
    account_id = await world.account(funds="2.00")
    items = [place(account_id), place(account_id, "9.00"), place(account_id, reference="r")]
    first = await must(platform.batch(*items, key="k"))
    await world.pay(account_id, "100.00")
    clock.now += timedelta(days=1)

    again = [await must(each.batch(*items, key="k")) for each in (platform, elsewhere)]
    other = await elsewhere.batch(*items[:2], key="k")

    assert [each.content for each in again] == [first.content] * 2
    assert "idempotent-replayed" not in first.headers
    assert {each.headers["idempotent-replayed"] for each in again} == {"true"}
    refusal(other, 422, "idempotency_key_reused")
    assert (await platform.get(f"/accounts/{account_id}"))["reserved"] == 2


async def test_items_without_a_key_happen_each_time_their_batch_has_none(
    platform: PlatformClient, world: World
) -> None:
    account_id = await world.account(funds="10.00")

    for _ in range(2):
        await must(platform.batch(place(account_id), place(account_id, idempotency_key="k")))

    assert (await platform.get(f"/accounts/{account_id}"))["reserved"] == 3


async def test_a_batch_that_did_nothing_leaves_its_key_free(platform: PlatformClient, world: World) -> None:
    account_id = await world.account(funds="1.00")
    refused = await must(platform.batch(place(account_id, "2.00"), place(NOBODY), key="k"))

    done = await must(platform.batch(place(account_id, "1.00"), key="k"))

    assert [refused.json()["counts"]["refused"], done.json()["counts"]["done"]] == [2, 1]


async def test_of_many_who_send_the_same_batch_at_once_one_does_it(
    platform: PlatformClient, elsewhere: PlatformClient, world: World
) -> None:
    account_id = await world.account(funds="100.00")
    items = [place(account_id) for _ in range(20)]

    answers = await asyncio.gather(*(each.batch(*items, key="k") for _ in range(4) for each in (platform, elsewhere)))

    done = [each for each in answers if each.status_code == 200]
    assert len({each.content for each in done}) == 1
    assert ["idempotent-replayed" in each.headers for each in done].count(False) == 1
    for each in answers:
        if each.status_code != 200:
            refusal(each, 409, "idempotency_key_in_use")
            assert int(each.headers["retry-after"]) > 0
    assert (await platform.get(f"/accounts/{account_id}"))["reserved"] == 20


class Cut:
    """A server that is stopped after it has carried out a batch, and before it can say so."""

    def __init__(self, platform: PlatformClient) -> None:
        self._carry_out = platform.app.holds.carry_out
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, instructions: Sequence[Instruction]) -> Outcomes:
        outcomes = await self._carry_out(instructions)
        self.reached.set()
        await self.go_on.wait()
        return outcomes


async def test_after_a_crash_the_same_batch_is_taken_over_and_nothing_happens_twice(
    platform: PlatformClient,
    elsewhere: PlatformClient,
    world: World,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account_id = await world.account(funds="10.00")
    items = [place(account_id, "2.00", reference=f"msg_{number}") for number in range(3)]
    cut = Cut(platform)
    monkeypatch.setattr(platform.app.holds, "carry_out", cut)
    crashing = asyncio.create_task(platform.batch(*items, key="k"))
    await cut.reached.wait()
    crashing.cancel()
    await asyncio.wait([crashing])

    early = await elsewhere.batch(*items, key="k")
    refusal(early, 409, "idempotency_key_in_use")
    refusal(await elsewhere.batch(*items[:1], key="k"), 422, "idempotency_key_reused")
    clock.now += timedelta(seconds=60)
    taken_over = await must(elsewhere.batch(*items, key="k"))

    assert taken_over.json()["counts"] == {"done": 0, "replayed": 3, "refused": 0}
    assert (await platform.get(f"/accounts/{account_id}"))["reserved"] == 6
    monkeypatch.undo()
    assert (await must(platform.batch(*items, key="k"))).content == taken_over.content
    assert (await world.audit()).findings == ()


async def test_who_was_taken_over_has_no_answer_of_its_own(
    platform: PlatformClient,
    elsewhere: PlatformClient,
    world: World,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account_id = await world.account(funds="10.00")
    cut = Cut(platform)
    monkeypatch.setattr(platform.app.holds, "carry_out", cut)
    slow = asyncio.create_task(platform.batch(place(account_id), key="k"))
    await cut.reached.wait()
    refusal(await platform.batch(place(account_id), key="k"), 409, "idempotency_key_in_use")
    clock.now += timedelta(seconds=60)

    taken_over = await must(elsewhere.batch(place(account_id), key="k"))
    cut.go_on.set()

    refusal(await slow, 409, "idempotency_key_in_use")
    assert (await must(platform.batch(place(account_id), key="k"))).content == taken_over.content


async def test_what_failed_for_the_moment_is_tried_again_under_the_same_key(
    platform: PlatformClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = await world.account(funds="10.00")
    items = [place(account_id), place(account_id, "2.00")]
    carry_out = platform.app.holds.carry_out

    async def full_after_one(instructions: Sequence[Instruction]) -> Outcomes:
        return [*await carry_out(instructions[:1]), Unavailable("too many wait", code="queue_full")]

    monkeypatch.setattr(platform.app.holds, "carry_out", full_after_one)
    first = await must(platform.batch(*items, key="k"))
    monkeypatch.undo()
    refusal(await platform.batch(*items[:1], key="k"), 422, "idempotency_key_reused")
    second = await must(platform.batch(*items, key="k"))

    assert told(first.json()) == [(201, "open"), (503, "queue_full")]
    assert told(second.json()) == [(201, "open"), (201, "open")]
    assert second.json()["counts"] == {"done": 1, "replayed": 1, "refused": 0}
    assert (await must(platform.batch(*items, key="k"))).content == second.content
    assert (await platform.get(f"/accounts/{account_id}"))["reserved"] == 3


async def test_a_server_that_can_take_nothing_says_so_and_keeps_nothing(
    platform: PlatformClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = await world.account(funds="10.00")

    async def full(instructions: Sequence[Instruction]) -> Outcomes:
        return [Unavailable("too many wait", code="queue_full") for _ in instructions]

    monkeypatch.setattr(platform.app.holds, "carry_out", full)
    refused = await platform.batch(place(account_id), place(account_id), key="k")
    refusal(refused, 503, "queue_full")
    monkeypatch.undo()

    assert (await must(platform.batch(place(account_id), place(account_id), key="k"))).json()["counts"]["done"] == 2
