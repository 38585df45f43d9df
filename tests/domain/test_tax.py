"""VAT on money that comes in: who pays it, at which rate, and how it is divided when money goes back."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.catalog.loader import default_catalog
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.markets import COUNTRIES
from billing_mcp.domain.money import format_micros, parse_micros
from billing_mcp.domain.tax import (
    MEMBER_STATES,
    Customer,
    Tax,
    TaxBook,
    TaxRate,
    add_tax,
    percent,
    tax_for,
    tax_within,
)

BOOK = default_catalog().tax
TODAY = "2026-03-12"
CENT = 10_000
NOBODY = Customer()
SWISS = TaxBook("CH", {**BOOK.rates, "CH": (TaxRate(date(2024, 1, 1), 810),)})

# Sold from Germany: the customer, the day, the treatment, the country and its rate, and the tax on 100.00.
CASES = [
    (NOBODY, TODAY, "domestic", "DE", "19.00", "19.00"),
    (Customer("DE"), TODAY, "domestic", "DE", "19.00", "19.00"),
    (Customer("DE", vat_id="DE136695976"), TODAY, "domestic", "DE", "19.00", "19.00"),
    (Customer("DE"), "2020-12-31", "domestic", "DE", "16.00", "16.00"),
    (Customer("FR"), TODAY, "eu_consumer", "FR", "20.00", "20.00"),
    (Customer("HU"), TODAY, "eu_consumer", "HU", "27.00", "27.00"),
    (Customer("FI"), "2024-08-31", "eu_consumer", "FI", "24.00", "24.00"),
    (Customer("FI"), "2024-09-01", "eu_consumer", "FI", "25.50", "25.50"),
    (Customer("EE"), "2025-06-30", "eu_consumer", "EE", "22.00", "22.00"),
    (Customer("EE"), "2025-07-01", "eu_consumer", "EE", "24.00", "24.00"),
    (Customer("MC"), TODAY, "eu_consumer", "FR", "20.00", "20.00"),
    (Customer("FR", vat_id="FR61954506077"), TODAY, "reverse_charge", "FR", "0.00", "0.00"),
    (Customer("MC", vat_id="FR61954506077"), TODAY, "reverse_charge", "FR", "0.00", "0.00"),
    (Customer("GR", vat_id="EL094259216"), TODAY, "reverse_charge", "GR", "0.00", "0.00"),
    (Customer("CH"), TODAY, "outside_eu", "CH", "0.00", "0.00"),
    (Customer("GB"), TODAY, "outside_eu", "GB", "0.00", "0.00"),
    (Customer("US"), TODAY, "outside_eu", "US", "0.00", "0.00"),
    (Customer("RE"), TODAY, "outside_eu", "RE", "0.00", "0.00"),  # of France, and outside for VAT
    (Customer("DE", exempt=True), TODAY, "exempt", "DE", "0.00", "0.00"),
    (Customer("FR", exempt=True), TODAY, "exempt", "FR", "0.00", "0.00"),
    (Customer("US", exempt=True), TODAY, "exempt", "US", "0.00", "0.00"),
]


@pytest.mark.parametrize(("customer", "day", "treatment", "country", "rate", "on_100"), CASES)
def test_who_the_customer_is_decides_whose_vat_is_added(
    customer: Customer, day: str, treatment: str, country: str, rate: str, on_100: str
) -> None:
    tax = tax_for(customer, BOOK, date.fromisoformat(day))

    assert (tax.treatment, tax.country, percent(tax.rate_basis_points)) == (treatment, country, rate)
    assert format_micros(add_tax(parse_micros("100.00"), tax)) == on_100


@pytest.mark.parametrize(
    ("customer", "words"),
    [
        (NOBODY, ["VAT of DE", "Art. 65"]),
        (Customer("FR"), ["VAT of FR", "One-Stop Shop", "Art. 58"]),
        (Customer("FR", vat_id="FR61954506077"), ["Reverse charge", "Art. 44 and 196"]),
        (Customer("US"), ["Outside the scope of EU VAT", "Art. 44 and 58"]),
        (Customer(exempt=True), ["Exempt", "Art. 151"]),
    ],
)
def test_the_note_says_why_and_cites_the_article(customer: Customer, words: list[str]) -> None:
    note = tax_for(customer, BOOK, date(2026, 3, 12)).note
    assert all(each in note for each in [*words, "Directive 2006/112/EC"]), note


@pytest.mark.parametrize(
    ("customer", "treatment", "rate"),
    [
        (NOBODY, "domestic", 810),
        (Customer("DE"), "eu_consumer", 1900),
        (Customer("DE", vat_id="DE136695976"), "reverse_charge", 0),
        (Customer("LI"), "outside_eu", 0),
    ],
)
def test_a_seller_outside_the_union_adds_the_vat_of_the_unions_consumers(
    customer: Customer, treatment: str, rate: int
) -> None:
    tax = tax_for(customer, SWISS, date(2026, 3, 12))
    assert (tax.treatment, tax.rate_basis_points) == (treatment, rate)
    assert "Directive" not in tax.note or treatment != "domestic"


@given(st.sampled_from(sorted(COUNTRIES)), st.booleans(), st.sampled_from([BOOK, SWISS]))
def test_tax_is_added_where_the_customer_is_the_sellers_or_a_consumer_of_the_union_and_nowhere_else(
    country: str, business: bool, book: TaxBook
) -> None:
    tax = tax_for(Customer(country, "XX1" if business else None), book, date(2026, 3, 12))

    taxed = tax.country == book.seller_country or (tax.country in MEMBER_STATES and not business)
    assert (tax.rate_basis_points > 0) == taxed


def test_a_day_before_all_rates_is_refused_with_the_mend() -> None:
    with pytest.raises(InvalidArgument, match="no VAT rate of FI before 2020-01-01") as refused:
        tax_for(Customer("FI"), BOOK, date(2019, 12, 31))
    assert (refused.value.code, refused.value.hint) == ("not_priced", "Add the rate of then to [tax.rates] FI.")


def at(basis_points: int) -> Tax:
    return Tax("domestic", basis_points, "DE", "")


@pytest.mark.parametrize(
    ("net", "basis_points", "tax"),
    [
        ("0.00", 1900, "0.00"),
        ("0.02", 1900, "0.00"),  # 0.38 cents
        ("0.03", 1900, "0.01"),  # 0.57
        ("0.10", 500, "0.01"),  # half a cent: up
        ("0.30", 500, "0.02"),  # one and a half: up, and not to the even cent by chance
        ("0.50", 500, "0.03"),  # two and a half: up, not to the even cent
        ("-0.50", 500, "-0.03"),  # away from zero
        ("-0.49", 500, "-0.02"),
        ("10.00", 2550, "2.55"),
        ("33.33", 1900, "6.33"),  # 6.3327
        ("1.234567", 1900, "0.23"),  # 0.23456773
        ("0.499999", 500, "0.02"),
        ("999999999999.99", 2700, "270000000000.00"),
    ],
)
def test_tax_is_in_whole_cents_half_a_cent_away_from_zero(net: str, basis_points: int, tax: str) -> None:
    assert add_tax(parse_micros(net), at(basis_points)) == parse_micros(tax)


nets = st.integers(0, 10**9).map(lambda cents: cents * CENT)
rates = st.integers(0, 2700)


@given(nets, rates)
def test_what_comes_back_is_what_went_in(net: int, basis_points: int) -> None:
    assert add_tax(-net, at(basis_points)) == -add_tax(net, at(basis_points))


def taxed(part: int, net: int, tax: int, *, before: int = 0) -> tuple[int, int]:
    """The net and the tax of a part that moves after others."""
    moved = tax_within(before + part, net, tax) - tax_within(before, net, tax)
    return part - moved, moved


@given(nets, rates, st.data())
def test_refunds_of_any_size_and_number_sum_to_the_whole_to_the_cent(
    net: int, basis_points: int, data: st.DataObject
) -> None:
    tax = add_tax(net, at(basis_points))
    gross = (net + tax) // CENT
    cuts = sorted(data.draw(st.lists(st.integers(0, gross), max_size=8)))
    points = [each * CENT for each in [0, *cuts, gross]]

    parts = [taxed(to - since, net, tax, before=since) for since, to in pairwise(points)]

    assert (sum(net for net, _ in parts), sum(tax for _, tax in parts)) == (net, tax)
    assert all(min(part) >= 0 and part[1] % CENT == 0 for part in parts)


@given(nets, rates, st.lists(st.integers(-(10**7), 10**7), max_size=8))
def test_money_that_goes_back_and_comes_again_leaves_no_trace(net: int, basis_points: int, moves: list[int]) -> None:
    tax = add_tax(net, at(basis_points))
    gone, net_gone, tax_gone = 0, 0, 0
    for move in [*(each * CENT for each in moves), -sum(moves) * CENT]:
        of_net, of_tax = taxed(move, net, tax, before=gone)
        gone, net_gone, tax_gone = gone + move, net_gone + of_net, tax_gone + of_tax
        assert 0 <= tax_gone <= tax

    assert (gone, net_gone, tax_gone) == (0, 0, 0)


# Of a top-up of 10.00 and 1.90 of tax: what moved before, the part, and the net and the tax in it.
PARTS = [
    ("0.00", "11.90", "10.00", "1.90"),
    ("0.00", "5.95", "5.00", "0.95"),
    ("5.95", "5.95", "5.00", "0.95"),
    ("0.00", "1.00", "0.84", "0.16"),  # 0.1597
    ("0.00", "0.03", "0.03", "0.00"),  # 0.0048
    ("0.03", "0.01", "0.00", "0.01"),  # 0.0064 of 0.04 altogether
    ("11.90", "5.00", "5.00", "0.00"),  # a bank that takes more than was paid takes no more tax
    ("10.00", "5.00", "4.70", "0.30"),
    ("11.90", "-11.90", "-10.00", "-1.90"),
]


@pytest.mark.parametrize(("before", "part", "net", "tax"), PARTS)
def test_a_part_of_a_payment_has_its_share_of_tax(before: str, part: str, net: str, tax: str) -> None:
    found = taxed(parse_micros(part), parse_micros("10.00"), parse_micros("1.90"), before=parse_micros(before))
    assert tuple(map(format_micros, found)) == (net, tax)


def test_without_tax_all_of_a_part_is_net() -> None:
    assert taxed(3 * CENT, 10 * CENT, 0) == (3 * CENT, 0)
    assert taxed(0, 0, 0) == (0, 0)
