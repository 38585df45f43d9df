"""The catalog is read exactly or not at all, and an error names the line and the field."""

from __future__ import annotations

import re
import tomllib
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.catalog.loader import default_catalog, default_text, load_catalog, parse_catalog
from billing_mcp.catalog.schema import EmailTable, PlansTable, RcsTable, SmsTable
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.money import decimal_of, format_micros, parse_micros
from billing_mcp.domain.plan_terms import Component, Plan, PlanBook, PlanId
from billing_mcp.domain.pricing import UNITS, Band, PriceVersion, Region, Tier
from tests.catalog.texts import CATALOG, line_of, spoilt

VERSIONS = """
[[plans.smtp_per_mailbox.versions]]
version = "2025"
valid_from = 2025-01-01
price = "35"
yearly_price = "350"
components = [{component_type = "mailbox", included = 10}]

[[plans.smtp_per_mailbox.versions]]
version = "2026"
valid_from = 2026-01-01
minimum = "0"
components = [{component_type = "proxy", included = 0}, {component_type = "mailbox", unit_price = "0.40"}]
"""


def test_a_catalog_is_its_plans_with_exact_prices_in_one_currency() -> None:
    catalog = parse_catalog(CATALOG)
    assert catalog.currency == "USD"
    assert catalog.plans == PlanBook({
        "smtp_per_mailbox": (
            Plan(
                "smtp_per_mailbox", "Mailboxes", "By the mailbox.", "USD", 29_000_000,
                (Component("mailbox", "mailbox", "Mailboxes", 355_000),),
            ),
        ),
        "smtp_per_proxy": (Plan("smtp_per_proxy", "Proxies", "By the proxy.", "USD", 99_000_000, ()),),
    })  # fmt: skip


def test_the_catalog_of_the_package_has_both_plans_at_their_prices() -> None:
    catalog = default_catalog()
    plans = catalog.plans.offered(date(2026, 3, 12))
    prices = {
        plan.plan_id: (plan.price_micros, [(c.component_type, c.unit_price_micros) for c in plan.components])
        for plan in plans
    }
    assert prices == {
        "smtp_per_mailbox": (parse_micros("29.00"), [("mailbox", parse_micros("0.35"))]),
        "smtp_per_proxy": (parse_micros("99.00"), [("proxy", parse_micros("18.00"))]),
    }
    assert [plan.yearly_price_micros for plan in plans] == [parse_micros("290.00"), parse_micros("990.00")]
    assert {plan.currency for plan in plans} == {catalog.currency} == {"EUR"}
    assert {plan_id: {plan.plan_id for plan in found} for plan_id, found in catalog.plans.versions.items()} == {
        plan_id: {plan_id} for plan_id in get_args(PlanId)
    }


def test_a_version_of_a_plan_has_what_it_names_and_all_else_from_the_one_before() -> None:
    proxy = '{component_type = "proxy", unit = "proxy", name = "Proxies", unit_price = "1", included = 3}'
    text = spoilt(
        ('unit_price = "0.355"}]', f'unit_price = "0.355"}}, {proxy}]\nminimum = "50"\nversion = "2024"'),
        ("[plans.smtp_per_proxy]", f"{VERSIONS}\n[plans.smtp_per_proxy]"),
    )
    book = parse_catalog(text).plans

    terms = [
        (plan.version, plan.valid_from, plan.price_micros, plan.yearly_price_micros, plan.minimum_micros,
         [(c.unit_price_micros, c.included) for c in plan.components])
        for plan in book.versions["smtp_per_mailbox"]
    ]  # fmt: skip
    assert terms == [
        ("2024", date.min, 29_000_000, None, 50_000_000, [(355_000, 0), (1_000_000, 3)]),
        ("2025", date(2025, 1, 1), 35_000_000, 350_000_000, 50_000_000, [(355_000, 10), (1_000_000, 3)]),
        ("2026", date(2026, 1, 1), 35_000_000, 350_000_000, 0, [(400_000, 10), (1_000_000, 0)]),
    ]
    assert [book.on("smtp_per_mailbox", date(year, 1, 1)).version for year in (2024, 2025, 2027)] == [
        "2024", "2025", "2026",
    ]  # fmt: skip
    assert book.terms("smtp_per_mailbox", "2024", date(2027, 1, 1)).version == "2024"
    assert book.terms("smtp_per_mailbox", None, date(2025, 6, 1)).version == "2025"
    assert [plan.version for plan in book.offered(date(2025, 6, 1))] == ["2025", "1"]


@pytest.mark.parametrize(
    ("wrong", "right", "field"),
    [
        ('price = "29.00"', 'price = "-29.00"', "plans.smtp_per_mailbox.price"),
        ('price = "29.00"', 'price = "29,00"', "plans.smtp_per_mailbox.price"),
        ('price = "29.00"', 'price = "0.0000001"', "plans.smtp_per_mailbox.price"),
        ('price = "29.00"', "price = 29.00", "plans.smtp_per_mailbox.price"),
        ('price = "29.00"', "price = 29", "plans.smtp_per_mailbox.price"),
        ('price = "29.00"', "", "plans.smtp_per_mailbox.price"),
        ('price = "29.00"', 'price = "29.00"\nsetup_fee = "5.00"', "plans.smtp_per_mailbox.setup_fee"),
        ('unit_price = "0.355"', 'unit_price = "-0.355"', "plans.smtp_per_mailbox.components.0.unit_price"),
        ('unit_price = "0.355"', 'price = "0.355"', "plans.smtp_per_mailbox.components.0.price"),
        ('type = "mailbox"', 'type = "letter"', "plans.smtp_per_mailbox.components.0.component_type"),
        ("components = []", 'components = "none"', "plans.smtp_per_proxy.components"),
        ('currency = "USD"', 'currency = "usd"', "currency"),
        ('currency = "USD"', 'currency = "EURO"', "currency"),
        ('currency = "USD"', 'currency = "EUR\\n"', "currency"),
        ('currency = "USD"', "", "currency"),
        ('currency = "USD"', 'currency = "USD"\nvat = "0.19"', "vat"),
        ("[plans.smtp_per_proxy]", "[plans.smtp_per_letter]", "plans.smtp_per_letter"),
    ],
)
def test_a_field_that_is_wrong_is_named(wrong: str, right: str, field: str) -> None:
    text = spoilt((wrong, right))
    with pytest.raises(InvalidArgument) as refused:
        parse_catalog(text)
    assert (refused.value.code, refused.value.field) == ("invalid_catalog", field)
    assert re.match(rf"line [0-9]+: {re.escape(field)}: .", refused.value.message)


def test_a_catalog_without_one_of_the_plans_is_refused() -> None:
    before, _, rest = CATALOG.partition("[plans.smtp_per_proxy]")
    only_mailboxes = before + rest[rest.index("[tiers]") :]
    with pytest.raises(InvalidArgument) as refused:
        parse_catalog(only_mailboxes)
    assert (refused.value.code, refused.value.field) == ("invalid_catalog", "plans.smtp_per_proxy")
    assert refused.value.message == "line 4: plans.smtp_per_proxy: is missing"


def test_a_text_that_is_not_toml_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"\bline 2: the catalog is not TOML: ") as refused:
        parse_catalog("# prices\ncurrency = EUR")
    assert refused.value.code == "invalid_catalog"


def test_an_empty_catalog_is_refused() -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_catalog("")
    assert (refused.value.code, refused.value.field) == ("invalid_catalog", "currency")


def test_a_price_may_be_nothing() -> None:
    free = parse_catalog(spoilt(('price = "99"', 'price = "0.00"')))
    assert free.plans.versions["smtp_per_proxy"][0].price_micros == 0


def test_a_component_is_priced_once() -> None:
    again = '{component_type = "mailbox", unit = "mailbox", name = "Again", unit_price = "1.00"}, '
    text = CATALOG.replace("components = [", "components = [" + again, 1)
    with pytest.raises(InvalidArgument, match="is priced already") as refused:
        parse_catalog(text)
    assert refused.value.field == "plans.smtp_per_mailbox.components.1.component_type"


def test_tiers_are_in_their_order_with_what_each_needs() -> None:
    book = parse_catalog(CATALOG).book
    assert book.tiers == {
        "email": (Tier("little", 0), Tier("more", 1_000)),
        "sms": (Tier("few", 0), Tier("some", 500), Tier("many", 5_000)),
        "rcs": (Tier("flat", 0),),
    }
    assert (book.currency, book.missed_months) == ("USD", 3)
    assert book.plan_tiers == {"smtp_per_proxy": {"email": 1}}


def test_a_version_is_in_force_from_its_day_until_the_next() -> None:
    book = parse_catalog(CATALOG).book
    days = {
        date(2024, 1, 1): "first", date(2024, 2, 28): "first", date(2024, 2, 29): "second",
        date(2024, 12, 31): "second", date(2025, 1, 1): "third", date(2099, 1, 1): "third",
    }  # fmt: skip
    assert {day: book.version_on(day).version for day in days} == days
    with pytest.raises(InvalidArgument, match="no prices before 2024-01-01"):
        book.version_on(date(2023, 12, 31))


def test_what_a_version_does_not_name_is_as_before_and_what_it_names_changes_no_other() -> None:
    first, second, third = parse_catalog(CATALOG).book.versions
    assert dict(first.prices["sms", "segment"]) == {"DE": (80_000, 70_000, 60_000), "FR": (50_000, 40_000, 30_000)}
    assert dict(second.prices["sms", "segment"]) == {
        "DE": (90_000, 80_000, 70_000), "FR": (50_000, 40_000, 30_000), "AT": (110_000, 100_000, 90_000),
    }  # fmt: skip
    unchanged = {key: markets for key, markets in first.prices.items() if key != ("sms", "segment")}
    assert {key: markets for key, markets in second.prices.items() if key != ("sms", "segment")} == unchanged
    assert third.prices == second.prices
    assert first.active_users == second.active_users == {"email": {"*": first.bands("email", "DE")}}
    assert third.active_users == {**first.active_users, "sms": {"GB": (Band(None, 1),)}}


def test_regions_are_as_before_or_all_anew() -> None:
    first, second, third = parse_catalog(CATALOG).book.versions
    america = Region("america", "us", segment_bytes=200, rich_suggestions=frozenset({"reply"}))
    world = Region("world", "standard", basic_max_bytes=100)
    assert first.regions == second.regions == {"*": world, "US": america, "PR": america}
    assert third.regions == {"*": Region("everywhere", "standard")}


def test_active_users_are_priced_in_bands_of_which_the_last_has_no_end() -> None:
    first = parse_catalog(CATALOG).book.versions[0]
    assert first.bands("email", "FR") == (Band(10, 100_000), Band(20, 50_000), Band(None, 0))
    assert first.bands("sms", "FR") == ()


def test_the_catalog_of_the_package_prices_what_it_must() -> None:
    book = default_catalog().book
    old, new = book.versions
    assert (old.valid_from, new.valid_from) == (date(2020, 1, 1), date(2026, 7, 1))
    assert {"DE", "AT", "FR", "GB", "ES", "US", "*"} == set(old.prices["sms", "segment"])
    changed = {key for key in old.prices if old.prices[key] != new.prices[key]}
    assert changed == {("sms", "segment")}
    assert {each.rule for each in new.regions.values()} == {"standard", "us"}
    assert book.plan_tiers == {"smtp_per_proxy": {"email": 1}}
    for version in book.versions:
        for channel, units in UNITS.items():
            for unit in units:
                market = "US" if unit in ("rich", "rich_media") else "JP"
                assert version.price_micros(channel, unit, market, 0) > 0


def test_in_the_catalog_of_the_package_no_higher_tier_is_dearer() -> None:
    for version in default_catalog().book.versions:
        for markets in version.prices.values():
            for columns in markets.values():
                assert sorted(columns, reverse=True) == list(columns)


def test_the_file_names_the_units_and_plans_that_the_rules_have() -> None:
    for channel, table in (("email", EmailTable), ("sms", SmsTable), ("rcs", RcsTable)):
        assert set(table.model_fields) == {*UNITS[channel], "mau"}  # type: ignore[index]
    assert set(PlansTable.model_fields) == set(get_args(PlanId))


def test_without_a_file_of_ones_own_the_package_has_one() -> None:
    assert load_catalog(None) is default_catalog()
    assert parse_catalog(default_text()) == default_catalog()


def test_a_file_is_read_whatever_editor_has_saved_it(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_bytes(b"\xef\xbb\xbf" + CATALOG.replace("Mailboxes", "Postf\u00e4cher").replace("\n", "\r\n").encode())
    assert load_catalog(file).plans.versions["smtp_per_mailbox"][0].name == "Postf\u00e4cher"
    assert load_catalog(file).book == parse_catalog(CATALOG).book


def test_a_file_that_is_wrong_is_named_with_the_way_to_see_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(spoilt(('"29.00"', '"-1"'), ('"0.355"', '"-2"'), ('"0.08", "0.07", "0.06"', '"0.08"')))
    with pytest.raises(InvalidArgument) as refused:
        load_catalog(file)
    assert refused.value.message == 'line 7: plans.smtp_per_mailbox.price: a price is not negative; got "-1"'
    assert refused.value.hint == f"It is in {file}. 2 more: billing-mcp catalog check {file}"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="No such file") as refused:
        load_catalog(tmp_path / "none.toml")
    assert refused.value.code == "unreadable_file"


def test_a_file_that_is_not_utf_8_is_refused_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_bytes(CATALOG.replace("By the proxy", "F\u00fcr Proxys").encode("latin-1"))
    with pytest.raises(InvalidArgument) as refused:
        load_catalog(file)
    line = line_of(CATALOG, "By the proxy")
    assert (refused.value.code, refused.value.message) == (
        "invalid_catalog",
        f"line {line}: is not UTF-8; got the byte 0xfc",
    )


PRICES = st.decimals(0, 999_999, places=6, allow_nan=False).map(lambda price: f"{price:f}")
COLUMNS = st.lists(PRICES, min_size=3, max_size=3)
MARKETS = st.sampled_from(["DE", "FR", "XK", "US", "*"])


def written(versions: list[dict[str, list[str]]]) -> str:
    """The catalog with these prices of text messages alone, a version a day."""
    text = CATALOG[: CATALOG.index("[[prices]]")]
    first = CATALOG[CATALOG.index("[prices.regions.world]") : CATALOG.index("[prices.sms.segment]")]
    for place, segment in enumerate(versions):
        text += f'[[prices]]\nversion = "v{place}"\nvalid_from = {date(2024, 1, 1) + timedelta(place)}\n'
        if place == 0:
            text += first + CATALOG[CATALOG.index("[prices.rcs]") : CATALOG.index('[[prices]]\nversion = "second"')]
        text += "[prices.sms.segment]\n" + "".join(f'"{m}" = {columns}\n' for m, columns in segment.items())
    return text


@given(st.lists(st.dictionaries(MARKETS, COLUMNS, min_size=1), min_size=1, max_size=4))
def test_every_price_that_is_read_is_what_the_file_says(versions: list[dict[str, list[str]]]) -> None:
    text = written(versions)
    said: dict[str, list[Decimal]] = {}
    for table, version in zip(tomllib.loads(text)["prices"], parse_catalog(text).book.versions, strict=True):
        said |= {market: [Decimal(price) for price in columns] for market, columns in table["sms"]["segment"].items()}
        read = version.prices["sms", "segment"]
        assert {market: [decimal_of(price) for price in columns] for market, columns in read.items()} == said


def said_by(data: dict[str, Any], version: PriceVersion, path: tuple[str, ...]) -> Any:
    """What the file says last, up to a version."""
    found = None
    for table in data["prices"]:
        value = table
        for part in path:
            value = value.get(part, {})
        found = value or found
        if table["version"] == version.version:
            return found
    return found


@pytest.mark.parametrize("text", [CATALOG, default_text()], ids=["small", "of the package"])
def test_every_price_of_a_catalog_stands_in_its_file(text: str) -> None:
    data, book = tomllib.loads(text), parse_catalog(text).book
    for version in book.versions:
        for (channel, unit), markets in version.prices.items():
            for market, columns in markets.items():
                assert [Decimal(p) for p in said_by(data, version, (channel, unit, market))] == [
                    *map(decimal_of, columns)
                ]
        for channel, users in version.active_users.items():
            for market, bands in users.items():
                said = [
                    (band.get("up_to"), Decimal(band["price"]))
                    for band in said_by(data, version, (channel, "mau", market))
                ]
                assert said == [(band.up_to, Decimal(format_micros(band.price_micros))) for band in bands]
