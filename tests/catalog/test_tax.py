"""The rates of VAT in a catalog: what a file names, what it has from the package, and what is wrong with it."""

from __future__ import annotations

from datetime import date

import pytest

from billing_mcp.catalog.loader import default_catalog, examine, parse_catalog
from billing_mcp.domain.tax import MEMBER_STATES, TaxBook
from tests.catalog.texts import CATALOG, line_of

TAX = """
[tax]
seller_country = "CH"

[tax.rates]
CH = [
    { valid_from = 2023-01-01, percent = "7.7" },
    { valid_from = 2024-03-01, percent = "8.10" },
]
EE = [{ valid_from = 2026-07-01, percent = "25" }]
"""
"""A seller outside the Union; Estonia is thought to raise its rate once more."""


def book(tax: str) -> TaxBook:
    return parse_catalog(CATALOG + tax).tax


def test_the_package_knows_the_rates_of_all_member_states_since_its_first_prices() -> None:
    catalog = default_catalog()
    assert catalog.tax.seller_country == "DE"
    assert catalog.tax.rates.keys() == MEMBER_STATES
    assert {rates[0].valid_from for rates in catalog.tax.rates.values()} == {catalog.book.versions[0].valid_from}
    assert all(1500 <= rate.basis_points <= 2700 for rates in catalog.tax.rates.values() for rate in rates)


@pytest.mark.parametrize(
    ("country", "last_day", "before", "after"),
    [
        ("DE", "2020-06-30", 1900, 1600),
        ("DE", "2020-12-31", 1600, 1900),
        ("IE", "2020-08-31", 2300, 2100),
        ("IE", "2021-02-28", 2100, 2300),
        ("LU", "2022-12-31", 1700, 1600),
        ("LU", "2023-12-31", 1600, 1700),
        ("EE", "2023-12-31", 2000, 2200),
        ("FI", "2024-08-31", 2400, 2550),
        ("SK", "2024-12-31", 2000, 2300),
        ("EE", "2025-06-30", 2200, 2400),
        ("RO", "2025-07-31", 1900, 2100),
    ],
)
def test_a_rate_holds_until_the_day_on_which_the_law_changes_it(
    country: str, last_day: str, before: int, after: int
) -> None:
    day = date.fromisoformat(last_day)
    rates = default_catalog().tax
    assert (rates.rate_on(country, day), rates.rate_on(country, date.fromordinal(day.toordinal() + 1))) == (
        before,
        after,
    )


def test_a_catalog_from_before_there_was_vat_has_that_of_the_package() -> None:
    assert parse_catalog(CATALOG).tax == default_catalog().tax


def test_a_catalog_needs_to_name_the_seller_alone() -> None:
    own = book('[tax]\nseller_country = "FR"')
    assert (own.seller_country, own.rates) == ("FR", default_catalog().tax.rates)


def test_rates_of_ones_own_count_from_their_first_day_on_and_those_before_stay() -> None:
    own = book(TAX)
    assert own.rate_on("EE", date(2026, 6, 30)) == 2400
    assert own.rate_on("EE", date(2026, 7, 1)) == 2500
    assert own.rate_on("EE", date(2024, 1, 1)) == 2200
    assert [own.rate_on("CH", date(2024, month, 1)) for month in (2, 3)] == [770, 810]
    assert own.rate_on("FR", date(2026, 7, 1)) == 2000


@pytest.mark.parametrize(
    ("right", "wrong", "field", "says", "hint"),
    [
        ('seller_country = "CH"', "", "tax.seller_country", "is missing", ""),
        ('"CH"', '"ch"', "tax.seller_country", "is not the code of a country", "Write CH."),
        ('"CH"', '"EL"', "tax.seller_country", "is not the code of a country", "Write GR."),
        ('"CH"', "7", "tax.seller_country", "must be text; got 7", ""),
        ('"CH"', '"US"', "tax.seller_country", 'has no rate of VAT; got "US"', "Add it to [tax.rates]: US = ["),
        ("EE = [{", "ZZ = [{", "tax.rates.ZZ", "is not the code of a country", "Such as DE."),
        ('"8.10"', "8.10", "tax.rates.CH.1.percent", "a rate is written as text; got 8.10", 'quotes: "8.10".'),
        ('"8.10"', "8", "tax.rates.CH.1.percent", "a rate is written as text; got 8", 'Write it in quotes: "8".'),
        ('"8.10"', "true", "tax.rates.CH.1.percent", "must be text; got true", ""),
        ('"8.10"', '"8.1 %"', "tax.rates.CH.1.percent", "is not a rate in percent", 'Such as "19" or "25.5"'),
        ('"8.10"', '"-8"', "tax.rates.CH.1.percent", 'is not a rate in percent; got "-8"', ""),
        ('"8.10"', '"100"', "tax.rates.CH.1.percent", "is not a rate in percent", "below 100"),
        ('"8.10"', '"8.105"', "tax.rates.CH.1.percent", "is not a rate in percent", "at most 2 decimals"),
        ("2024-03-01", "2023-01-01", "tax.rates.CH.1.valid_from", "must be after 2023-01-01", "oldest first"),
        ("2023-01-01", "2024-01-02", "tax.rates.CH.0.valid_from", "must not be after 2024-01-01, when the first", ""),
        ("2024-03-01", '"2024"', "tax.rates.CH.1.valid_from", "must be a date, such as 2026-01-01", ""),
        ("seller_country", "seller", "tax.seller", "is not known here", "Did you mean seller_country?"),
        ('percent = "25"', 'percentage = "25"', "tax.rates.EE.0.percentage", "is not known", "Did you mean percent?"),
        ('[{ valid_from = 2026-07-01, percent = "25" }]', "[]", "tax.rates.EE", "is empty", ""),
    ],
)
def test_what_is_wrong_is_told_by_line_and_field(right: str, wrong: str, field: str, says: str, hint: str) -> None:
    assert TAX.count(right) == 1
    text = CATALOG + TAX.replace(right, wrong)

    (problem,) = examine(text).problems

    assert problem.field == field
    assert says in problem.message
    assert hint in problem.hint
    line = line_of(text, "[tax]\n") if not wrong else line_of(text, wrong) if text.count(wrong) == 1 else problem.line
    assert problem.line == line
