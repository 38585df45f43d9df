"""Owns money: integer micro-units, and their exact decimal text.

One micro-unit is 10^-6 of the currency's major unit, so 12.40 EUR is 12_400_000 micros.
No float ever enters or leaves this module.
"""

from __future__ import annotations

import re
from decimal import Decimal

MICROS_PER_UNIT = 1_000_000
MICROS_PER_CENT = 10_000
_DECIMAL = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,6}))?")


def format_micros(amount_micros: int) -> str:
    """The exact decimal text, with at least 2 and at most 6 decimals: `12400000` is `12.40`."""
    sign = "-" if amount_micros < 0 else ""
    units, micros = divmod(abs(amount_micros), MICROS_PER_UNIT)
    decimals = f"{micros:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{units}.{decimals}"


def decimal_of(amount_micros: int) -> Decimal:
    """The exact amount in major units, with 2 to 6 decimals."""
    return Decimal(format_micros(amount_micros))


def parse_micros(text: str) -> int:
    """The micros of a decimal text such as `12.4`. Raises ValueError for anything else."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a decimal amount with at most 6 decimals, such as 12.40")
    sign, units, decimals = match.groups()
    micros = int(units) * MICROS_PER_UNIT + int((decimals or "").ljust(6, "0"))
    return -micros if sign else micros


def divide_half_even(numerator: int, denominator: int) -> int:
    """`numerator / denominator` to the nearest integer, ties to the even one."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient % 2 == 1):
        return quotient + 1
    return quotient


def round_to_cents(amount_micros: int) -> int:
    """Whole cents nearest to the amount, ties to the even cent."""
    return divide_half_even(amount_micros, MICROS_PER_CENT)


def format_cents(amount_micros: int) -> str:
    """A price in cents as exact decimal text: 25 cents and a half is `25.5`."""
    sign = "-" if amount_micros < 0 else ""
    cents, rest = divmod(abs(amount_micros), MICROS_PER_CENT)
    return f"{sign}{cents}.{rest:04d}".rstrip("0").rstrip(".")
