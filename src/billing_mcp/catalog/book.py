"""Owns turning a sound catalog's file into what rules read: plans, prices and rates of VAT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import get_args

from billing_mcp.catalog.schema import (
    ActiveUsers,
    CatalogTable,
    Columns,
    ComponentChangeTable,
    DunningTable,
    PlanTable,
    PlanVersionTable,
    RegionTable,
    SellerTable,
    TaxTable,
    TierTable,
    VersionTable,
)
from billing_mcp.domain.dunning import DunningTerms
from billing_mcp.domain.money import parse_micros
from billing_mcp.domain.parties import Seller
from billing_mcp.domain.plan_terms import Component, Plan, PlanBook, PlanId
from billing_mcp.domain.pricing import UNITS, Band, Channel, PriceBook, PriceVersion, Region, Tier, Unit
from billing_mcp.domain.tax import TaxBook, TaxRate


def plans_of(file: CatalogTable) -> PlanBook:
    """The plans in all their versions."""
    ids: tuple[PlanId, ...] = get_args(PlanId)
    return PlanBook({plan_id: _terms(plan_id, getattr(file.plans, plan_id), file.currency) for plan_id in ids})


def book_of(file: CatalogTable) -> PriceBook:
    """The prices of messages in all their versions; each holds all that is in force under it."""
    tiers: dict[Channel, list[TierTable]] = {channel: getattr(file.tiers, channel) for channel in UNITS}
    versions: list[PriceVersion] = []
    for table in file.prices:
        versions.append(_version(table, versions[-1] if versions else None))
    return PriceBook(
        currency=file.currency,
        tiers={channel: tuple(Tier(each.name, each.from_volume) for each in of) for channel, of in tiers.items()},
        missed_months=file.tiers.missed_months,
        plan_tiers=_plan_tiers(file, tiers),
        versions=tuple(versions),
    )


def tax_of(table: TaxTable) -> TaxBook:
    """The rates of VAT that the file names."""
    return TaxBook(
        table.seller_country,
        {
            country: tuple(TaxRate(rate.valid_from, int(Decimal(rate.percent) * 100)) for rate in rates)
            for country, rates in table.rates.items()
        },
    )


def seller_of(table: SellerTable, country: str) -> Seller:
    """Who sells."""
    return Seller(
        name=table.name,
        address=tuple(table.address),
        country=country,
        vat_id=table.vat_id,
        series=table.series,
        contact=tuple(table.contact),
        footer=tuple(table.footer),
    )


def dunning_of(table: DunningTable) -> DunningTerms:
    """What happens to accounts that owe."""
    return DunningTerms(tuple(table.reminders_after_days), table.suspended_after_days)


def _terms(plan_id: PlanId, plan: PlanTable, currency: str) -> tuple[Plan, ...]:
    """Every version of a plan, oldest first; each holds all that is in force under it."""
    first = Plan(
        plan_id,
        plan.name,
        plan.description,
        currency,
        parse_micros(plan.price),
        tuple(
            Component(c.component_type, c.unit, c.name, parse_micros(c.unit_price), c.included) for c in plan.components
        ),
        version=plan.version,
        yearly_price_micros=None if plan.yearly_price is None else parse_micros(plan.yearly_price),
        minimum_micros=parse_micros(plan.minimum),
    )
    versions = [first]
    for table in plan.versions:
        versions.append(_later_terms(table, versions[-1]))
    return tuple(versions)


def _later_terms(table: PlanVersionTable, before: Plan) -> Plan:
    yearly = before.yearly_price_micros if table.yearly_price is None else parse_micros(table.yearly_price)
    return replace(
        before,
        version=table.version,
        valid_from=table.valid_from,
        price_micros=_changed(table.price, before.price_micros),
        yearly_price_micros=yearly,
        minimum_micros=_changed(table.minimum, before.minimum_micros),
        components=tuple(_later_component(each, table.components) for each in before.components),
    )


def _later_component(before: Component, tables: list[ComponentChangeTable]) -> Component:
    for table in tables:
        if table.component_type == before.component_type:
            included = before.included if table.included is None else table.included
            unit_price = _changed(table.unit_price, before.unit_price_micros)
            return replace(before, unit_price_micros=unit_price, included=included)
    return before


def _changed(price: str | None, before_micros: int) -> int:
    return before_micros if price is None else parse_micros(price)


def _plan_tiers(file: CatalogTable, tiers: Mapping[Channel, list[TierTable]]) -> dict[str, Mapping[Channel, int]]:
    granted: dict[str, Mapping[Channel, int]] = {}
    for plan_id in get_args(PlanId):
        named = {channel: getattr(getattr(file.plans, plan_id).tiers, channel) for channel in UNITS}
        of_plan = {
            channel: [tier.name for tier in tiers[channel]].index(name)
            for channel, name in named.items()
            if name is not None
        }
        if of_plan:
            granted[plan_id] = of_plan
    return granted


def _version(table: VersionTable, before: PriceVersion | None) -> PriceVersion:
    prices = {key: dict(markets) for key, markets in before.prices.items()} if before else {}
    users = {channel: dict(markets) for channel, markets in before.active_users.items()} if before else {}
    for channel, units in UNITS.items():
        for unit in units:
            _add_columns(prices, channel, unit, getattr(getattr(table, channel), unit))
        _add_bands(users, channel, getattr(table, channel).mau)
    regions = before.regions if table.regions is None and before else _regions(table.regions or {})
    return PriceVersion(table.version, table.valid_from, prices, users, regions)


def _add_columns(
    prices: dict[tuple[Channel, Unit], dict[str, tuple[int, ...]]], channel: Channel, unit: Unit, named: Columns | None
) -> None:
    for market, columns in (named or {}).items():
        prices.setdefault((channel, unit), {})[market] = tuple(parse_micros(price) for price in columns)


def _add_bands(users: dict[Channel, dict[str, tuple[Band, ...]]], channel: Channel, named: ActiveUsers | None) -> None:
    for market, bands in (named or {}).items():
        users.setdefault(channel, {})[market] = tuple(Band(band.up_to, parse_micros(band.price)) for band in bands)


def _regions(named: Mapping[str, RegionTable]) -> dict[str, Region]:
    return {market: _region(name, table) for name, table in named.items() for market in table.markets}


def _region(name: str, table: RegionTable) -> Region:
    """What the file leaves out is as the domain has it."""
    given = table.model_dump(include={"basic_max_bytes", "segment_bytes"}, exclude_none=True)
    return Region(name, table.rule, **given, rich_suggestions=frozenset(table.rich_suggestions or ()))
