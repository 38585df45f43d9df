"""Reads `rating_cases.txt`: its tables, the price book they tell, and the messages written in its cells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import cast, get_args

from billing_mcp.domain.money import parse_micros
from billing_mcp.domain.pricing import Band, Channel, PriceBook, PriceVersion, RcsRule, Region, Tier, Unit
from billing_mcp.domain.rating import EmailFacts, Facts, MessageType, RcsFacts, SmsFacts
from billing_mcp.operations.sms_parts import sms_facts

FILE = Path(__file__).with_name("rating_cases.txt")
TIERS = (Tier("T0", 0), Tier("T1", 100), Tier("T2", 1000))
MISSED_MONTHS = 2

_NAMED = {"LF": "\n", "FF": "\f", "ESC": "\x1b", "PIPE": "|"}


@dataclass(frozen=True)
class Row:
    """A row by its column names, and the line it was read from."""

    line: str
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    @property
    def case(self) -> str:
        return next(iter(self.cells.values()))


def tables() -> dict[str, list[Row]]:
    """The rows of each section's table."""
    found: dict[str, list[Row]] = {}
    section, columns = "", list[str]()
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section, columns = line[3:], []
        elif line.startswith("| "):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not columns:
                columns = cells
            else:
                found.setdefault(section, []).append(Row(line, dict(zip(columns, cells, strict=True))))
    return found


def tier_place(text: str) -> int | None:
    return None if text == "-" else [tier.name for tier in TIERS].index(text)


def price_book(sections: Mapping[str, list[Row]]) -> PriceBook:
    dated = [column for column in sections["Prices"][0].cells if column.startswith("from ")]
    return PriceBook(
        currency="EUR",
        tiers=dict.fromkeys(get_args(Channel), TIERS),
        missed_months=MISSED_MONTHS,
        plan_tiers={},
        versions=tuple(_version(sections, dated[: nth + 1]) for nth in range(len(dated))),
    )


def _version(sections: Mapping[str, list[Row]], dated: list[str]) -> PriceVersion:
    prices: dict[tuple[Channel, Unit], dict[str, tuple[int, ...]]] = {}
    for row in sections["Prices"]:
        told = _in_force(row, dated)
        if told != "-":
            of_unit = prices.setdefault((cast("Channel", row["channel"]), cast("Unit", row["unit"])), {})
            of_unit[row["market"]] = tuple(parse_micros(price) for price in told.split())
    bands: dict[Channel, dict[str, tuple[Band, ...]]] = {}
    for row in sections["Bands"]:
        bands.setdefault(cast("Channel", row["channel"]), {})[row["market"]] = _bands(row["each active user costs"])
    regions = {row["market"]: _region(row, int(_in_force(row, dated))) for row in sections["Regions"]}
    valid_from = date.fromisoformat(dated[-1].removeprefix("from "))
    return PriceVersion(valid_from.isoformat(), valid_from, prices, bands, regions)


def _in_force(row: Row, dated: list[str]) -> str:
    """What a row says by the last of these days; `=` says what the day before it said."""
    return next(row[column] for column in reversed(dated) if row[column] != "=")


def _region(row: Row, limit: int) -> Region:
    suggestions = frozenset(row["rich suggestions"].replace("-", "").split())
    rule = cast("RcsRule", row["rule"])
    return Region(row["market"], rule, basic_max_bytes=limit, segment_bytes=limit, rich_suggestions=suggestions)


def _bands(text: str) -> tuple[Band, ...]:
    found = [re.fullmatch(r"\d+-(\d*): (\S+)", band) for band in text.split("; ")]
    return tuple(Band(int(band[1]) if band[1] else None, parse_micros(band[2])) for band in found if band)


def facts_of(message: str) -> Facts:
    """The facts of a message as a cell says it: `email to 2 cc 1`, `sms a*161`, `rcs text a*5 with reply`."""
    channel, _, rest = message.partition(" ")
    if channel == "email":
        return EmailFacts(recipients=sum(map(int, re.findall(r"\d+", rest))))
    if channel == "sms":
        return SmsFacts("given", int(rest.removeprefix("given "))) if rest[:5] == "given" else sms_facts(_text(rest))
    content, _, suggestions = rest.partition(" with ")
    kind, _, text = content.partition(" ")
    return RcsFacts(cast("MessageType", kind), len(_text(text).encode()), tuple(suggestions.split()))


def _text(runs: str) -> str:
    text = ""
    for run in runs.split():
        character, times = run.rsplit("*", 1)
        text += _NAMED.get(character, character) * int(times)
    return text
