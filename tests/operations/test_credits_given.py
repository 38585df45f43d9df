"""Giving credits: once under a key, however many ask at once and whatever else moves money meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from billing_mcp.domain.credits import in_order_of_use
from billing_mcp.domain.errors import InvalidArgument, NotFound
from billing_mcp.domain.instructions import Instruction
from billing_mcp.domain.ledger import AVAILABLE, CREDITS, RESERVED, Entry, Posting
from billing_mcp.operations.platform_keys import posting_key
from billing_mcp.operations.platform_money import PlatformMoney
from tests.conftest import Clock
from tests.operations.crediting import DAY, Desk
from tests.worker.till import EUR, amounts

NOBODY = "0190c0de-0000-7000-8000-0000000000ff"
WRONG: list[tuple[Mapping[str, Any], str]] = [
    ({"days": 0}, "expires_at"),
    ({"days": -1}, "expires_at"),
    ({"priority": -1}, "priority"),
    ({"priority": 10}, "priority"),
]


async def test_what_cannot_be_granted_is_refused_by_field_and_leaves_no_money_and_a_free_key(desk: Desk) -> None:
    for terms, field in WRONG:
        with pytest.raises(InvalidArgument) as refused:
            await desk.give("5.00", idempotency_key="k", **terms)
        assert refused.value.field == field

    assert (await desk.wallet(desk.account_id)).last_seq == 1
    assert await desk.grants() == {}
    assert not (await desk.give("5.00", idempotency_key="k")).replayed
    with pytest.raises(NotFound):
        await PlatformMoney(desk.store, desk.clock).credit(NOBODY, EUR, reason="r")
    nobodys = await desk.call("credits.list", NOBODY)
    assert nobodys.error is not None
    assert nobodys.error.code == "not_found"


async def test_ten_at_once_under_one_key_are_one_credit_and_under_ten_keys_ten(desk: Desk) -> None:
    same = await asyncio.gather(*[desk.give("1.00", idempotency_key="k") for _ in range(10)])
    others = await asyncio.gather(*[desk.give("1.00", idempotency_key=f"k{number}") for number in range(10)])

    assert sorted(each.replayed for each in same) == [False] + [True] * 9
    assert len({each.transaction_ids for each in same}) == 1
    assert not any(each.replayed for each in others)
    found = await desk.must("credits.list", desk.account_id)
    assert (found["remaining"], len(found["items"])) == ("11.00", 11)
    assert len(await desk.events(desk.account_id, "billing.credit.granted")) == 11
    await desk.assert_sound()


async def test_the_same_request_has_the_same_receipt_after_its_credit_has_expired(desk: Desk, clock: Clock) -> None:
    until = clock.now + DAY
    terms: dict[str, Any] = {"reason": "r", "idempotency_key": "k", "expires_at": until, "priority": 2}
    money = PlatformMoney(desk.store, clock)
    first = await money.credit(desk.account_id, EUR, **terms)
    clock.now += 2 * DAY
    await desk.expire()

    again = await money.credit(desk.account_id, EUR, **terms)

    assert again.replayed
    assert (again.transaction_ids, again.available_micros) == (first.transaction_ids, first.available_micros)
    assert len(await desk.grants()) == 1
    for other in ({"expires_at": until + DAY}, {"expires_at": None}, {"priority": 3}):
        with pytest.raises(InvalidArgument, match="another request"):
            await money.credit(desk.account_id, EUR, **(terms | other))


async def test_a_credit_of_before_there_were_grants_is_money_and_its_key_still_holds(desk: Desk) -> None:
    key = posting_key("k", ("credit", EUR, "r"))
    legs = Entry(AVAILABLE, EUR, "EUR"), Entry(CREDITS, -EUR, "EUR")
    now = desk.clock()
    old = Posting(desk.account_id, "credit", "Credit: r", legs, now)
    posted = await desk.store.submit(Instruction(desk.account_id, old, now, key))

    again = await desk.give("1.00", idempotency_key="k")

    assert (again.replayed, again.transaction_ids) == (True, posted.transaction_ids)
    assert await desk.seen() == {}


async def test_credits_given_while_holds_are_captured_pay_what_was_charged_after_them(desk: Desk) -> None:
    held = [await desk.hold("0.70") for _ in range(8)]
    given = [desk.give("0.50", reason=f"r{number}", priority=number) for number in range(8)]
    captured = [desk.app.holds.capture(desk.account_id, each) for each in held]

    await asyncio.gather(*[each for pair in zip(given, captured, strict=True) for each in pair])

    await desk.settle()
    assert {name: each.remaining_micros for name, each in (await desk.grants()).items()} == await _counted_again(desk)
    cycle = await desk.cycle()
    assert cycle.credits_used_micros == sum(each.used_micros for each in (await desk.grants()).values())
    await desk.assert_sound()


async def _counted_again(desk: Desk) -> dict[str, int]:
    """What is left of each grant, by its reason, when the ledger is read from the first to the last transaction."""
    terms = {each.grant_id: each for each in (await desk.grants()).values()}
    left: dict[str, int] = {}
    for each in await desk.ledger(desk.account_id):
        if each.type == "credit":
            left[each.transaction_id] = each.amount_micros
        moved = amounts(each)
        spent = -(moved.get(AVAILABLE, 0) + moved.get(RESERVED, 0)) if each.type == "charge" else 0
        for grant in in_order_of_use([terms[name] for name in left]):
            used = min(spent, left[grant.grant_id])
            left[grant.grant_id] -= used
            spent -= used
    return {terms[name].reason: micros for name, micros in left.items()}
