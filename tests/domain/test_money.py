"""Money is integers and exact text; it is rounded in one place, in one way."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.domain.money import (
    MICROS_PER_CENT,
    MICROS_PER_UNIT,
    divide_half_even,
    format_cents,
    format_micros,
    parse_micros,
    round_to_cents,
)
from tests.domain.builders import PROPERTY

AMOUNTS = st.integers(min_value=-(10**18) + 1, max_value=10**18 - 1)


def test_a_unit_is_a_hundred_cents_and_a_million_micros() -> None:
    assert (MICROS_PER_UNIT, 100 * MICROS_PER_CENT) == (1_000_000, 1_000_000)


@pytest.mark.parametrize(
    ("amount_micros", "text"),
    [
        (0, "0.00"),
        (1, "0.000001"),
        (10_000, "0.01"),
        (100_000, "0.10"),
        (128_333, "0.128333"),
        (350_000, "0.35"),
        (12_400_000, "12.40"),
        (12_405_000, "12.405"),
        (1_000_000_000, "1000.00"),
        (-1, "-0.000001"),
        (-500_000, "-0.50"),
        (-12_400_000, "-12.40"),
    ],
)
def test_an_amount_is_written_with_2_to_6_decimals(amount_micros: int, text: str) -> None:
    assert format_micros(amount_micros) == text
    assert parse_micros(text) == amount_micros


@pytest.mark.parametrize(
    ("text", "amount_micros"),
    [
        ("12", 12_000_000),
        ("12.4", 12_400_000),
        ("0.000001", 1),
        ("-0.5", -500_000),
        ("-0.00", 0),
        ("999999999999.999999", 10**18 - 1),
    ],
)
def test_an_amount_may_be_written_shorter_than_it_is_shown(text: str, amount_micros: int) -> None:
    assert parse_micros(text) == amount_micros


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "-", ".", "1.", ".5", "+1", "--1", "1,5", "1_000", " 1", "1 ", "1\n", "1e3", "0x10", "nan",
        "Infinity", "1.1234567", "1234567890123", "12.40 EUR", "1.2.3",
    ],
)  # fmt: skip
def test_what_is_not_an_exact_decimal_amount_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="is not a decimal amount"):
        parse_micros(text)


@PROPERTY
@given(AMOUNTS)
def test_an_amount_that_was_written_reads_the_same(amount_micros: int) -> None:
    text = format_micros(amount_micros)
    assert parse_micros(text) == amount_micros
    assert Decimal(text) * MICROS_PER_UNIT == amount_micros
    assert 2 <= len(text.partition(".")[2]) <= 6


@PROPERTY
@given(AMOUNTS, st.integers(min_value=1, max_value=10**7))
def test_a_division_gives_the_nearest_integer_and_of_two_the_even_one(numerator: int, denominator: int) -> None:
    assert divide_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@pytest.mark.parametrize(("half", "rounded"), [(1, 0), (3, 2), (5, 2), (7, 4), (-1, 0), (-3, -2), (-5, -2), (-7, -4)])
def test_a_half_goes_to_the_even_neighbour_on_either_side_of_zero(half: int, rounded: int) -> None:
    assert divide_half_even(half, 2) == rounded


@pytest.mark.parametrize(
    ("amount_micros", "cents"),
    [
        (0, 0),
        (10_633_333, 1063),
        (15_399_960, 1540),
        (5_000, 0),
        (5_001, 1),
        (15_000, 2),
        (25_000, 2),
        (-5_000, 0),
        (-15_000, -2),
        (-3_333, 0),
    ],
)
def test_an_amount_is_rounded_to_the_nearest_cent_and_a_half_to_the_even_one(amount_micros: int, cents: int) -> None:
    assert round_to_cents(amount_micros) == cents


@PROPERTY
@given(AMOUNTS)
def test_rounding_to_cents_agrees_with_decimal_arithmetic(amount_micros: int) -> None:
    exact = Decimal(amount_micros).scaleb(-4)
    assert round_to_cents(amount_micros) == int(exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


@pytest.mark.parametrize(
    ("amount_micros", "cents"),
    [(0, "0"), (1, "0.0001"), (10_000, "1"), (350_000, "35"), (255_000, "25.5"), (100_000, "10"), (18_000_000, "1800")],
)
def test_a_price_in_cents_is_exact_and_has_no_idle_zeros(amount_micros: int, cents: str) -> None:
    assert format_cents(amount_micros) == cents


@PROPERTY
@given(st.integers(min_value=0, max_value=10**15))
def test_a_price_in_cents_is_the_price(amount_micros: int) -> None:
    assert Decimal(format_cents(amount_micros)) * MICROS_PER_CENT == amount_micros


def test_a_negative_price_in_cents_is_the_price() -> None:
    assert format_cents(-255_000) == "-25.5"


def test_only_ascii_digits_are_an_amount() -> None:
    with pytest.raises(ValueError, match="is not a decimal amount"):
        parse_micros("\u0661\u0662.\u0664")
