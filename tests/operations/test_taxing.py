"""Who an account is for VAT: kept in both databases, recorded as a change, and what a top-up goes by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from billing_mcp.domain.errors import InvalidArgument, NotFound
from billing_mcp.domain.tax import Customer
from billing_mcp.operations.platform import open_account
from billing_mcp.operations.taxing import set_customer, tax_of
from billing_mcp.store.accounts import AccountRecord
from billing_mcp.store.changes import SettingChange
from tests.conftest import NOW
from tests.world import World

NOBODY = "0190c0de-0000-7000-8000-0000000000ff"
FRENCH = "FR61954506077"


async def said(world: World, account_id: str, **more: Any) -> list[SettingChange]:
    """The changes that are recorded when the platform says who an account is."""
    given: Mapping[str, Any] = {"country": None, "vat_id": None, "exempt": False, **more}
    async with world.app.store.write(world.clock()) as tx:
        await set_customer(tx, account_id, **given)
        return [change for change in tx.changes.changes if isinstance(change, SettingChange)]


async def test_what_changes_of_it_is_recorded_as_texts_and_nothing_else(world: World) -> None:
    account_id = await world.account()

    assert await said(world, account_id) == []
    assert await said(world, account_id, vat_id="fr 61 954 506 077") == [
        SettingChange(account_id, "country", None, "FR"),
        SettingChange(account_id, "vat_id", None, FRENCH),
    ]
    assert await said(world, account_id, country="FR", vat_id=FRENCH, exempt=True) == [
        SettingChange(account_id, "tax_exempt", "no", "yes"),
    ]
    assert await said(world, account_id, country="FR", vat_id=FRENCH, exempt=True) == []
    assert await said(world, account_id) == [
        SettingChange(account_id, "country", "FR", None),
        SettingChange(account_id, "vat_id", FRENCH, None),
        SettingChange(account_id, "tax_exempt", "yes", "no"),
    ]


async def test_a_topup_is_taxed_by_who_the_account_is_now(world: World) -> None:
    account_id = await world.account()
    found = []
    for given in ({}, {"country": "FI"}, {"vat_id": FRENCH}, {"country": "US"}, {"exempt": True}):
        await said(world, account_id, **given)
        async with world.app.store.read(world.clock()) as tx:
            tax = await tax_of(tx, world.app.catalog, account_id)
        found.append((tax.treatment, tax.rate_basis_points))

    assert found == [
        ("domestic", 1900),
        ("eu_consumer", 2550),
        ("reverse_charge", 0),
        ("outside_eu", 0),
        ("exempt", 0),
    ]


async def test_an_account_can_be_stored_with_who_it_is(world: World) -> None:
    known = Customer("FR", FRENCH, exempt=True)
    record = AccountRecord(NOBODY, "Known", "active", "EUR", NOW, known)
    async with world.app.store.write(world.clock()) as tx:
        assert await tx.accounts.add(record)
        assert await tx.accounts.get(NOBODY) == record
        (opened,) = [each for each in await tx.accounts.all() if each.account_id == NOBODY]
        assert opened.customer == known


async def test_of_nobodys_account_nothing_can_be_said_or_asked(world: World) -> None:
    with pytest.raises(NotFound):
        await said(world, NOBODY, country="FR")
    async with world.app.store.read(world.clock()) as tx:
        with pytest.raises(NotFound):
            await tax_of(tx, world.app.catalog, NOBODY)


async def test_a_vat_id_of_another_country_is_refused_with_both(world: World) -> None:
    account_id = await world.account()
    with pytest.raises(InvalidArgument, match=f"the VAT id {FRENCH} is of FR, the country is BE") as refused:
        await said(world, account_id, country="BE", vat_id=FRENCH)
    assert refused.value.field == "vat_id"


@pytest.mark.parametrize(
    ("vat_id", "says"),
    [
        ("DE136695977", "check digit is invalid"),
        ("DE1", "'DE1' is not a VAT id of a member state of the EU: the number has an invalid length"),
        ("XX123", "is not a VAT id"),
        ("XI980780684", "XI980780684 is not a VAT id for services within the EU"),
        ("x" * 1000, f"'{'x' * 32}' is not"),
    ],
)
async def test_what_is_no_vat_id_is_refused_with_the_reason(world: World, vat_id: str, says: str) -> None:
    async with world.app.store.write(world.clock()) as tx:
        await open_account(tx, NOBODY, "A", "EUR")
    with pytest.raises(InvalidArgument, match=says) as refused:
        await said(world, NOBODY, vat_id=vat_id)
    assert (refused.value.field, "leave it out" in (refused.value.hint or "")) == ("vat_id", True)
