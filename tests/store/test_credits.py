"""What an account has spent is what its wallet gave for what it used, whatever else moved money."""

from __future__ import annotations

import pytest

from billing_mcp.domain.ledger import Posting
from billing_mcp.store.store import Store
from tests.store.books import ACCOUNT, NOW, OTHER, capture, charge, eur, hold, open_books, post, posting, release, topup

MOVES: list[tuple[str, Posting, str]] = [
    ("a charge", charge("4.00"), "4.00"),
    (
        "a charge that the wallet cannot pay in full",
        posting("charge", ("available", "-3.00"), ("receivable", "-1.00"), ("revenue", "4.00")),
        "3.00",
    ),
    ("a debt that is paid", posting("charge", ("available", "-1.00"), ("receivable", "1.00")), "0.00"),
    ("rounding up", posting("rounding", ("available", "-0.004"), ("rounding", "0.004")), "0.004"),
    ("rounding down", posting("rounding", ("available", "0.004"), ("rounding", "-0.004")), "-0.004"),
    ("a charge that is reversed", posting("reversal", ("available", "2.00"), ("revenue", "-2.00")), "-2.00"),
    ("a top-up", topup("10.00"), "0.00"),
    (
        "a top-up with its VAT",
        posting("topup", ("available", "10.00"), ("tax", "1.90"), ("cash:test", "-11.90")),
        "0.00",
    ),
    (
        "a refund of one",
        posting("refund", ("available", "-10.00"), ("tax", "-1.90"), ("cash:test", "11.90")),
        "0.00",
    ),
    ("a top-up that the bank took back", posting("reversal", ("available", "-5.00"), ("cash:test", "5.00")), "0.00"),
    ("a dispute that was won", posting("adjustment", ("available", "5.00"), ("cash:test", "-5.00")), "0.00"),
    ("a credit", posting("credit", ("available", "5.00"), ("credits", "-5.00")), "0.00"),
    ("a credit that expires", posting("adjustment", ("available", "-5.00"), ("credits", "5.00")), "0.00"),
]


async def spent(store: Store, *, since: int) -> int:
    async with store.read(NOW) as tx:
        return await tx.credits.spent_since(ACCOUNT, since)


async def test_what_the_wallet_gave_for_use_is_spent_and_what_moves_between_it_and_payers_is_not(store: Store) -> None:
    await open_books(store, topup("50.00"), topup("100.00"), account_id=OTHER)
    (first,) = await open_books(store, topup("100.00"))
    expected, seq = 0, first.seq
    for what, move, amount in MOVES:
        async with store.write(NOW) as tx:
            (posted,) = await tx.ledger.post([move])
        expected += eur(amount)
        assert await spent(store, since=posted.seq - 1) == eur(amount), what
        assert await spent(store, since=seq) == expected, what
        assert await spent(store, since=posted.seq) == 0


@pytest.mark.parametrize("captured", ["6.00", "12.00"])
async def test_a_hold_is_spent_when_it_is_captured_whatever_it_held(store: Store, captured: str) -> None:
    await open_books(store, topup("100.00"), hold("10.00"))
    assert await spent(store, since=0) == 0

    await post(store, capture(captured), *([release()] if captured == "6.00" else []))

    assert await spent(store, since=0) == eur(captured)
