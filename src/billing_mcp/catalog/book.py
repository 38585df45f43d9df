"""Owns turning a sound catalog's file into what rules read: plans, prices and rates of VAT."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import get_args

from billing_mcp.catalog.schema import (
    ActiveUsers,
    CatalogTable,
    Columns,
    PlanTable,
    RegionTable,
    TaxTable,
    TierTable,
    VersionTable,
)
from billing_mcp.domain.accrual import Component, Plan, PlanId
from billing_mcp.domain.money import parse_micros
from billing_mcp.domain.pricing import UNITS, Band, Channel, PriceBook, PriceVersion, Region, Tier, Unit
from billing_mcp.domain.tax import TaxBook, TaxRate


def plans_of(file: CatalogTable) -> dict[str, Plan]:
    """The plans by their ids."""
    return {plan_id: _plan(plan_id, getattr(file.plans, plan_id), file.currency) for plan_id in get_args(PlanId)}


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


def _plan(plan_id: PlanId, plan: PlanTable, currency: str) -> Plan:
    components = tuple(Component(c.component_type, c.unit, c.name, parse_micros(c.unit_price)) for c in plan.components)
    return Plan(plan_id, plan.name, plan.description, currency, parse_micros(plan.price), components)


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
