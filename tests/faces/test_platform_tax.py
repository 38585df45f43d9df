"""The platform's route of tax: who an account is for VAT, and what is added by that to what it pays."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Clock
from tests.faces.platform import NOBODY, PlatformClient, must, refusal
from tests.world import World

FRENCH, GREEK, GERMAN = "FR61954506077", "EL094259216", "DE136695976"

# What is given; the country and the VAT id that are kept; treatment, country, rate and what is added to 100.00.
CASES: list[tuple[dict[str, Any], tuple[str | None, str | None], tuple[str, str, str, str]]] = [
    ({}, (None, None), ("domestic", "DE", "19.00", "19.00")),
    ({"country": "DE", "vat_id": GERMAN}, ("DE", GERMAN), ("domestic", "DE", "19.00", "19.00")),
    ({"vat_id": "de 136,695 976"}, ("DE", GERMAN), ("domestic", "DE", "19.00", "19.00")),
    ({"country": "FI"}, ("FI", None), ("eu_consumer", "FI", "25.50", "25.50")),
    ({"country": "FR", "vat_id": FRENCH}, ("FR", FRENCH), ("reverse_charge", "FR", "0.00", "0.00")),
    ({"vat_id": "fr 61 954 506 077"}, ("FR", FRENCH), ("reverse_charge", "FR", "0.00", "0.00")),
    ({"country": "MC", "vat_id": FRENCH}, ("MC", FRENCH), ("reverse_charge", "FR", "0.00", "0.00")),
    ({"vat_id": "EL 094.259.216"}, ("GR", GREEK), ("reverse_charge", "GR", "0.00", "0.00")),
    ({"vat_id": "GR094259216"}, ("GR", "GR094259216"), ("reverse_charge", "GR", "0.00", "0.00")),
    ({"country": "US"}, ("US", None), ("outside_eu", "US", "0.00", "0.00")),
    ({"country": "FI", "tax_exempt": True}, ("FI", None), ("exempt", "FI", "0.00", "0.00")),
]


async def test_who_an_account_is_decides_what_is_added_and_is_shown_with_it(
    platform: PlatformClient, world: World
) -> None:
    account_id = await world.account()
    for given, (country, vat_id), (treatment, place, rate, on_100) in CASES:
        told = (await must(platform.send("PUT", f"/accounts/{account_id}/tax", given))).json()

        assert (told["country"], told["vat_id"], told["tax_exempt"]) == (country, vat_id, "tax_exempt" in given)
        assert (told["treatment"], told["rate_country"], told["rate_percent"]) == (treatment, place, rate)
        assert told["on_100"] == on_100
        assert (await platform.get(f"/accounts/{account_id}"))["tax"] == told
        assert (await platform.get("/accounts"))["items"][0]["tax"] == told


async def test_what_is_not_given_again_is_forgotten_and_other_accounts_stay(
    platform: PlatformClient, world: World
) -> None:
    account_id, other = await world.account(), await world.account()
    await must(platform.send("PUT", f"/accounts/{other}/tax", {"country": "FI"}))
    await must(platform.send("PUT", f"/accounts/{account_id}/tax", {"vat_id": FRENCH, "tax_exempt": True}))

    told = (await must(platform.send("PUT", f"/accounts/{account_id}/tax", {"country": "FR"}))).json()

    assert (told["country"], told["vat_id"], told["tax_exempt"]) == ("FR", None, False)
    assert (await platform.get(f"/accounts/{other}"))["tax"]["country"] == "FI"


async def test_the_rate_is_that_of_the_day(platform: PlatformClient, world: World, clock: Clock) -> None:
    account_id = await world.account()
    await must(platform.send("PUT", f"/accounts/{account_id}/tax", {"country": "EE"}))

    found = []
    for year, month, day in [(2023, 12, 31), (2024, 1, 1), (2025, 6, 30), (2025, 7, 1)]:
        clock.now = clock.now.replace(year=year, month=month, day=day)
        found.append((await platform.get(f"/accounts/{account_id}"))["tax"]["rate_percent"])

    assert found == ["20.00", "22.00", "22.00", "24.00"]


NO_TAX: list[tuple[Any, str]] = [
    ({"country": "fr"}, "country"),
    ({"country": "EL"}, "country"),
    ({"country": "UK"}, "country"),
    ({"country": "FRA"}, "country"),
    ({"country": ""}, "country"),
    ({"country": 7}, "country"),
    ({"vat_id": ""}, "vat_id"),
    ({"vat_id": "136695976"}, "vat_id"),
    ({"vat_id": "DE136695977"}, "vat_id"),  # a wrong check digit
    ({"vat_id": "DE13669597"}, "vat_id"),
    ({"vat_id": "DE136695976" + " " * 100}, "vat_id"),
    ({"vat_id": "GB980780684"}, "vat_id"),  # outside the EU
    ({"vat_id": "XI980780684"}, "vat_id"),  # of Northern Ireland: for goods alone
    ({"vat_id": "EU372000041"}, "vat_id"),  # of a seller in the One-Stop Shop
    ({"vat_id": "\u0000"}, "vat_id"),
    ({"vat_id": FRENCH, "country": "DE"}, "vat_id"),
    ({"vat_id": FRENCH, "country": "US"}, "vat_id"),
    ({"tax_exempt": "yes"}, "tax_exempt"),
    ({"rate": "19"}, "rate"),
]


async def test_what_is_no_country_or_vat_id_is_refused_by_field_and_changes_nothing(
    platform: PlatformClient, world: World
) -> None:
    account_id = await world.account()
    await must(platform.send("PUT", f"/accounts/{account_id}/tax", {"country": "FI"}))
    for body, field in NO_TAX:
        refused = await platform.send("PUT", f"/accounts/{account_id}/tax", body)
        assert refusal(refused, 422, refused.json()["code"])["field"] == field, body
    assert (await platform.get(f"/accounts/{account_id}"))["tax"]["country"] == "FI"


async def test_nobodys_account_has_no_tax(platform: PlatformClient) -> None:
    refusal(await platform.send("PUT", f"/accounts/{NOBODY}/tax", {"country": "FR"}), 404, "not_found")


@pytest.mark.parametrize("given", [{"country": "FI"}, {"vat_id": FRENCH}])
async def test_under_a_key_it_is_said_once(platform: PlatformClient, world: World, given: dict[str, str]) -> None:
    account_id = await world.account()
    first = await must(platform.send("PUT", f"/accounts/{account_id}/tax", given, key="k"))
    await must(platform.send("PUT", f"/accounts/{account_id}/tax", {}))

    again = await must(platform.send("PUT", f"/accounts/{account_id}/tax", given, key="k"))

    assert (again.json(), again.headers["idempotent-replayed"]) == (first.json(), "true")
    assert (await platform.get(f"/accounts/{account_id}"))["tax"]["country"] is None
