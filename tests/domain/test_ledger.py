"""Every transaction balances, available stays above zero, and nothing stored can be altered unseen."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.domain.errors import InsufficientFunds, Internal
from billing_mcp.domain.ids import ledger_id
from billing_mcp.domain.ledger import (
    GENESIS_HASH,
    Entry,
    LedgerTransaction,
    LineItem,
    Posting,
    TransactionType,
    Wallet,
    cash,
    chain_hash,
    decide,
    is_ledger_account,
    line_items_from_json,
    line_items_to_json,
    sums_by_currency,
)
from tests.domain.builders import ACCOUNT, PROPERTY, eur, moment

HOLD = "0190c0de-0000-7000-8000-00000000000f"
NOON = moment("2026-06-12T12:00")
LINE = LineItem(
    "mailbox", "Mailboxes, 11 of 30 days", "120", "mailbox", 350_000, 15_399_960, "component_count",
    "2026-06-01", "2026-06-12", {"plan_id": "smtp_per_mailbox"},
)  # fmt: skip


def wallet(available: str = "0.00", reserved: str = "0.00") -> Wallet:
    return Wallet(ACCOUNT, "EUR", eur(available), eur(reserved))


def posting(type_: TransactionType, *legs: tuple[str, str], lines: tuple[LineItem, ...] = ()) -> Posting:
    entries = tuple(Entry(name, eur(amount), "EUR") for name, amount in legs)
    hold_id = HOLD if "reserved" in dict(legs) else None
    return Posting(ACCOUNT, type_, type_.title(), entries, NOON, lines, hold_id)


def topup(amount: str) -> Posting:
    return posting("topup", ("available", amount), ("cash:stripe", f"-{amount}"))


def charge(amount: str) -> Posting:
    return posting("charge", ("available", f"-{amount}"), ("revenue", amount), lines=(LINE,))


def hold(amount: str) -> Posting:
    return posting("hold", ("available", f"-{amount}"), ("reserved", amount))


def release(amount: str) -> Posting:
    return posting("release", ("reserved", f"-{amount}"), ("available", amount))


def capture(amount: str) -> Posting:
    return posting("charge", ("reserved", f"-{amount}"), ("revenue", amount))


def post(before: Wallet, *postings: Posting) -> tuple[Wallet, list[LedgerTransaction]]:
    posted = []
    for wish in postings:
        before, transaction = decide(before, wish, now=NOON)
        posted.append(transaction)
    return before, posted


def test_a_life_of_a_wallet_reads_like_a_ledger() -> None:
    after, posted = post(wallet(), topup("50.00"), charge("12.40"), hold("5.00"), capture("3.00"), release("2.00"))
    told = [
        (t.seq, t.txn_seq, t.type, t.direction, t.amount_micros, t.available_after_micros, t.reserved_after_micros)
        for t in posted
    ]
    assert told == [
        (1, 1, "topup", "credit", eur("50.00"), eur("50.00"), 0),
        (2, 2, "charge", "debit", eur("12.40"), eur("37.60"), 0),
        (3, None, "hold", "debit", eur("5.00"), eur("32.60"), eur("5.00")),
        (4, 3, "charge", "debit", eur("3.00"), eur("32.60"), eur("2.00")),
        (5, None, "release", "credit", eur("2.00"), eur("34.60"), 0),
    ]
    assert [t.balance_after_micros for t in posted] == [eur(t) for t in ("50.00", "37.60", "37.60", "34.60", "34.60")]
    assert (after.available_micros, after.reserved_micros, after.total_micros) == (eur("34.60"), 0, eur("34.60"))
    assert (after.last_seq, after.last_txn_seq) == (5, 3)


def test_what_is_posted_says_what_was_wished_and_when() -> None:
    earlier = NOON - timedelta(days=3)
    wish = replace(charge("12.40"), effective_at=earlier)
    _, transaction = decide(wallet("50.00"), wish, now=NOON)
    assert (transaction.account_id, transaction.currency, transaction.status) == (ACCOUNT, "EUR", "posted")
    assert (transaction.effective_at, transaction.created_at) == (earlier, NOON)
    assert (transaction.description, transaction.entries, transaction.line_items) == ("Charge", wish.entries, (LINE,))
    assert transaction.transaction_id == ledger_id(NOON, ACCOUNT, 1)


def test_the_last_cent_can_be_spent_and_not_a_micro_more() -> None:
    after, _ = post(wallet("12.40"), charge("12.40"))
    assert after.available_micros == 0
    with pytest.raises(InsufficientFunds) as refused:
        post(wallet("12.40"), charge("12.400001"))
    assert refused.value.code == "insufficient_funds"
    assert refused.value.message == "12.400001 EUR is due, but only 12.40 is available"
    assert refused.value.hint == "Top up at least 0.000001 EUR first."


def test_money_on_hold_cannot_be_spent() -> None:
    with pytest.raises(InsufficientFunds) as refused:
        post(wallet("3.00", reserved="100.00"), charge("3.01"))
    assert refused.value.code == "insufficient_funds"
    assert refused.value.amounts == {"free": "3.00", "reserved": "100.00", "shortfall": "0.01"}
    assert refused.value.currency == "EUR"


def test_a_wallet_below_zero_can_be_topped_up_but_not_charged() -> None:
    reversed_ = Wallet(ACCOUNT, "EUR", eur("-10.00"))  # a provider took a payment back
    after, _ = post(reversed_, topup("4.00"))
    assert after.available_micros == eur("-6.00")
    with pytest.raises(InsufficientFunds) as refused:
        post(reversed_, charge("0.01"))
    assert refused.value.hint == "Top up at least 10.01 EUR first."


@pytest.mark.parametrize(
    "wrong",
    [
        posting("charge", ("available", "-5.00"), ("revenue", "4.99")),
        posting("charge", ("available", "-5.00"), ("revenue", "6.00"), ("rounding", "-0.50")),
        posting("charge"),
        posting("charge", ("available", "0.00")),
        posting("charge", ("available", "-5.00"), ("revenu", "5.00")),
        posting("topup", ("available", "5.00"), ("cash:", "-5.00")),
        posting("release", ("reserved", "-5.00"), ("available", "5.00")),
        replace(topup("5.00"), account_id="another"),
        Posting(ACCOUNT, "topup", "", (Entry("available", 5, "USD"), Entry("cash:stripe", -5, "USD")), NOON),
        Posting(ACCOUNT, "hold", "", (Entry("available", 0, "EUR"), Entry("reserved", 0, "USD")), NOON),
        Posting(ACCOUNT, "charge", "", (Entry("available", -5, "EUR"), Entry("revenue", 5, "USD")), NOON),
    ],
    ids=[
        "one cent short", "three legs, half a unit over", "no legs", "one leg", "a misspelt ledger account",
        "cash of no provider", "more than is reserved", "another account's", "dollars in a euro wallet",
        "dollars reserved", "two currencies that only sum to zero together",
    ],
)  # fmt: skip
def test_a_posting_that_is_wrong_in_itself_is_a_defect_of_ours(wrong: Posting) -> None:
    with pytest.raises(Internal) as defect:
        decide(wallet("100.00"), wrong, now=NOON)
    assert defect.value.code == "internal_error"


def test_sums_are_kept_per_currency() -> None:
    entries = (Entry("available", 5, "EUR"), Entry("tax", 2, "USD"), Entry("revenue", -3, "EUR"))
    assert sums_by_currency(entries) == {"EUR": 2, "USD": 2}
    assert sums_by_currency(()) == {}


@pytest.mark.parametrize(
    "name", ["available", "reserved", "revenue", "credits", "tax", "receivable", "rounding", cash("stripe")]
)
def test_an_entry_may_name_a_ledger_account(name: str) -> None:
    assert is_ledger_account(name)


@pytest.mark.parametrize("name", ["", "cash", "cash:", "Available", "bank"])
def test_an_entry_may_name_no_other(name: str) -> None:
    assert not is_ledger_account(name)


def test_the_first_transaction_follows_zeros_and_each_other_one_its_predecessor() -> None:
    after, posted = post(wallet(), topup("50.00"), charge("12.40"), hold("5.00"))
    assert GENESIS_HASH == "0" * 64
    assert [t.previous_hash for t in posted] == [GENESIS_HASH, posted[0].hash, posted[1].hash]
    assert after.head_hash == posted[2].hash
    assert [t.hash for t in posted] == [chain_hash(t) for t in posted]


def test_the_same_history_has_the_same_hash_and_another_beginning_another_one() -> None:
    same, _ = post(wallet(), topup("50.00"), charge("12.40"))
    again, _ = post(wallet(), topup("50.00"), charge("12.40"))
    other, _ = post(replace(wallet(), head_hash="f" * 64), topup("50.00"), charge("12.40"))
    assert same.head_hash == again.head_hash != other.head_hash


FORGED: dict[str, Any] = {
    "account_id": "another", "seq": 2, "txn_seq": None, "transaction_id": "another", "type": "refund",
    "direction": "credit", "amount_micros": 1, "currency": "USD", "status": "reversed", "description": "Charged",
    "effective_at": NOON + timedelta(microseconds=1), "created_at": NOON + timedelta(microseconds=1),
    "balance_after_micros": 1, "available_after_micros": 1, "reserved_after_micros": 1,
    "entries": charge("12.41").entries, "line_items": (), "previous_hash": "f" * 64,
    "hold_id": HOLD,
}  # fmt: skip


def sealed() -> LedgerTransaction:
    return post(wallet("50.00"), charge("12.40"))[1][0]


@pytest.mark.parametrize("name", [f.name for f in fields(LedgerTransaction) if f.name != "hash"])
def test_a_stored_fact_that_was_altered_no_longer_fits_its_hash(name: str) -> None:
    assert chain_hash(sealed()) == sealed().hash
    assert chain_hash(replace(sealed(), **{name: FORGED[name]})) != sealed().hash


@pytest.mark.parametrize(("name", "value"), [("ledger_account", "tax"), ("amount_micros", 1), ("currency", "USD")])
def test_an_entry_that_was_altered_no_longer_fits_the_hash(name: str, value: Any) -> None:
    first, second = sealed().entries
    for forged in ((first, replace(second, **{name: value})), (second, first), (first,)):
        assert chain_hash(replace(sealed(), entries=forged)) != sealed().hash


@pytest.mark.parametrize("name", [f.name for f in fields(LineItem)])
def test_a_line_that_was_altered_no_longer_fits_the_hash(name: str) -> None:
    forged: Any = {"metadata": {"plan_id": "x"}, "unit_price_micros": 1, "amount_micros": 1}.get(name, "x")
    assert chain_hash(replace(sealed(), line_items=(replace(LINE, **{name: forged}),))) != sealed().hash


def test_what_belongs_to_a_hold_is_sealed_with_it() -> None:
    _, (_, held) = post(wallet(), topup("1.00"), hold("1.00"))
    canonical = (
        f'{held.previous_hash}\n{{"account_id":"{ACCOUNT}","amount_micros":1000000,"available_after_micros":0,'
        '"balance_after_micros":1000000,"created_at":"2026-06-12T12:00:00Z","currency":"EUR",'
        '"description":"Hold","direction":"debit","effective_at":"2026-06-12T12:00:00Z",'
        f'"entries":[["available",-1000000,"EUR"],["reserved",1000000,"EUR"]],"hold_id":"{HOLD}","line_items":"[]",'
        f'"reserved_after_micros":1000000,"seq":2,"status":"posted","transaction_id":"{held.transaction_id}",'
        '"txn_seq":null,"type":"hold","version":2}'
    )
    assert held.hash == hashlib.sha256(canonical.encode()).hexdigest()
    assert chain_hash(replace(held, hold_id=None)) != held.hash != chain_hash(replace(held, hold_id="another"))


@pytest.mark.parametrize("wrong", [replace(hold("1.00"), hold_id=None), replace(charge("1.00"), hold_id=HOLD)])
def test_what_moves_reserved_money_names_its_hold_and_nothing_else_does(wrong: Posting) -> None:
    with pytest.raises(Internal, match="names its hold"):
        post(wallet("5.00", "5.00"), wrong)


def test_the_bytes_under_a_hash_are_the_same_in_any_later_version() -> None:
    _, (transaction,) = post(wallet(), replace(topup("1.00"), description="Überweisung"))
    canonical = (
        f'{"0" * 64}\n{{"account_id":"{ACCOUNT}","amount_micros":1000000,"available_after_micros":1000000,'
        '"balance_after_micros":1000000,"created_at":"2026-06-12T12:00:00Z","currency":"EUR",'
        '"description":"\\u00dcberweisung","direction":"credit","effective_at":"2026-06-12T12:00:00Z",'
        '"entries":[["available",1000000,"EUR"],["cash:stripe",-1000000,"EUR"]],"line_items":"[]",'
        f'"reserved_after_micros":0,"seq":1,"status":"posted","transaction_id":"{transaction.transaction_id}",'
        '"txn_seq":1,"type":"topup","version":1}'
    )
    assert transaction.hash == hashlib.sha256(canonical.encode()).hexdigest()


TEXTS = st.text(max_size=8)
MAYBE = st.none() | TEXTS
LINES = st.builds(
    LineItem, TEXTS, TEXTS, TEXTS, TEXTS, st.integers(), st.integers(), TEXTS, MAYBE, MAYBE,
    st.none() | st.dictionaries(TEXTS, TEXTS, max_size=3),
)  # fmt: skip


@PROPERTY
@given(st.lists(LINES, max_size=3).map(tuple))
def test_lines_that_were_stored_are_read_as_they_were(lines: tuple[LineItem, ...]) -> None:
    assert line_items_from_json(line_items_to_json(lines)) == lines


AMOUNTS = st.integers(min_value=1, max_value=500).map(lambda cents: f"{cents // 100}.{cents % 100:02d}")
WISHES = st.builds(lambda make, amount: make(amount), st.sampled_from([topup, charge, hold, release, capture]), AMOUNTS)


@PROPERTY
@given(st.lists(WISHES, max_size=30))
def test_a_wallet_is_the_sum_of_what_was_posted_and_never_below_zero(wishes: list[Posting]) -> None:
    now, posted = wallet(), list[LedgerTransaction]()
    for wish in wishes:
        before = now
        try:
            now, transaction = decide(now, wish, now=NOON)
        except (InsufficientFunds, Internal):
            needed = {e.ledger_account: -e.amount_micros for e in wish.entries}
            have = {"available": before.available_micros, "reserved": before.reserved_micros}
            assert any(needed.get(name, 0) > held for name, held in have.items())
            continue
        posted.append(transaction)
        assert (now.available_micros >= 0, now.reserved_micros >= 0) == (True, True)
    legs = [leg for transaction in posted for leg in transaction.entries]
    assert sum(leg.amount_micros for leg in legs) == 0
    assert now.available_micros == sum(leg.amount_micros for leg in legs if leg.ledger_account == "available")
    assert now.reserved_micros == sum(leg.amount_micros for leg in legs if leg.ledger_account == "reserved")
    assert [t.seq for t in posted] == list(range(1, len(posted) + 1))
    counted = [t.txn_seq for t in posted if t.type in ("topup", "charge")]
    assert counted == list(range(1, len(counted) + 1))
    assert [t.previous_hash for t in posted] + [now.head_hash] == [GENESIS_HASH, *(t.hash for t in posted)]
