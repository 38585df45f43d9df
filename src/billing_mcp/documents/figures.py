"""Owns figures and dates as people of a locale write them. A minus is a real one, as wide as a figure."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal

from babel import Locale
from babel.dates import format_date, format_interval
from babel.numbers import format_currency, format_decimal, format_percent

from billing_mcp.domain.money import decimal_of
from billing_mcp.domain.tax import BASIS_POINTS

_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,6})?")
_MINUS = "\u2212"
_LEAST_DECIMALS = 2


class Figures:
    """How figures and dates are written in a locale, such as `de_DE`."""

    def __init__(self, locale: str) -> None:
        self._locale = Locale.parse(locale)

    def amount(self, micros: int) -> str:
        """An amount with its cents, without a currency: `1.234,50`."""
        return _signed(format_decimal(decimal_of(micros), "#,##0.00", locale=self._locale))

    def money(self, micros: int, currency: str) -> str:
        """An amount with its cents and its currency: `1.234,50 €`."""
        return _signed(format_currency(decimal_of(micros), currency, locale=self._locale, currency_digits=False))

    def price(self, micros: int) -> str:
        """A price to the last of its decimals, and with two at least: `0,0759`."""
        return _signed(format_decimal(decimal_of(micros), "#,##0.00####", locale=self._locale))

    def quantity(self, text: str) -> str:
        """A quantity; what is no number stays as it is."""
        if not _NUMBER.fullmatch(text):
            return text
        return _signed(format_decimal(Decimal(text), "#,##0.######", locale=self._locale))

    def percent(self, basis_points: int) -> str:
        """A rate: `25,5 %`."""
        rate = Decimal(basis_points) / BASIS_POINTS
        return str(format_percent(rate, locale=self._locale, decimal_quantization=False))

    def day(self, day: date) -> str:
        """A day: `12. März 2026`."""
        return format_date(day, "long", locale=self._locale)

    def written_day(self, text: str) -> str:
        """A day of ISO 8601 as it is written here; what is none stays as it is."""
        try:
            return self.day(date.fromisoformat(text))
        except ValueError:
            return text

    def days(self, start: date, end: date) -> str:
        """The days from `start` to before `end`, named by the first and the last of them."""
        last = end - timedelta(days=1) if end > start else start
        return format_interval(start, last, "yMMMd", locale=self._locale)

    def country(self, code: str) -> str:
        """The name of a country; a code that is none stays as it is."""
        return str(self._locale.territories.get(code, code))


def missing_decimals(price_micros: int, most: int) -> int:
    """How many decimals a price has less than `most`."""
    return most - decimals_of(price_micros)


def decimals_of(price_micros: int) -> int:
    """How many decimals a price is written with."""
    written = f"{abs(price_micros) % 10**6:06d}".rstrip("0")
    return max(_LEAST_DECIMALS, len(written))


def _signed(text: str) -> str:
    return text.replace("-", _MINUS)
