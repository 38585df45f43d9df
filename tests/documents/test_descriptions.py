"""What lines are called on a document: the server's own sentences in its language, the words of others as they are."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from billing_mcp.catalog.loader import default_catalog
from billing_mcp.documents.figures import Figures
from billing_mcp.documents.words import WORDS, describe
from billing_mcp.domain.ledger import LineItem
from billing_mcp.domain.parties import Language
from billing_mcp.domain.plans import ADJUSTMENT
from billing_mcp.domain.pricing import UNITS
from billing_mcp.domain.tally import Charged, Tally

MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)


def said(line: LineItem, language: Language) -> str:
    return describe(line, WORDS[language], Figures(WORDS[language].locale))


def stored(description: str) -> LineItem:
    return LineItem("base", description, "1", "month", 29_000_000, 29_000_000, "plan")


def added_up(channel: str, unit: str, micros: int = 71_000, source: str = "message") -> LineItem:
    """The line of an invoice for one message to Germany, at 0.071, as a period's close makes it."""
    facts = {"market": "DE", "tier": "growth"}
    sent = LineItem(channel, "as it was charged", "1", unit, 71_000, micros, source, metadata=facts)
    tally = Tally()
    tally.add([Charged(1, "", micros, (sent,))])
    (line,) = tally.lines(MARCH, APRIL)
    return line


def test_charges_to_holds_are_counted_in_german() -> None:
    assert said(stored("21 charges to holds"), "de") == "21 Abbuchungen von Reservierungen"


def test_every_component_of_the_package_has_its_name_in_german() -> None:
    plans = [plan for versions in default_catalog().plans.versions.values() for plan in versions]

    for component in {component.name for plan in plans for component in plan.components}:
        assert said(stored(component), "de") != component


@pytest.mark.parametrize(("channel", "unit"), [(channel, unit) for channel, units in UNITS.items() for unit in units])
def test_messages_are_called_by_what_they_are_and_where_they_went(channel: str, unit: str) -> None:
    line = added_up(channel, unit)

    assert line.description.partition(", ")[0] in WORDS["de"].messages
    assert "Germany" in said(line, "en")
    assert said(line, "en").endswith(", tier growth")
    assert "Deutschland" in said(line, "de")
    assert said(line, "de").endswith(", Stufe growth")


def test_active_users_are_no_messages() -> None:
    assert said(added_up("rcs", "mau", source="active_user"), "de") == "Aktive Nutzer, RCS, Deutschland, Stufe growth"


def test_what_does_not_come_to_its_price_is_called_differences() -> None:
    line = added_up("sms", "segment", micros=70_000)

    assert said(line, "en") == "Differences: SMS to Germany, tier growth"
    assert said(line, "de") == "Differenzen: SMS nach Deutschland, Stufe growth"


@pytest.mark.parametrize(("unit", "source"), [("segment", "message"), ("mau", "active_user")])
def test_a_credit_note_calls_a_line_as_its_invoice_did(unit: str, source: str) -> None:
    line = added_up("rcs" if unit == "mau" else "sms", unit, source=source)

    for given_back in (replace(line, source=ADJUSTMENT), replace(line, source=ADJUSTMENT, unit="part")):
        assert said(given_back, "de") == said(line, "de")
