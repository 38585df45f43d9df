"""Top-ups: what each thing that is learned of a payment makes of one, and that every cent is posted once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.ledger import Posting
from billing_mcp.domain.payments import Facts
from billing_mcp.domain.topups import TopUp, TopUpStatus, check_amount, learned
from tests.domain.builders import ACCOUNT, PROPERTY, eur

NOW = datetime(2026, 3, 12, tzinfo=UTC)
CENT = 10_000
GROSS = eur("11.90")


def topup(net: str = "10.00", tax: str = "1.90", **known: Any) -> TopUp:
    return TopUp(
        account_id=ACCOUNT,
        topup_id="t1",
        payment_method_id="m1",
        provider="test",
        origin="manual",
        currency="EUR",
        net_micros=eur(net),
        tax_micros=eur(tax),
        tax_rate_bp=1900,
        tax_treatment="domestic",
        created_at=NOW,
        changed_at=NOW,
        **known,
    )


def legs(posting: Posting) -> dict[str, int]:
    return {entry.ledger_account: entry.amount_micros for entry in posting.entries}


STATUSES: list[tuple[Facts, bool, TopUpStatus]] = [
    (Facts("created"), True, "pending"),
    (Facts("created"), False, "unknown"),
    (Facts("requires_action"), True, "requires_action"),
    (Facts("processing"), True, "processing"),
    (Facts("failed"), True, "failed"),
    (Facts("failed"), False, "failed"),
    (Facts("succeeded"), True, "processing"),
    (Facts("succeeded", GROSS), True, "succeeded"),
    (Facts("processing", GROSS), False, "succeeded"),
    (Facts("succeeded", GROSS, 1), True, "succeeded"),
    (Facts("succeeded", GROSS, GROSS), True, "refunded"),
    (Facts("succeeded", GROSS, 0, GROSS), True, "reversed"),
    (Facts("succeeded", GROSS, 1, GROSS - 1), True, "reversed"),
    (Facts("succeeded", GROSS, 0, GROSS, GROSS), True, "succeeded"),
    (Facts("succeeded", GROSS, 0, GROSS, GROSS - 1), True, "reversed"),
    (Facts("succeeded", GROSS, GROSS, GROSS, GROSS), True, "refunded"),
]


@pytest.mark.parametrize(("facts", "answered", "status"), STATUSES)
def test_where_a_topup_stands_follows_from_its_facts(facts: Facts, answered: bool, status: TopUpStatus) -> None:
    assert topup(facts=facts, answered=answered).status == status


def test_money_that_came_is_split_into_net_and_tax_and_posted_once() -> None:
    known, (posting,) = learned(topup(), Facts("succeeded", GROSS), now=NOW)

    assert (posting.type, posting.may_overdraw) == ("topup", False)
    assert legs(posting) == {"available": eur("10.00"), "tax": eur("1.90"), "cash:test": -GROSS}
    assert posting.description == "Top-up t1: 10.00 EUR and 1.90 VAT by test"
    for again in (Facts("created"), Facts("processing"), Facts("failed", failure_code="late"), known.facts):
        assert learned(known, again, now=NOW) == (known, ())


def test_what_was_told_out_of_order_is_caught_up_with_in_one_go() -> None:
    lost = Facts("succeeded", GROSS, eur("3.33"), GROSS - eur("3.33"))

    known, postings = learned(topup(), lost, now=NOW)

    assert [(each.type, each.may_overdraw) for each in postings] == [
        ("topup", False),
        ("refund", True),
        ("reversal", True),
    ]
    assert known.status == "reversed"
    assert [sum(legs(each)[name] for each in postings) for name in ("available", "tax", "cash:test")] == [0, 0, 0]


def test_a_dispute_that_is_won_gives_back_what_it_took() -> None:
    taken, (reversal,) = learned(topup(facts=Facts("succeeded", GROSS)), Facts("succeeded", GROSS, 0, GROSS), now=NOW)
    given_back, (adjustment,) = learned(taken, Facts("succeeded", GROSS, 0, GROSS, GROSS), now=NOW)

    assert legs(reversal) == {name: -micros for name, micros in legs(adjustment).items()}
    assert (adjustment.type, adjustment.may_overdraw, given_back.status) == ("adjustment", False, "succeeded")


def test_without_tax_no_tax_is_posted() -> None:
    _, (posting,) = learned(topup(tax="0.00"), Facts("succeeded", eur("10.00")), now=NOW)
    assert legs(posting) == {"available": eur("10.00"), "cash:test": -eur("10.00")}


def test_an_answer_ends_not_knowing_and_hearing_that_there_is_a_payment_is_none() -> None:
    waiting = topup(answered=False)
    assert learned(waiting, Facts("created"), now=NOW) == (waiting, ())
    known, _ = learned(waiting, Facts("processing"), now=NOW)
    assert (known.answered, known.status) == (True, "processing")


@st.composite
def lives(draw: st.DrawFn) -> tuple[TopUp, list[Facts]]:
    """A top-up of any amount and rate, and what happens to its payment, step by step."""
    net = draw(st.integers(1000, 3000) | st.just(10_000_000)) * CENT
    tax = draw(st.integers(0, 2700)) * net // 10_000 // CENT * CENT
    facts = Facts("succeeded", net + tax)
    story = [facts]
    for _ in range(draw(st.integers(0, 5))):
        kept = facts.kept_micros
        cents = draw(st.integers(0, kept // CENT) | st.just(kept // CENT) | st.just(kept // CENT // 2))
        match draw(st.sampled_from(["refund", "dispute", "win"])):
            case "refund":
                facts = replace(facts, refunded_micros=facts.refunded_micros + cents * CENT)
            case "dispute":
                facts = replace(facts, withdrawn_micros=facts.withdrawn_micros + cents * CENT)
            case "win":
                facts = replace(facts, reinstated_micros=facts.withdrawn_micros)
        story.append(facts)
    known = replace(topup(), net_micros=net, tax_micros=tax)
    return known, story


@PROPERTY
@given(lives(), st.data())
def test_whatever_part_is_heard_of_the_wallet_and_the_tax_are_what_is_ours(
    life: tuple[TopUp, list[Facts]], data: st.DataObject
) -> None:
    known, story = life
    heard = [*data.draw(st.lists(st.sampled_from(story), max_size=6)), story[-1]]
    sums = dict.fromkeys(("available", "tax", "cash:test"), 0)
    for facts in heard:
        known, postings = learned(known, facts, now=NOW)
        for posting in postings:
            assert sum(legs(posting).values()) == 0
            for name, micros in legs(posting).items():
                sums[name] += micros
    kept = story[-1].kept_micros
    net = round(Fraction(kept * known.net_micros, known.gross_micros * CENT)) * CENT  # ties to the even cent
    assert sums == {"available": net, "tax": kept - net, "cash:test": -kept}


def test_two_halves_of_an_odd_amount_are_all_of_it() -> None:
    known = replace(topup(net="10.03", tax="1.91"), facts=Facts("succeeded", eur("11.94")))
    half = eur("5.97")

    after, (refund,) = learned(known, Facts("succeeded", eur("11.94"), half), now=NOW)
    _, (reversal,) = learned(after, Facts("succeeded", eur("11.94"), half, half), now=NOW)

    assert legs(refund)["available"] + legs(reversal)["available"] == -eur("10.03")
    assert legs(refund)["tax"] + legs(reversal)["tax"] == -eur("1.91")


@pytest.mark.parametrize("amount", ["10.00", "10.01", "99999.99", "100000.00"])
def test_amounts_that_can_be_topped_up(amount: str) -> None:
    check_amount(eur(amount), "EUR")


@pytest.mark.parametrize("amount", ["0.00", "9.99", "10.001", "100000.01", "-10.00"])
def test_amounts_that_cannot_be(amount: str) -> None:
    with pytest.raises(InvalidArgument, match=r"10\.00 to 100000\.00 EUR in whole cents"):
        check_amount(eur(amount), "EUR")
