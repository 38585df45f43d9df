"""billing.balance.get: exact numbers in a script, and exact text in what a script returns."""

from __future__ import annotations

import json

import pytest

from tests.store.books import charge, eur, topup
from tests.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY = "0190c0de-0000-7000-8000-0000000000ff"


@pytest.fixture
def world(lasting_world: World) -> World:
    """One for all of these tests: each is about accounts of its own."""
    return lasting_world


def balance(account_id: str) -> str:
    return f"billing.balance.get(account_id={account_id!r})"


async def test_an_empty_wallet_has_nothing(world: World) -> None:
    account_id = await world.account()

    assert await world.must(balance(account_id)) == {
        "free": "0.00",
        "reserved": "0.00",
        "total": "0.00",
        "currency": "EUR",
    }


async def test_what_is_held_is_not_free_and_both_are_the_total(world: World) -> None:
    account_id = await world.account(funds="10.00")
    placed = await world.app.holds.place(account_id, eur("4.10"))
    expected = {"free": "5.90", "reserved": "4.10", "total": "10.00", "currency": "EUR"}
    assert await world.must(balance(account_id)) == expected

    assert placed.hold is not None
    await world.app.holds.capture(account_id, placed.hold.hold_id, eur("4.00"), final=True)

    expected = {"free": "6.00", "reserved": "0.00", "total": "6.00", "currency": "EUR"}
    assert await world.must(balance(account_id)) == expected


QUESTIONS: list[tuple[str, object]] = [
    ("b['free'] > 0", True),
    ("b['free'] == 10", False),
    ("b['reserved'] == 0.1", False),  # a float is not what it says
    ("b['reserved'] == Decimal('0.1')", True),
    ("b['free'] >= 9 and b['free'] < 10", True),
    ("b['free'] + b['reserved'] == b['total']", True),
    ("b['total'] == 10", True),
    ("b['reserved'] * 100 == b['total']", True),
    ("sum([b['free'], b['reserved']], Decimal(0)) == 10", True),
    ("sum([b['reserved'] for _ in range(100)]) == b['total']", True),
    ("str(b['reserved'] + b['reserved'] + b['reserved'])", "0.30"),
    ("b['free'] - 10", "-0.10"),
    ("max(b['free'], b['reserved'])", "9.90"),
    ("f\"{b['free']} {b['currency']}\"", "9.90 EUR"),
    ("isinstance(b['free'], Decimal)", True),
]


async def test_a_script_counts_with_exact_numbers(world: World) -> None:
    account_id = await world.account(funds="10.00")
    await world.app.holds.place(account_id, eur("0.10"))

    for question, answer in QUESTIONS:
        script = f"from decimal import Decimal\nb = {balance(account_id)}\n{question}"
        assert await world.must(script) == answer, question


@pytest.mark.parametrize("spent", ["0.01", "0.000001", "0.333333", "100.00", "99.999999"])
async def test_balances_are_exact_to_the_micro_however_large(world: World, spent: str) -> None:
    account_id = await world.account()
    async with world.app.store.write(world.clock()) as tx:
        await tx.ledger.post([*[topup("999999999999.00", account_id)] * 9, charge(spent, account_id)])
    left = 9 * 999_999_999_999 * 10**6 - eur(spent)
    script = (
        f"from decimal import Decimal\nb = {balance(account_id)}\n"
        f"[b['total'], b['total'] + Decimal({spent!r}) == 8999999999991, b['total'] * 1000000 == {left}]"
    )

    text, *exact = await world.must(script)

    units, _, decimals = text.partition(".")
    assert int(units) * 10**6 + int(decimals.ljust(6, "0")) == left
    assert exact == [True, True]


async def test_the_answer_says_amounts_as_text_at_any_depth(world: World) -> None:
    account_id = await world.account(funds="10.00")

    answer = await world.run(f"{{'all': [{balance(account_id)}], 'free': ({balance(account_id)}['free'],)}}")

    sent = json.loads(answer.to_json())["result"]
    expected = {"free": "10.00", "reserved": "0.00", "total": "10.00", "currency": "EUR"}
    assert sent == {"all": [expected], "free": ["10.00"]}


async def test_the_balance_of_an_account_that_is_not_there_is_not_found(world: World) -> None:
    answer = await world.run(balance(NOBODY))

    assert answer.error is not None
    assert answer.error.code == "not_found"
