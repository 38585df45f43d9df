"""The catalog is read exactly or not at all, and an error names the field."""

from __future__ import annotations

import pytest

from billing_mcp.catalog.loader import default_catalog, parse_catalog
from billing_mcp.domain.accrual import Component, Plan
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.money import parse_micros

CATALOG = """
currency = "USD"

[plans.smtp_per_mailbox]
name = "Mailboxes"
description = "By the mailbox."
price = "29.00"
components = [{component_type = "mailbox", unit = "mailbox", name = "Mailboxes", unit_price = "0.355"}]

[plans.smtp_per_proxy]
name = "Proxies"
description = "By the proxy."
price = "99"
components = []
"""


def test_a_catalog_is_its_plans_with_exact_prices_in_one_currency() -> None:
    catalog = parse_catalog(CATALOG)
    assert catalog.currency == "USD"
    assert catalog.plans == {
        "smtp_per_mailbox": Plan(
            "smtp_per_mailbox", "Mailboxes", "By the mailbox.", "USD", 29_000_000,
            (Component("mailbox", "mailbox", "Mailboxes", 355_000),),
        ),
        "smtp_per_proxy": Plan("smtp_per_proxy", "Proxies", "By the proxy.", "USD", 99_000_000, ()),
    }  # fmt: skip


def test_the_catalog_of_the_package_has_both_plans_at_their_prices() -> None:
    catalog = default_catalog()
    prices = {
        plan.plan_id: (plan.price_micros, [(c.component_type, c.unit_price_micros) for c in plan.components])
        for plan in catalog.plans.values()
    }
    assert prices == {
        "smtp_per_mailbox": (parse_micros("29.00"), [("mailbox", parse_micros("0.35"))]),
        "smtp_per_proxy": (parse_micros("99.00"), [("proxy", parse_micros("18.00"))]),
    }
    assert {plan.currency for plan in catalog.plans.values()} == {catalog.currency} == {"EUR"}
    assert all(plan_id == plan.plan_id for plan_id, plan in catalog.plans.items())


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
        ('unit_price = "0.355"', 'price = "0.355"', "plans.smtp_per_mailbox.components.0.unit_price"),
        ('type = "mailbox"', 'type = "letter"', "plans.smtp_per_mailbox.components.0.component_type"),
        ("components = []", 'components = "none"', "plans.smtp_per_proxy.components"),
        ('currency = "USD"', 'currency = "usd"', "currency"),
        ('currency = "USD"', 'currency = "EURO"', "currency"),
        ('currency = "USD"', 'currency = "EUR\\n"', "currency"),
        ('currency = "USD"', "", "currency"),
        ('currency = "USD"', 'currency = "USD"\nvat = "0.19"', "vat"),
        ("[plans.smtp_per_proxy]", "[plans.smtp_per_letter]", "plans.smtp_per_letter.[key]"),
    ],
)
def test_a_field_that_is_wrong_is_named(wrong: str, right: str, field: str) -> None:
    assert CATALOG.count(wrong) == 1
    with pytest.raises(InvalidArgument) as refused:
        parse_catalog(CATALOG.replace(wrong, right))
    assert (refused.value.code, refused.value.field) == ("invalid_catalog", field)
    assert refused.value.message.startswith(f"{field}: ")


def test_a_catalog_without_one_of_the_plans_is_refused() -> None:
    only_mailboxes = CATALOG.partition("[plans.smtp_per_proxy]")[0]
    with pytest.raises(InvalidArgument) as refused:
        parse_catalog(only_mailboxes)
    assert (refused.value.code, refused.value.field) == ("invalid_catalog", "plans")
    assert refused.value.message == "plans: smtp_per_proxy missing"


def test_a_text_that_is_not_toml_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="the catalog is not TOML") as refused:
        parse_catalog("currency = EUR")
    assert refused.value.code == "invalid_catalog"


def test_an_empty_catalog_is_refused() -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_catalog("")
    assert (refused.value.code, refused.value.field) == ("invalid_catalog", "currency")


def test_a_price_may_be_nothing() -> None:
    free = parse_catalog(CATALOG.replace('price = "99"', 'price = "0.00"'))
    assert free.plans["smtp_per_proxy"].price_micros == 0


def test_a_component_is_priced_once() -> None:
    again = '{component_type = "mailbox", unit = "mailbox", name = "Again", unit_price = "1.00"}, '
    with pytest.raises(InvalidArgument, match="priced once"):
        parse_catalog(CATALOG.replace("components = [", "components = [" + again, 1))
