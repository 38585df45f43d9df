"""`billing-mcp report`: a month to look at, whose figures are those of the functions."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import pytest

from billing_mcp.demo.traffic import SENDER
from tests.cli.conftest import MAIL, NOBODY, Cli

SVG = "{http://www.w3.org/2000/svg}"
FEBRUARY = ("report", "usage", SENDER.account_id, "--month", "2026-02")


def _called(cli: Cli, database: str, function: str, *arguments: str) -> dict[str, object]:
    account = f"account_id={SENDER.account_id}"
    answer = cli("call", function, account, *arguments, "--json", "--database", database).json
    found: dict[str, object] = answer["result"]
    return found


def test_the_figures_are_those_of_the_functions(cli: Cli, lived: str) -> None:
    told = cli(*FEBRUARY, "--json", "--database", lived).json

    assert told["usage"] == _called(cli, lived, "billing.usage.get", "month=2026-02")
    span = ("from_date=2026-02-01", "to_date=2026-03-01", "group_by=day,channel")
    assert told["by_day"] == _called(cli, lived, "billing.usage.detailed", *span)
    assert told["usage"]["delivered"] > 100


def test_every_day_of_the_month_has_a_bar_as_long_as_its_part_of_the_highest(cli: Cli, lived: str) -> None:
    drawn = cli(*FEBRUARY, "--of", "messages", "--database", lived).stdout
    days = {row["day"]: 0 for row in cli(*FEBRUARY, "--json", "--database", lived).json["by_day"]["items"]}
    for row in cli(*FEBRUARY, "--json", "--database", lived).json["by_day"]["items"]:
        days[row["day"]] += row["accepted"]

    bars = {line.split()[0]: line for line in drawn.splitlines() if line.strip()[:2].isdigit()}
    lengths = {day: sum(bars[day].count(glyph) for glyph in "█▓░") for day in bars}

    assert sorted(bars) == [f"{day:02d}" for day in range(1, 29)]
    highest = max(days.values())
    assert all(abs(lengths[day[-2:]] - 64 * each / highest) <= 1 for day, each in days.items())
    assert all(name in drawn for name in ("email", "sms", "rcs", "Lantern Market", "total"))


def test_the_chart_as_svg_shows_the_same_sums(cli: Cli, lived: str, tmp_path: Path) -> None:
    file = tmp_path / "usage.svg"
    told = cli(*FEBRUARY, "--svg", str(file), "--json", "--database", lived).json

    root = ElementTree.fromstring(file.read_text("utf-8"))  # noqa: S314 - we wrote it
    titles = [title.text or "" for title in root.iter(f"{SVG}title")]
    bars = [rect for rect in root.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    parts = {
        (f"{row['day'][-2:]}", row["channel"]): Decimal(row["amount"])
        for row in told["by_day"]["items"]
        if Decimal(row["amount"]) > 0
    }

    assert sorted(titles) == sorted(f"{day}, {channel}: {each:,.2f} EUR" for (day, channel), each in parts.items())
    drawn = {title: float(bar.attrib["height"]) for title, bar in zip(titles, bars, strict=True)}
    values = {f"{day}, {channel}: {each:,.2f} EUR": float(each) for (day, channel), each in parts.items()}
    longest = max(values, key=lambda title: values[title])
    pixels = drawn[longest] / values[longest]
    assert all(abs(drawn[title] - value * pixels) < 0.2 for title, value in values.items())
    assert root.attrib["role"] == "img"


def test_a_file_that_is_there_is_not_written_over(cli: Cli, lived: str, tmp_path: Path) -> None:
    file = tmp_path / "usage.svg"
    file.write_text("mine")

    cli(*FEBRUARY, "--svg", str(file), "--database", lived).refused("file_exists", 3)
    assert file.read_text() == "mine"
    assert cli(*FEBRUARY, "--svg", str(file), "--force", "--database", lived).exit_code == 0
    assert file.read_text().startswith("<svg")


def test_a_name_that_looks_like_markup_is_written_as_it_is(cli: Cli, sqlite: str, tmp_path: Path) -> None:
    name = "<script>alert('x')</script> & 'Sons'"
    account_id = cli("accounts", "create", name, "--json", "--database", sqlite).json["id"]
    file = tmp_path / "usage.svg"

    assert cli("report", "usage", account_id, "--svg", str(file), "--database", sqlite).exit_code == 0

    root = ElementTree.fromstring(file.read_text("utf-8"))  # noqa: S314
    assert root.attrib["aria-label"].startswith(name)
    assert not list(root.iter(f"{SVG}script"))


def test_a_month_without_messages_is_drawn_empty(cli: Cli, lived: str) -> None:
    drawn = cli("report", "usage", MAIL, "--month", "2026-02", "--database", lived)

    assert (drawn.exit_code, drawn.stdout.count("·")) == (0, 28)


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        ((NOBODY,), "not_found", 3),
        ((MAIL, "--month", "2026-13"), "invalid_argument", 2),
        ((MAIL, "--month", "2999-01"), "invalid_argument", 2),
        ((MAIL, "--month", "March"), "invalid_argument", 2),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    cli: Cli, lived: str, arguments: tuple[str, ...], code: str, exit_code: int
) -> None:
    cli("report", "usage", *arguments, "--database", lived).refused(code, exit_code)
