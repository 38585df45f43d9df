"""Alerts, in tables: a level is told of once when it is crossed, and once when it has been left again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.domain.alerts import (
    Dip,
    Measures,
    Threshold,
    ThresholdKind,
    Watched,
    balance_moved,
    dip_of,
    kept,
    level_micros,
    look,
    recovery_micros,
)
from billing_mcp.domain.ledger import Wallet
from tests.domain.builders import ACCOUNT, PROPERTY, eur

START = datetime(2026, 3, 12, 10, 0, tzinfo=UTC)
DAY = timedelta(days=1)
NONE = Measures()


def wallet(available: int, seq: int = 1) -> Wallet:
    return Wallet(ACCOUNT, "EUR", available, 0, seq, seq, "")


class Watcher:
    """Somebody who looks at a balance again and again, and writes down what is told."""

    def __init__(self, *levels: str, cooldown: timedelta = timedelta()) -> None:
        self.thresholds = tuple(Threshold("amount", eur(level)) for level in levels)
        self.cooldown = cooldown
        self.seq = 0
        self.last: Watched

    def look(self, available: str | int, *, after: timedelta = timedelta(), dip: Dip | None = None) -> str:
        """What is told: `-20` for a level that was crossed downwards, `+20` for one that was left."""
        self.seq += 1
        micros = eur(available) if isinstance(available, str) else available
        self.last = look(
            self.thresholds, wallet(micros, self.seq), NONE, cooldown=self.cooldown, now=START + after, dip=dip
        )
        self.thresholds = self.last.thresholds
        return " ".join(f"{'-' if c.low else '+'}{c.level_micros // 1_000_000}" for c in self.last.crossings)


#    what is available, and what is told, look by look
WALKS: dict[str, list[tuple[str, str]]] = {
    "a level is crossed below it and left a tenth above": [
        ("20.00", ""), ("19.999999", "-20"), ("20.00", ""), ("21.999999", ""), ("22.00", "+20"), ("20.00", ""),
    ],
    "a balance that dances on a level is told of once": [
        ("19.00", "-20"), ("21.00", ""), ("19.00", ""), ("21.00", ""), ("19.00", ""), ("22.00", "+20"),
    ],
    "each crossing is told anew": [
        ("19.00", "-20"), ("25.00", "+20"), ("19.00", "-20"), ("25.00", "+20"),
    ],
    "a fall through several levels tells of each": [
        ("100.00", ""), ("60.00", "-70"), ("4.00", "-20 -5"), ("5.99", ""), ("6.00", "+5"), ("100.00", "+70 +20"),
    ],
    "below zero": [("-3.00", "-70 -20 -5"), ("-2.00", "")],
}  # fmt: skip


@pytest.mark.parametrize("walk", WALKS)
def test_what_is_told_on_the_way(walk: str) -> None:

    several = "several" in walk or walk == "below zero"
    watcher = Watcher(*(("70.00", "20.00", "5.00") if several else ("20.00",)))
    for available, told in WALKS[walk]:
        assert watcher.look(available) == told, available


def test_within_the_cooldown_neither_a_crossing_nor_its_end_is_told_again() -> None:
    watcher = Watcher("20.00", cooldown=DAY)
    moment = timedelta(microseconds=1)
    told = [
        watcher.look("19.00"),
        watcher.look("25.00", after=timedelta(hours=1)),
        watcher.look("19.00", after=timedelta(hours=2)),
        watcher.look("25.00", after=timedelta(hours=3)),
        watcher.look("19.00", after=DAY - moment),
        watcher.look("25.00", after=DAY - moment),
        watcher.look("19.00", after=DAY),
        watcher.look("25.00", after=DAY),
    ]
    assert told == ["-20", "+20", "", "", "", "", "-20", "+20"]


def test_a_dip_between_two_looks_is_told_of_with_its_end() -> None:
    watcher = Watcher("20.00")
    watcher.look("50.00")
    assert watcher.look("50.00", dip=Dip(eur("12.00"), watcher.seq + 1)) == "-20 +20"
    assert watcher.look("50.00", dip=Dip(eur("20.00"), watcher.seq + 1)) == ""


def test_a_dip_that_is_heard_of_twice_or_late_is_told_of_once() -> None:
    watcher = Watcher("20.00")
    dip = Dip(eur("12.00"), 1)
    assert watcher.look("12.00", dip=dip) == "-20"
    assert watcher.look("50.00") == "+20"
    assert watcher.look("50.00", dip=dip) == ""


def test_what_is_heard_of_a_moved_balance_says_where_in_the_ledger_it_was() -> None:
    event = balance_moved(wallet(eur("-3.25"), seq=17))
    assert dip_of({name: str(value) for name, value in event.payload.items()}) == Dip(eur("-3.25"), 17)
    assert dip_of({}) is None


def test_between_the_nearest_levels_nothing_can_be_told() -> None:
    watcher = Watcher("70.00", "20.00", "5.00")
    spans = []
    for available in ("100.00", "60.00", "10.00", "1.00"):
        watcher.look(available)
        spans.append((watcher.last.low_micros, watcher.last.high_micros))
    assert spans == [
        (eur("70.00"), None),
        (eur("20.00"), eur("77.00")),
        (eur("5.00"), eur("22.00")),
        (None, eur("6.00")),
    ]


@PROPERTY
@given(st.lists(st.integers(-5, 30), max_size=30), st.lists(st.integers(1, 25), min_size=1, max_size=4, unique=True))
def test_within_the_span_a_look_changes_nothing_and_beyond_it_it_does(balances: list[int], levels: list[int]) -> None:
    watcher = Watcher(*(f"{level}.00" for level in levels))
    watcher.look("100.00")
    for balance in balances:
        before, span = watcher.thresholds, watcher.last
        low, high = span.low_micros, span.high_micros
        micros = balance * 1_000_000
        left = (low is not None and micros < low) or (high is not None and micros >= high)
        watcher.look(micros)
        assert (watcher.thresholds != before) == left


#       threshold                         last top-up  a day    level
LEVELS: list[tuple[ThresholdKind, int, str, str, str]] = [
    ("amount", eur("12.34"), "", "", "12.34"),
    ("percent_of_last_topup", 20, "50.00", "", "10.00"),
    ("percent_of_last_topup", 33, "10.01", "", "3.3033"),
    ("percent_of_last_topup", 20, "", "3.00", ""),
    ("runway_days", 7, "", "3.00", "21.00"),
    ("runway_days", 7, "50.00", "", ""),
]


@pytest.mark.parametrize(("kind", "value", "topup", "daily", "level"), LEVELS)
def test_where_a_level_lies(kind: ThresholdKind, value: int, topup: str, daily: str, level: str) -> None:
    measures = Measures(eur(topup) if topup else None, eur(daily).__mul__ if daily else None)
    assert level_micros(Threshold(kind, value), measures) == (eur(level) if level else None)


def test_a_level_that_lies_nowhere_tells_nothing_and_remembers_what_it_knew() -> None:
    known = Threshold("runway_days", 7, low=True, told=True, told_at=START)
    found = look([known], wallet(0), NONE, cooldown=DAY, now=START)
    assert found == Watched((known,), (), None, None)


@pytest.mark.parametrize(("level", "recovers"), [("5.00", "6.00"), ("10.00", "11.00"), ("20.00", "22.00")])
def test_a_level_is_left_a_tenth_above_it_and_at_least_one_unit(level: str, recovers: str) -> None:
    assert recovery_micros(eur(level)) == eur(recovers)


def test_a_level_that_rises_above_the_balance_is_crossed_too() -> None:
    percent = (Threshold("percent_of_last_topup", 50),)
    before = look(percent, wallet(eur("30.00")), Measures(eur("50.00")), cooldown=DAY, now=START)
    after = look(before.thresholds, wallet(eur("30.00")), Measures(eur("100.00")), cooldown=DAY, now=START)
    assert (len(before.crossings), [c.level_micros for c in after.crossings]) == (0, [eur("50.00")])


def test_thresholds_that_stay_know_what_they_knew_and_each_is_there_once() -> None:
    low = Threshold("amount", 5, low=True)
    assert kept([low, Threshold("amount", 7)], [("amount", 9), ("amount", 5), ("amount", 9)]) == (
        Threshold("amount", 9),
        replace(low),
    )
