"""What messages, conversations and active users cost, and in which tier: row by row as `rating_cases.txt` says."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import cast

import pytest

from billing_mcp.domain.conversations import OPENING, InboundKind, Place, ThreadEvent, ThreadState, judged
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.money import parse_micros
from billing_mcp.domain.pricing import Channel, PriceVersion, Unit, bands_micros, graduated_micros
from billing_mcp.domain.rating import RcsFacts, rate
from billing_mcp.domain.tiers import ChannelState, rolled, standing, used
from tests.domain.rating_tables import MISSED_MONTHS, TIERS, Row, facts_of, price_book, tables, tier_place

SECTIONS = tables()
BOOK = price_book(SECTIONS)
PRICES = BOOK.version_on(date(2026, 3, 1))

PLACES: dict[str, Place] = {
    "alone": "alone",
    "covered": "covered",
    "a2p": "a2p_conversation",
    "p2a": "p2a_conversation",
}
CONTENT = {"basic": RcsFacts("text", 10), "single": RcsFacts("rich_card")}


def cases(section: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.case) for row in SECTIONS[section]])


def says(row: Row, *columns: str) -> dict[str, str | int]:
    """What a row expects in these columns; amounts as micros, so that 0.07 and 0.0700 are the same."""
    amounts = ("price", "amount", "next", "the last costs")
    return {name: parse_micros(row[name]) if name in amounts and row[name] != "-" else row[name] for name in columns}


def agree(row: Row, found: dict[str, str | int]) -> None:
    expected = says(row, *found)
    assert found == expected, f"\n{row.line}\nsays  {expected}\nfound {found}"


@cases("Messages")
def test_a_message_costs_what_its_row_says(row: Row) -> None:
    tier = tier_place(row["tier"])
    assert tier is not None
    try:
        version = BOOK.version_on(date.fromisoformat(row["day"]))
        rated = rate(version, facts_of(row["message"]), market=row["market"], tier=tier)
    except InvalidArgument as refusal:
        agree(row, {"rule": refusal.code, "unit": "-", "quantity": "-", "price": "-", "amount": "-"})
        return
    agree(
        row,
        {
            "rule": rated.rule_id,
            "unit": rated.unit,
            "quantity": str(rated.quantity),
            "price": rated.unit_price_micros,
            "amount": rated.amount_micros,
        },
    )
    assert rated.why


@cases("Conversations")
def test_a_conversation_is_charged_as_its_row_says(row: Row) -> None:
    events, messages = thread(row["what happened"])
    _, places = judged(ThreadState(), events)
    names = {place: name for name, place in PLACES.items()}
    agree(
        row,
        {
            "charged as": ", ".join(f"{message} {names[places[message]]}" for message in messages),
            "amount": sum(cost_micros(places[message], content) for message, content in messages.items()),
        },
    )


def thread(story: str) -> tuple[list[ThreadEvent], dict[str, str]]:
    """The events of a row that matter to a conversation, and each message's content."""
    events: list[ThreadEvent] = []
    messages: dict[str, str] = {}
    for told in story.split(", "):
        day, hour, minute, what = re.fullmatch(r"(\d+)/(\d\d):(\d\d) (.+)", told).groups()  # type: ignore[union-attr]
        at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=int(day) - 1, hours=int(hour), minutes=int(minute))
        message, _, content = what.partition(" ")
        if content:
            messages[message] = content
            events.append(ThreadEvent(at, outbound=True, event_id=message))
        elif cast("InboundKind", what) in OPENING:
            events.append(ThreadEvent(at, outbound=False, event_id=f"user {len(events)}"))
        else:
            assert what in {"suggested_action", "location"}
    return events, messages


def cost_micros(place: Place, content: str) -> int:
    if place == "covered":
        return 0
    if place == "alone":
        return rate(PRICES, CONTENT[content], market="FR", tier=0).amount_micros
    unit: Unit = place
    return PRICES.price_micros("rcs", unit, "FR", 0)


@cases("Active users")
def test_active_users_cost_what_their_row_says(row: Row) -> None:
    bands = PRICES.bands(cast("Channel", row["channel"]), row["market"])
    users = int(row["users"])
    each = [graduated_micros(bands, nth) for nth in range(1, users + 1)]
    assert all(bands_micros(bands, before, users - before) == sum(each[before:]) for before in range(users + 1))
    agree(row, {"the last costs": each[-1], "amount": sum(each)})


@cases("Tiers")
def test_a_history_leads_to_the_tier_that_its_row_says(row: Row) -> None:
    state = ChannelState("account", "email", month=0)
    for month in row["months"].split() if row["months"] != "-" else []:
        state = replace(used_in_month(state, month), override=2 if month.endswith("!") else None)
        state = rolled(state, state.month + 1, TIERS, MISSED_MONTHS)
    state = used_in_month(state, row["now"])
    state = replace(state, override=tier_place(row["override"]), commitment=tier_place(row["commitment"]))
    found = standing(state, tier_place(row["plan"]), TIERS)
    agree(
        row,
        {
            "tier": TIERS[found.tier].name,
            "source": found.source,
            "missed": str(state.missed_months),
            "next": PRICES.price_micros("email", "basic", "FR", found.tier),
        },
    )


def used_in_month(state: ChannelState, month: str) -> ChannelState:
    for quantity in re.findall(r"[+-]?\d+", month):
        state = used(state, int(quantity), TIERS)
    return state


def test_the_table_is_whole() -> None:
    sections = ("Messages", "Conversations", "Active users", "Tiers")
    names = [row.case for row in chain.from_iterable(SECTIONS[section] for section in sections)]
    assert len(names) == len(set(names)) >= 150


def test_quantity_times_price_is_the_amount_in_every_row() -> None:
    for row in SECTIONS["Messages"]:
        if row["quantity"] != "-":
            assert int(row["quantity"]) * parse_micros(row["price"]) == parse_micros(row["amount"]), row.line


def test_every_rule_source_and_unit_has_its_row() -> None:
    rules = {row["rule"] for row in SECTIONS["Messages"]}
    assert rules == {
        "email.basic",
        "sms.gsm7",
        "sms.ucs2",
        "sms.given",
        "rcs.standard.basic",
        "rcs.standard.single",
        "rcs.us.rich",
        "rcs.us.rich_media",
        "not_priced",
    }
    sources = {row["source"] for row in SECTIONS["Tiers"]}
    assert sources == {"previous_month", "current_month", "commitment", "plan", "override"}


def test_what_is_not_priced_says_what_is() -> None:
    with pytest.raises(InvalidArgument, match="sms has no price for the unit segment in the market JP") as refusal:
        rate(PRICES, facts_of("sms a*1"), market="JP", tier=0)
    assert refusal.value.field == "market"
    assert refusal.value.hint is not None
    assert "DE, FR, US" in refusal.value.hint


def test_a_version_is_found_by_its_name_as_long_as_the_catalog_has_it() -> None:
    named: PriceVersion | None = BOOK.version_named("2026-01-01")
    assert named is PRICES
    assert BOOK.version_named("2020-01-01") is None


def test_a_tier_is_found_by_its_name_and_a_wrong_name_is_told_the_right_ones() -> None:
    assert BOOK.tier_named("sms", "T2") == 2
    with pytest.raises(InvalidArgument, match="sms has no tier 'gold'") as refusal:
        BOOK.tier_named("sms", "gold")
    assert refusal.value.hint == "Its tiers are T0, T1, T2."
