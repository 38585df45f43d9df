"""Owns `billing-mcp catalog`: finding what is wrong with a price catalog, and seeing what it charges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from billing_mcp import terminal
from billing_mcp.app import clock_of
from billing_mcp.catalog.loader import Catalog, default_catalog, default_text, examine, load_catalog, read_text
from billing_mcp.catalog.problems import Problem
from billing_mcp.cli.common import Json, errors_as_exit_codes, settings_with
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.plan_terms import Plan, PlanBook
from billing_mcp.domain.pricing import UNITS, Band, Channel, PriceBook, PriceVersion, Region
from billing_mcp.domain.tax import TaxBook, TaxRate, percent

app = typer.Typer(help="The price catalog: plans, tiers, messages.", no_args_is_help=True, add_completion=False)

CatalogArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="FILE",
        help="A catalog of your own (TOML). Default: BILLING_MCP_CATALOG, or else the one that comes with us.",
    ),
]


@app.command()
def check(file: CatalogArgument = None, as_json: Json = False) -> None:
    """Find all that is wrong with a catalog, each on its line; exit code 2 if anything is.

    A server refuses to start with such a file. Serve one that is sound with billing-mcp serve --catalog FILE.
    """
    with errors_as_exit_codes():
        file = settings_with(catalog=file).catalog
        examined = examine(default_text() if file is None else read_text(file))
        if as_json:
            terminal.print_json({"sound": examined.catalog is not None, "problems": [*map(_item, examined.problems)]})
        else:
            for problem in examined.problems:
                hint = f" ({problem.hint})" if problem.hint else ""
                terminal.say(f"{problem.message}{hint}")
        name = str(file or "The catalog of the package")
        if examined.catalog is None:
            count = len(examined.problems)
            message = f"{name} has {count} {'problem' if count == 1 else 'problems'}"
            raise InvalidArgument(message, code="invalid_catalog")
        if not as_json:
            terminal.say(f"{name} is sound: {_counts(examined.catalog)}.")


@app.command()
def show(
    file: CatalogArgument = None,
    on: Annotated[
        str | None, typer.Option(metavar="DATE", help="The prices of that day. Default: today (UTC).")
    ] = None,
    channel: Annotated[Channel | None, typer.Option(help="This channel alone.")] = None,
    as_json: Json = False,
) -> None:
    """Show what is charged: plans, tiers, the prices of messages by market and tier, and VAT, as of a day.

    "*" is every country without a price of its own. RCS messages are counted by the rules of their region.
    """
    with errors_as_exit_codes():
        settings = settings_with(catalog=file)
        catalog = load_catalog(settings.catalog)
        day = clock_of(settings)().date() if on is None else _day(on)
        version = catalog.book.version_on(day)
        channels: tuple[Channel, ...] = tuple(UNITS) if channel is None else (channel,)
        if as_json:
            terminal.print_json(_document(catalog, version, day, channels))
            return
        out = terminal.console()
        terminal.say(f"{settings.catalog or 'The catalog of the package'}, {catalog.currency}, as of {day}")
        for table in (*_tables(catalog, version, day, channels), _tax_table(catalog.tax, day)):
            out.print()
            out.print(table)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"--on must be an ISO date, such as 2026-03-01; got {text!r}"
        raise InvalidArgument(message, field="on") from None


def _item(problem: Problem) -> dict[str, Any]:
    return {"line": problem.line, "field": problem.field, "message": problem.message, "hint": problem.hint or None}


def _counts(catalog: Catalog) -> str:
    book = catalog.book
    tiers = sum(len(each) for each in book.tiers.values())
    prices = [len(columns) for markets in book.versions[-1].prices.values() for columns in markets.values()]
    first, *later = (f"{each.version} from {each.valid_from}" for each in book.versions)
    versions = ", ".join([first, *later])
    return (
        f"{_plans_counted(catalog.plans)}, {tiers} tiers, {sum(prices)} prices of messages in the newest of "
        f"{len(book.versions)} {'version' if not later else 'versions'} ({versions}), VAT by a seller in "
        f"{catalog.tax.seller_country}{'' if catalog.tax is not default_catalog().tax else ', as the package has it'}"
    )


def _plans_counted(plans: PlanBook) -> str:
    """How many plans there are, and the versions of those that have several."""
    several = {plan_id: found for plan_id, found in plans.versions.items() if len(found) > 1}
    named = "; ".join(f"{plan_id} {', '.join(map(_since, found))}" for plan_id, found in several.items())
    return f"{len(plans.versions)} plans{f' ({named})' if named else ''}"


def _since(plan: Plan) -> str:
    return plan.version if plan.valid_from == date.min else f"{plan.version} from {plan.valid_from}"


def _document(catalog: Catalog, version: PriceVersion, day: date, channels: tuple[Channel, ...]) -> dict[str, Any]:
    book = catalog.book
    return {
        "currency": catalog.currency,
        "on": day.isoformat(),
        "version": version.version,
        "versions": [{"version": v.version, "valid_from": v.valid_from.isoformat()} for v in book.versions],
        "plans": [
            {
                **_terms_document(plan),
                "tiers": _granted(book, plan.plan_id),
                "versions": [_terms_document(each) for each in catalog.plans.versions[plan.plan_id]],
            }
            for plan in catalog.plans.offered(day)
        ],
        "missed_months": book.missed_months,
        "channels": {channel: _channel_document(book, version, channel) for channel in channels},
        "regions": {r.name: _region_document(r, version) for r in _regions(version)} if "rcs" in channels else {},
        "tax": _tax_document(catalog.tax, day),
    }


def _terms_document(plan: Plan) -> dict[str, Any]:
    yearly = plan.yearly_price_micros
    return {
        "plan_id": plan.plan_id,
        "version": plan.version,
        "valid_from": None if plan.valid_from == date.min else plan.valid_from.isoformat(),
        "price": format_micros(plan.price_micros),
        "yearly_price": None if yearly is None else format_micros(yearly),
        "minimum": format_micros(plan.minimum_micros),
        "components": {c.component_type: format_micros(c.unit_price_micros) for c in plan.components},
        "included": {c.component_type: c.included for c in plan.components},
    }


def _channel_document(book: PriceBook, version: PriceVersion, channel: Channel) -> dict[str, Any]:
    names = [tier.name for tier in book.tiers[channel]]
    return {
        "tiers": [{"name": tier.name, "from_volume": tier.from_volume} for tier in book.tiers[channel]],
        "prices": {
            unit: {
                market: dict(zip(names, map(format_micros, columns), strict=True))
                for market, columns in version.prices.get((channel, unit), {}).items()
            }
            for unit in UNITS[channel]
        },
        "mau": {
            market: [{"up_to": band.up_to, "price": format_micros(band.price_micros)} for band in bands]
            for market, bands in version.active_users.get(channel, {}).items()
        },
    }


def _region_document(region: Region, version: PriceVersion) -> dict[str, Any]:
    return {"rule": region.rule, "markets": _markets_of(region, version), **_limits(region)}


def _limits(region: Region) -> dict[str, Any]:
    if region.rule == "standard":
        return {"basic_max_bytes": region.basic_max_bytes}
    return {"segment_bytes": region.segment_bytes, "rich_suggestions": sorted(region.rich_suggestions)}


def _regions(version: PriceVersion) -> list[Region]:
    return list({region.name: region for region in version.regions.values()}.values())


def _markets_of(region: Region, version: PriceVersion) -> list[str]:
    return [market for market, each in version.regions.items() if each.name == region.name]


def _granted(book: PriceBook, plan_id: str) -> dict[str, str]:
    places = book.plan_tiers.get(plan_id, {})
    return {channel: book.tiers[channel][place].name for channel, place in places.items()}


def _tables(catalog: Catalog, version: PriceVersion, day: date, channels: tuple[Channel, ...]) -> Iterator[Table]:
    book = catalog.book
    yield _versions_table(book, version)
    yield _plans_table(catalog, day)
    if any(len(versions) > 1 for versions in catalog.plans.versions.values()):
        yield _plan_versions_table(catalog.plans, day)
    yield _tiers_table(book, channels)
    for channel in channels:
        yield _prices_table(book, version, channel)
        if users := version.active_users.get(channel):
            yield _users_table(users, channel, book.currency)
    if "rcs" in channels:
        yield _regions_table(version)


def _versions_table(book: PriceBook, in_force: PriceVersion) -> Table:
    rows = []
    before: PriceVersion | None = None
    for each in book.versions:
        later = "in force" if each is in_force else "ended" if each.valid_from < in_force.valid_from else "coming"
        rows.append(
            (each.version, each.valid_from.isoformat(), later, "" if before is None else _changes(each, before))
        )
        before = each
    return terminal.table("Versions", ("version", "valid from", "is", "what it changes"), rows, whole=("valid from",))


def _changes(version: PriceVersion, before: PriceVersion) -> str:
    """What a version has otherwise than the one before it."""
    changed = [
        f"{channel} {unit} {_differing(markets, before.prices.get((channel, unit), {}))}"
        for (channel, unit), markets in version.prices.items()
        if markets != before.prices.get((channel, unit))
    ]
    changed += [
        f"{channel} mau {_differing(markets, before.active_users.get(channel, {}))}"
        for channel, markets in version.active_users.items()
        if markets != before.active_users.get(channel)
    ]
    changed += ["regions"] if version.regions != before.regions else []
    return "; ".join(changed) or "nothing"


def _differing(now: Mapping[str, object], before: Mapping[str, object]) -> str:
    return ", ".join(market for market, value in now.items() if before.get(market) != value)


def _plans_table(catalog: Catalog, day: date) -> Table:
    """What each plan costs whoever chooses it on the day."""
    rows = []
    for plan in catalog.plans.offered(day):
        grants = ", ".join(f"{channel} {tier}" for channel, tier in _granted(catalog.book, plan.plan_id).items())
        rows.append((plan.plan_id, *_plan_prices(plan), grants))
    columns = ("plan", "price", "a year", "at least", "and", "grants the tier")
    return terminal.table(f"Plans, {catalog.currency} a month", columns, rows, right=columns[1:4], whole=columns[:1])


def _plan_versions_table(plans: PlanBook, day: date) -> Table:
    """Every version of the plans that have several; subscriptions keep theirs."""
    rows = []
    for plan_id, versions in plans.versions.items():
        in_force = plans.on(plan_id, day)
        for plan in versions if len(versions) > 1 else ():
            since = "" if plan.valid_from == date.min else plan.valid_from.isoformat()
            later = "in force" if plan is in_force else "ended" if plan.valid_from < in_force.valid_from else "coming"
            rows.append((plan_id, plan.version, since, later, *_plan_prices(plan)))
    columns = ("plan", "version", "valid from", "is", "price", "a year", "at least", "and")
    return terminal.table("Versions of plans", columns, rows, right=columns[4:7], whole=columns[:3])


def _plan_prices(plan: Plan) -> tuple[str, str, str, str]:
    """By the month, by the year, the minimum fee, and what each unit costs."""
    yearly = "" if plan.yearly_price_micros is None else format_micros(plan.yearly_price_micros)
    minimum = format_micros(plan.minimum_micros) if plan.minimum_micros else ""
    units = ", ".join(
        f"{format_micros(c.unit_price_micros)} a {c.unit}{f' above {c.included}' if c.included else ''}"
        for c in plan.components
    )
    return format_micros(plan.price_micros), yearly, minimum, units


def _tiers_table(book: PriceBook, channels: Iterable[Channel]) -> Table:
    rows = [(channel, tier.name, f"{tier.from_volume:,}") for channel in channels for tier in book.tiers[channel]]
    title = f"Tiers: {book.missed_months} missed months lose one"
    return terminal.table(title, ("channel", "tier", "units a month"), rows, right=("units a month",))


def _prices_table(book: PriceBook, version: PriceVersion, channel: Channel) -> Table:
    tiers = [tier.name for tier in book.tiers[channel]]
    priced = {unit: version.prices.get((channel, unit), {}) for unit in UNITS[channel]}
    shown = _aligned(price for markets in priced.values() for columns in markets.values() for price in columns)
    rows = [
        (unit, market, *(shown[price] for price in columns))
        for unit, markets in priced.items()
        for market, columns in markets.items()
    ]
    title = f"{channel}, {book.currency} a unit, version {version.version}"
    return terminal.table(title, ("unit", "market", *tiers), rows, right=tiers)


def _aligned(prices_micros: Iterable[int]) -> dict[int, str]:
    """The text of each price, all with as many decimals: points stand under each other."""
    texts = {price: format_micros(price) for price in prices_micros}
    decimals = max((len(text.partition(".")[2]) for text in texts.values()), default=0)
    return {price: text.ljust(text.index(".") + 1 + decimals, "0") for price, text in texts.items()}


def _users_table(users: Mapping[str, tuple[Band, ...]], channel: Channel, currency: str) -> Table:
    rows = []
    shown = _aligned(band.price_micros for bands in users.values() for band in bands)
    for market, bands in users.items():
        first = 1
        for band in bands:
            last = "" if band.up_to is None else f"{band.up_to:,}"
            rows.append((market, f"{first:,}", last, shown[band.price_micros]))
            first = (band.up_to or 0) + 1
    title = f"{channel} mau, {currency} a user active in a month"
    return terminal.table(title, ("market", "from the", "to the", "price"), rows, right=("from the", "to the", "price"))


def _regions_table(version: PriceVersion) -> Table:
    rows = []
    for region in _regions(version):
        limits = ", ".join(
            f"{name} {', '.join(value) if isinstance(value, list) else value}"
            for name, value in _limits(region).items()
        )
        rows.append((region.name, region.rule, ", ".join(_markets_of(region, version)), limits))
    return terminal.table("rcs regions", ("region", "rule", "markets", "limits"), rows)


def _tax_document(book: TaxBook, day: date) -> dict[str, Any]:
    rates = {country: percent(rate.basis_points) for country, rate in _in_force(book, day).items() if rate}
    return {"seller_country": book.seller_country, "rates": rates}


def _in_force(book: TaxBook, day: date) -> dict[str, TaxRate | None]:
    """The rate of each country on a day; None where the first begins later."""
    return {
        country: next((rate for rate in reversed(rates) if rate.valid_from <= day), None)
        for country, rates in sorted(book.rates.items())
    }


def _tax_table(book: TaxBook, day: date) -> Table:
    rows = []
    for country, now in _in_force(book, day).items():
        later = [rate for rate in book.rates[country] if rate.valid_from > day]
        coming = ", ".join(f"{percent(rate.basis_points)} from {rate.valid_from}" for rate in later)
        rows.append(
            (country, percent(now.basis_points) if now else "", now.valid_from.isoformat() if now else "", coming)
        )
    title = f"VAT on what customers pay, sold from {book.seller_country}"
    return terminal.table(title, ("country", "percent", "since", "coming"), rows, right=("percent",))
