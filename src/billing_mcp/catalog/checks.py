"""Owns what the parts of a catalog's file must be to each other, once each looks right by itself.

A part that does not is left out, and nothing is said about what depends on it: all problems are told at once,
and none twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, cast

from billing_mcp.catalog.positions import Path
from billing_mcp.catalog.problems import Problem, either, meant, shown, value_at
from billing_mcp.domain.plan_terms import FIRST_VERSION
from billing_mcp.domain.pricing import ANYWHERE, UNITS, Channel, RcsRule, Unit
from billing_mcp.domain.tax import MEMBER_STATES

UNITS_OF_RULE: Mapping[RcsRule, tuple[Unit, ...]] = {
    "standard": ("basic", "single", "a2p_conversation", "p2a_conversation"),
    "us": ("rich", "rich_media"),
}
"""What messages of a region may count as, and so needs a price in each of its markets."""

_LIMITS: Mapping[RcsRule, tuple[str, ...]] = {
    "standard": ("basic_max_bytes",),
    "us": ("segment_bytes", "rich_suggestions"),
}


def problems_between(data: Mapping[str, Any], spoilt: set[Path]) -> list[Problem]:
    """The problems between parts; `spoilt` are the paths that are wrong by themselves."""
    draft = _Draft(data, spoilt)
    checks = (
        _components,
        _tiers,
        _plan_versions,
        _plan_tiers,
        _versions,
        _first_version,
        _columns,
        _bands,
        _regions,
        _units_of_regions,
        _tax_rates,
        _sellers_rate,
        _dunning,
    )
    return list(chain.from_iterable(check(draft) for check in checks))


class _Draft:
    """The file's data, where it can be relied on."""

    def __init__(self, data: Mapping[str, Any], spoilt: set[Path]) -> None:
        self._data = data
        self._spoilt = spoilt

    def get(self, *path: str | int) -> Any:
        """What stands at a path; None if nothing does, or if it, or a part of it, is spoilt."""
        return None if self.doubtful(*path) else self.raw(*path)

    def doubtful(self, *path: str | int) -> bool:
        """Whether what stands at a path, around it or within it is spoilt."""
        return any(path[: len(each)] == each or each[: len(path)] == path for each in self._spoilt)

    def raw(self, *path: str | int) -> Any:
        """What stands at a path, be it right or wrong."""
        return value_at(self._data, path)

    def inside(self, *path: str | int) -> Iterator[tuple[Path, Any]]:
        """Path and value of each part of a table or list that is right, whether the others are or not."""
        for key in self.keys(*path):
            value = self.get(*path, key)
            if value is not None:
                yield (*path, key), value

    def keys(self, *path: str | int) -> Iterable[str | int]:
        """The keys of a table or the places of a list; none of anything else."""
        whole = self.raw(*path)
        return list(whole) if isinstance(whole, dict) else range(len(whole)) if isinstance(whole, list) else ()

    def versions(self) -> Iterable[int]:
        """The places of the dated versions."""
        return range(len(versions)) if isinstance(versions := self.raw("prices"), list) else ()


def _components(draft: _Draft) -> Iterator[Problem]:
    for plan_id in draft.keys("plans"):
        priced: set[str] = set()
        for path, component_type in _each(draft, "component_type", "plans", plan_id, "components"):
            if component_type in priced:
                yield Problem(path, "is priced already", shown(component_type))
            priced.add(component_type)


def _plan_versions(draft: _Draft) -> Iterator[Problem]:
    for plan_id in draft.keys("plans"):
        first = draft.get("plans", plan_id, "version")
        known = draft.raw("plans", plan_id, "version") is not None
        names = {first} if known else {FIRST_VERSION}
        yield from _dated(draft, names, "plans", plan_id, "versions")
        priced = {name for _, name in _each(draft, "component_type", "plans", plan_id, "components")}
        for place in draft.keys("plans", plan_id, "versions"):
            path = ("plans", plan_id, "versions", place)
            yield from _changed_components(draft, priced, *path)
            told = draft.get(*path)
            if isinstance(told, dict) and not set(told) - {"version", "valid_from"}:
                hint = "Give it a price, yearly_price, minimum or components that are not as before."
                yield Problem(path, "changes nothing", hint=hint)


def _changed_components(draft: _Draft, priced: set[str], *version: str | int) -> Iterator[Problem]:
    told: set[str] = set()
    if draft.doubtful(*version[:2], "components"):
        return
    for path, component_type in _each(draft, "component_type", *version, "components"):
        if component_type not in priced:
            hint = f"It has {either(sorted(priced))}." if priced else "It has none."
            yield Problem(path, "is no component of the plan", shown(component_type), hint)
        elif component_type in told:
            yield Problem(path, "is changed already", shown(component_type))
        told.add(component_type)


def _tiers(draft: _Draft) -> Iterator[Problem]:
    for channel in UNITS:
        names: set[str] = set()
        before = -1
        for path, name in _each(draft, "name", "tiers", channel):
            if name in names:
                yield Problem(path, f"is the name of another tier of {channel}", shown(name))
            names.add(name)
        for path, volume in _each(draft, "from_volume", "tiers", channel):
            if path[2] == 0 and volume != 0:
                yield Problem(path, "the lowest tier begins at 0", shown(volume))
            elif volume <= before:
                yield Problem(path, f"must be above {before}, where the tier before it begins", shown(volume))
            before = max(before, volume)


def _each(draft: _Draft, key: str, *path: str | int) -> Iterator[tuple[Path, Any]]:
    """Path and value of one key of all tables in a list, where it is right."""
    for place in draft.keys(*path):
        value = draft.get(*path, place, key)
        if value is not None:
            yield (*path, place, key), value


def _plan_tiers(draft: _Draft) -> Iterator[Problem]:
    for plan_id in draft.keys("plans"):
        for path, name in draft.inside("plans", plan_id, "tiers"):
            tiers = draft.get("tiers", path[-1])
            if tiers and name not in (names := [tier["name"] for tier in tiers]):
                guess = meant(name, names)
                hint = f"Did you mean {guess}?" if guess else f"Its tiers are {', '.join(names)}."
                yield Problem(path, f"is no tier of {path[-1]}", shown(name), hint)


def _versions(draft: _Draft) -> Iterator[Problem]:
    return _dated(draft, set(), "prices")


def _dated(draft: _Draft, names: set[str], *versions: str | int) -> Iterator[Problem]:
    """Each has a name of its own, that is none of `names`, and begins after the one before it."""
    newest = None
    for path, name in _each(draft, "version", *versions):
        if name in names:
            yield Problem(path, "is the name of another version", shown(name))
        names.add(name)
    for path, day in _each(draft, "valid_from", *versions):
        if newest is not None and day <= newest:
            hint = "Versions stand oldest first, and each has a day of its own."
            yield Problem(path, f"must be after {newest}, when the version before it begins", shown(day), hint)
        newest = day if newest is None else max(newest, day)


def _first_version(draft: _Draft) -> Iterator[Problem]:
    """It has no version before it that could have told the rest."""
    hint = "Later versions need to name only what changes."
    if isinstance(draft.raw("prices", 0), dict):
        for path in (("regions",), *((channel, unit) for channel in ("email", "sms") for unit in UNITS[channel])):
            if draft.raw("prices", 0, *path) is None and not draft.doubtful("prices", 0, *path):
                yield Problem(("prices", 0, *path), "is missing in the first version", hint=hint)


def _columns(draft: _Draft) -> Iterator[Problem]:
    for version in draft.versions():
        for channel, units in UNITS.items():
            tiers = draft.raw("tiers", channel)
            if not tiers or not isinstance(tiers, list):
                continue
            for unit in units:
                for path, columns in draft.inside("prices", version, channel, unit):
                    if len(columns) != len(tiers):
                        names = ", ".join(str(draft.raw("tiers", channel, n, "name")) for n in range(len(tiers)))
                        wrong = f"needs {len(tiers)} prices, one for each tier of {channel} ({names})"
                        yield Problem(path, wrong, shown(columns))


def _bands(draft: _Draft) -> Iterator[Problem]:
    for version in draft.versions():
        for channel in UNITS:
            for path, bands in draft.inside("prices", version, channel, "mau"):
                yield from _bands_of(path, bands)


def _bands_of(path: Path, bands: list[dict[str, Any]]) -> Iterator[Problem]:
    before = 0
    for place, band in enumerate(bands):
        last, up_to = place == len(bands) - 1, band.get("up_to")
        if last and up_to is not None:
            hint = "Add a band without up_to: it prices all users beyond."
            yield Problem((*path, place, "up_to"), "the last band has no end", shown(up_to), hint)
        elif not last and up_to is None:
            yield Problem((*path, place), "has no up_to, and is not the last band", shown(band))
        elif up_to is not None and up_to <= before:
            wrong = f"must be above {before}, where the band before it ends"
            yield Problem((*path, place, "up_to"), wrong, shown(up_to))
        before = max(before, up_to or 0)


def _regions(draft: _Draft) -> Iterator[Problem]:
    for version in draft.versions():
        where: dict[str, str | int] = {}
        for name in draft.keys("prices", version, "regions"):
            yield from _limits(draft, "prices", version, "regions", name)
            for path, market in draft.inside("prices", version, "regions", name, "markets"):
                if market in where:
                    yield Problem(path, f"is in the region {where[market]} already", shown(market))
                where.setdefault(market, name)
        if ANYWHERE not in where and draft.get("prices", version, "regions") is not None:
            hint = 'Give one of them markets = ["*"]: it is for every country that is in no other.'
            yield Problem(("prices", version, "regions"), 'no region has the market "*"', hint=hint)


def _limits(draft: _Draft, *region: str | int) -> Iterator[Problem]:
    rule = draft.get(*region, "rule")
    for other, limits in _LIMITS.items():
        for limit in limits:
            if rule not in (None, other) and draft.get(*region, limit) is not None:
                wrong = f"has no meaning under the rule {rule}"
                yield Problem((*region, limit), wrong, shown(draft.get(*region, limit)))


def _units_of_regions(draft: _Draft) -> Iterator[Problem]:
    """A version can only add prices to those before it: it is enough to look where regions are named."""
    told: set[tuple[Unit, str]] = set()
    for version in draft.versions():
        for name in draft.keys("prices", version, "regions"):
            rule = cast("RcsRule | None", draft.get("prices", version, "regions", name, "rule"))
            for unit in UNITS_OF_RULE[rule] if rule else ():
                priced = _priced(draft, "rcs", unit, version)
                for path, market in draft.inside("prices", version, "regions", name, "markets"):
                    if priced is not None and not priced & {market, ANYWHERE} and (unit, market) not in told:
                        told.add((unit, market))
                        have = f"; priced are {either(sorted(priced))}" if priced else ""
                        hint = f"Add {shown(market)} to [prices.rcs.{unit}]{have}."
                        yield Problem(
                            path, f"has no price for {unit}, which the rule {rule} needs", shown(market), hint
                        )


def _priced(draft: _Draft, channel: Channel, unit: Unit, version: int) -> set[str] | None:
    """The markets in which a unit has a price under a version; None if that cannot be told."""
    markets: set[str] = set()
    for place in range(version + 1):
        path = ("prices", place, channel, unit)
        if draft.doubtful(*path):
            return None
        markets |= set(draft.get(*path) or ())
    return markets


def _tax_rates(draft: _Draft) -> Iterator[Problem]:
    for country in draft.keys("tax", "rates"):
        newest = None
        for path, day in _each(draft, "valid_from", "tax", "rates", country):
            if newest is not None and day <= newest:
                hint = "Rates stand oldest first, and each has a day of its own."
                yield Problem(path, f"must be after {newest}, when the rate before it begins", shown(day), hint)
            newest = day if newest is None else max(newest, day)


def _sellers_rate(draft: _Draft) -> Iterator[Problem]:
    """The package knows the rates of the European Union alone; others are needed wherever there are prices."""
    seller = draft.get("tax", "seller_country")
    if seller is None or seller in MEMBER_STATES:
        return
    if draft.raw("tax", "rates", seller) is None:
        hint = f'Add it to [tax.rates]: {seller} = [{{ valid_from = 2020-01-01, percent = "20" }}].'
        yield Problem(("tax", "seller_country"), "has no rate of VAT", shown(seller), hint)
    path = ("tax", "rates", seller, 0, "valid_from")
    day, first = draft.get(*path), draft.get("prices", 0, "valid_from")
    if day is not None and first is not None and day > first:
        yield Problem(path, f"must not be after {first}, when the first prices begin", shown(day))


def _dunning(draft: _Draft) -> Iterator[Problem]:
    """Reminders come in order, and before the account is suspended."""
    newest = 0
    for path, days in draft.inside("dunning", "reminders_after_days"):
        if days <= newest:
            yield Problem(path, f"must be later than {newest}, when the reminder before it is sent", shown(days))
        newest = max(newest, days)
    suspended = draft.get("dunning", "suspended_after_days")
    if suspended is not None and suspended <= newest:
        path = ("dunning", "suspended_after_days")
        yield Problem(path, f"must be later than {newest}, when the last reminder is sent", shown(suspended))
