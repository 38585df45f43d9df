"""The facts under a hash are written fast, and are to the byte what the standard encoder writes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing_mcp.domain.clock import from_epoch_us, iso, iso_of_epoch_us, to_epoch_us
from billing_mcp.domain.ledger import (
    Entry,
    LedgerTransaction,
    LineItem,
    canonical_facts,
    chain_hash,
    hash_of,
    line_items_to_json,
)
from tests.domain.builders import PROPERTY

TEXT = st.text(st.characters(exclude_categories=()), max_size=20)  # surrogates and control characters too
NUMBER = st.integers(-(2**63), 2**63 - 1)
FIRST, LAST = (to_epoch_us(datetime(*day, tzinfo=UTC)) for day in ((1, 1, 2), (9999, 12, 30)))
MOMENT = st.integers(FIRST, LAST).map(from_epoch_us)
LINE = st.builds(
    LineItem, TEXT, TEXT, TEXT, TEXT, NUMBER, NUMBER, TEXT, metadata=st.none() | st.dictionaries(TEXT, TEXT, max_size=2)
)
TRANSACTION: st.SearchStrategy[Any] = st.builds(
    LedgerTransaction,
    account_id=TEXT,
    seq=NUMBER,
    txn_seq=st.none() | NUMBER,
    transaction_id=TEXT,
    type=TEXT,
    direction=TEXT,
    amount_micros=NUMBER,
    currency=TEXT,
    status=TEXT,
    description=TEXT,
    effective_at=MOMENT,
    created_at=MOMENT,
    balance_after_micros=NUMBER,
    available_after_micros=NUMBER,
    reserved_after_micros=NUMBER,
    entries=st.lists(st.builds(Entry, TEXT, NUMBER, TEXT), max_size=4).map(tuple),
    line_items=st.lists(LINE, max_size=2).map(tuple),
    previous_hash=st.text("0123456789abcdef", min_size=64, max_size=64),
    hold_id=st.none() | TEXT,
)


def plain(transaction: LedgerTransaction) -> str:
    """The definition of the facts, in the words of the standard library alone."""
    facts = {name: value for name, value in asdict(transaction).items() if name not in ("previous_hash", "hash")}
    facts["version"] = 1 if transaction.hold_id is None else 2
    if transaction.hold_id is None:
        del facts["hold_id"]
    for name in ("effective_at", "created_at"):
        facts[name] = facts[name].isoformat().replace("+00:00", "Z")
    facts["entries"] = [[e.ledger_account, e.amount_micros, e.currency] for e in transaction.entries]
    items = [asdict(item) for item in transaction.line_items]
    facts["line_items"] = json.dumps(items, sort_keys=True, separators=(",", ":"))
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


@PROPERTY
@given(TRANSACTION)
def test_a_hash_is_that_of_the_facts_as_the_standard_encoder_writes_them(transaction: LedgerTransaction) -> None:
    under_the_hash = f"{transaction.previous_hash}\n{plain(transaction)}"

    assert chain_hash(transaction) == hashlib.sha256(under_the_hash.encode()).hexdigest()


@PROPERTY
@given(TRANSACTION)
def test_facts_as_they_are_stored_have_the_same_hash(transaction: LedgerTransaction) -> None:
    stored = {name: value for name, value in asdict(transaction).items() if name not in ("previous_hash", "hash")}
    stored["type_"] = stored.pop("type")
    for name in ("effective_at", "created_at"):
        stored[name] = iso_of_epoch_us(to_epoch_us(stored[name]))
    stored["entries"] = [(e.ledger_account, e.amount_micros, e.currency) for e in transaction.entries]
    stored["line_items"] = line_items_to_json(transaction.line_items)

    facts = canonical_facts(**stored)

    assert facts == plain(transaction)
    assert hash_of(transaction.previous_hash, facts) == chain_hash(transaction)


@PROPERTY
@given(MOMENT)
@example(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
@example(datetime(2026, 3, 12, tzinfo=UTC))
def test_a_stored_moment_is_written_as_the_moment_itself(moment: datetime) -> None:
    stored = to_epoch_us(moment)

    assert from_epoch_us(stored) == moment
    assert iso_of_epoch_us(stored) == iso(moment) == moment.isoformat().replace("+00:00", "Z")
    assert iso(moment.astimezone(timezone(timedelta(hours=-3)))) == iso(moment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amount_micros", '1,"seq":2'),
        ("seq", "1"),
        ("txn_seq", "1"),
        ("reserved_after_micros", None),
        ("description", 5),
        ("currency", None),
        ("entries", [("available", "1", "EUR")]),
        ("line_items", b"[]"),
    ],
)
def test_what_is_of_another_kind_is_refused_rather_than_written_into_the_facts(name: str, value: object) -> None:
    texts = ("account_id", "transaction_id", "type_", "direction", "currency", "status", "description", "line_items")
    numbers = ("seq", "txn_seq", "amount_micros", "balance_after_micros", "available_after_micros")
    facts: dict[str, Any] = dict.fromkeys(texts, "x") | dict.fromkeys((*numbers, "reserved_after_micros"), 1)
    facts |= {"effective_at": "x", "created_at": "x", "entries": [("available", 1, "EUR")], "hold_id": None}
    assert canonical_facts(**facts)

    with pytest.raises(TypeError):
        canonical_facts(**facts | {name: value})


def test_a_copy_with_another_fact_has_another_hash() -> None:
    line = LineItem("message", "Ü\u2028\x00", "1", "message", 1, 1, "usage")
    transaction = LedgerTransaction(
        "a", 1, 1, "t", "charge", "debit", 1, "EUR", "posted", 'Say "\\"', from_epoch_us(0), from_epoch_us(1), 0, 0, 0,
        (Entry("available", -1, "EUR"), Entry("revenue", 1, "EUR")), (line,), "0" * 64,
    )  # fmt: skip
    hashes = {
        chain_hash(replace(transaction, **change))
        for change in ({}, {"hold_id": ""}, {"hold_id": "x"}, {"effective_at": from_epoch_us(1)}, {"line_items": ()})
    }

    assert len(hashes) == 5
