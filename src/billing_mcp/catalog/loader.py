"""Owns reading the price catalog: TOML in; plans, prices and rates of VAT out, or what is wrong on which line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from billing_mcp.catalog.book import book_of, dunning_of, plans_of, seller_of, tax_of
from billing_mcp.catalog.checks import problems_between
from billing_mcp.catalog.positions import line_at, lines_of
from billing_mcp.catalog.problems import Problem, problems_of_shape
from billing_mcp.catalog.schema import CatalogTable, TaxTable
from billing_mcp.domain.dunning import DunningTerms
from billing_mcp.domain.errors import Internal, InvalidArgument
from billing_mcp.domain.parties import Seller
from billing_mcp.domain.plan_terms import PlanBook
from billing_mcp.domain.pricing import PriceBook
from billing_mcp.domain.tax import TaxBook, TaxRate

_PLACE = re.compile(r" \(at (?:line (?P<line>\d+), column \d+|end of document)\)")


@dataclass(frozen=True, slots=True)
class Catalog:
    """All prices in all their versions, VAT, who sells, and what happens to accounts that owe."""

    currency: str
    plans: PlanBook
    book: PriceBook
    tax: TaxBook
    seller: Seller
    dunning: DunningTerms


@dataclass(frozen=True, slots=True)
class Examined:
    """A catalog, or all that is wrong with its text, by line."""

    catalog: Catalog | None
    problems: tuple[Problem, ...]


def examine(text: str) -> Examined:
    """Read the TOML text of a catalog, and find all its problems."""
    return _examined(text, default_catalog)


def _examined(text: str, package: Callable[[], Catalog] | None) -> Examined:
    try:
        data = tomllib.loads(text, parse_float=Decimal)  # not to lose the decimals that are shown as wrong
    except (ValueError, RecursionError) as error:
        return Examined(None, (_not_toml(text, error),))
    problems: list[Problem] = []
    spoilt: set[tuple[str | int, ...]] = set()
    file = None
    try:
        file = CatalogTable.model_validate(data)
    except ValidationError as error:
        problems, spoilt = problems_of_shape(error, data)
    problems += problems_between(data, spoilt)
    if file is None or problems:
        lines = lines_of(text)
        located = [replace(each, line=line_at(lines, each.path)) for each in problems]
        return Examined(None, tuple(sorted(located, key=lambda each: each.line)))
    return Examined(_catalog(file, package), ())


def _catalog(file: CatalogTable, package: Callable[[], Catalog] | None) -> Catalog:
    """What the file says; of VAT, the seller and dunning the package says what it does not."""
    tax = tax_of(file.tax) if package is None and file.tax else _tax(file.tax, lambda: _known(package).tax)
    return Catalog(
        currency=file.currency,
        plans=plans_of(file),
        book=book_of(file),
        tax=tax,
        seller=seller_of(file.seller, tax.seller_country) if file.seller else _known(package).seller,
        dunning=dunning_of(file.dunning) if file.dunning else _known(package).dunning,
    )


def _known(package: Callable[[], Catalog] | None) -> Catalog:
    if package is None:
        raise Internal("the package's own catalog says too little")
    return package()


def parse_catalog(text: str, *, source: str = "") -> Catalog:
    """The catalog in a TOML text. Raises InvalidArgument with code `invalid_catalog`: its first problem by line.

    `source` is the file, to be told where it is wrong.
    """
    return _sound(examine(text), source)


def _sound(examined: Examined, source: str) -> Catalog:
    if examined.catalog is not None:
        return examined.catalog
    first, *more = examined.problems
    others = f" {len(more)} more: billing-mcp catalog check {source}".rstrip() if more else ""
    hint = f"{first.hint}{f' It is in {source}.' if source else ''}{others}".strip()
    raise InvalidArgument(first.message, code="invalid_catalog", field=first.field or None, hint=hint or None)


def load_catalog(file: Path | None) -> Catalog:
    """The catalog in a file; without one, that of the package.

    Raises InvalidArgument with code `unreadable_file` or `invalid_catalog`.
    """
    return default_catalog() if file is None else parse_catalog(read_text(file), source=str(file))


@cache
def default_catalog() -> Catalog:
    """The catalog that comes with the package."""
    return _sound(_examined(default_text(), None), "")


def default_text() -> str:
    """The file that comes with the package: a place to begin one's own."""
    return files("billing_mcp.catalog").joinpath("catalog.toml").read_text("utf-8")


def read_text(file: Path) -> str:
    """The text of a catalog's file. Raises InvalidArgument with code `unreadable_file` or `invalid_catalog`."""
    try:
        content = file.read_bytes()
    except OSError as error:
        message = f"the catalog {file} cannot be read: {error.strerror}"
        raise InvalidArgument(message, code="unreadable_file", field="catalog", hint="Check its path.") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"line {line}: is not UTF-8; got the byte {content[error.start]:#04x}"
        raise InvalidArgument(message, code="invalid_catalog", hint=f"Save {file} as UTF-8.") from error


def _tax(table: TaxTable | None, package: Callable[[], TaxBook]) -> TaxBook:
    """What a file says of VAT, and the rates of the package before and beside it: the law is the same for all."""
    if table is None:
        return package()
    own, known = tax_of(table), package().rates
    merged = {country: _continued(known.get(country, ()), rates) for country, rates in own.rates.items()}
    return replace(own, rates={**known, **merged})


def _continued(known: tuple[TaxRate, ...], own: tuple[TaxRate, ...]) -> tuple[TaxRate, ...]:
    """From the day of the first of one's own on, one's own count."""
    return (*(rate for rate in known if rate.valid_from < own[0].valid_from), *own)


def _not_toml(text: str, error: ValueError | RecursionError) -> Problem:
    if isinstance(error, RecursionError):
        return Problem((), "the catalog is not TOML: it is nested too deeply")
    place = _PLACE.search(str(error))
    line = int(place["line"]) if place and place["line"] else max(1, len(text.splitlines()))
    what = _PLACE.sub("", str(error))
    return Problem((), f"the catalog is not TOML: {what[:1].lower()}{what[1:]}", line=line)
