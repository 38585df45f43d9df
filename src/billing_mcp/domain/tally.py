"""Owns adding up what was charged in a billing period: the lines of its invoice, by component and unit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from billing_mcp.domain.booking import ACTIVE_USER, MESSAGE
from billing_mcp.domain.ledger import LineItem
from billing_mcp.domain.plans import ADJUSTMENT
from billing_mcp.domain.pricing import ANYWHERE, UNITS

CAPTURE = "capture"
"""The `source` of a line that charges what a hold was for: the platform said how much, and not why."""
MOST_CAPTURES = 20
"""So many have a line each; more are one."""

_UNPAID = re.compile(r"; [0-9.]+ [A-Z]{3} unpaid$")
_TOLD = ("market", "tier", "month")
_NAMES = {"email": "Email", "sms": "SMS", "rcs": "RCS"}
_ORDER: dict[str, int] = {channel: place for place, channel in enumerate(UNITS)}


class Charged(NamedTuple):
    """A ledger transaction that moved revenue: by how much, for the customer's signs, and its lines."""

    seq: int
    description: str
    revenue_micros: int
    line_items: tuple[LineItem, ...]


class _Group(NamedTuple):
    """What is added up into one line."""

    channel: str
    unit: str
    market: str
    tier: str
    month: str
    unit_price_micros: int
    source: str


@dataclass(slots=True)
class Tally:
    """What was charged so far."""

    plan_lines: list[LineItem] = field(default_factory=list)
    captures: list[tuple[str, int]] = field(default_factory=list)
    last_seq: int = 0
    """The last transaction that is in it."""
    _groups: dict[_Group, tuple[int, int]] = field(default_factory=dict)
    _captured_micros: int = 0
    _captured: int = 0

    def add(self, transactions: Iterable[Charged]) -> None:
        """Add transactions."""
        for each in transactions:
            self.last_seq = max(self.last_seq, each.seq)
            used = [line for line in each.line_items if line.source != ADJUSTMENT]
            if not each.line_items:
                self._add_capture(each)
            for line in used:
                if line.source in (MESSAGE, ACTIVE_USER):
                    self._add_message(line)
                else:
                    self.plan_lines.append(line)

    def lines(self, start: date, end: date) -> tuple[LineItem, ...]:
        """The lines for the days from `start` up to `end`; what was taken back altogether has none."""
        return (
            *self.plan_lines,
            *self._message_lines(start, end),
            *self._capture_lines(),
        )

    def _add_message(self, line: LineItem) -> None:
        facts = line.metadata or {}
        group = _Group(
            line.component_type,
            line.unit,
            facts.get("market", ""),
            facts.get("tier", ""),
            facts.get("month", ""),
            line.unit_price_micros,
            line.source,
        )
        quantity, micros = self._groups.get(group, (0, 0))
        self._groups[group] = (quantity + int(line.quantity), micros + line.amount_micros)

    def _add_capture(self, charged: Charged) -> None:
        self._captured += 1
        self._captured_micros += charged.revenue_micros
        if self._captured <= MOST_CAPTURES:
            self.captures.append((_UNPAID.sub("", charged.description), charged.revenue_micros))

    def _message_lines(self, start: date, end: date) -> Iterator[LineItem]:
        by_channel = sorted(self._groups.items(), key=lambda item: (_ORDER.get(item[0].channel, 9), item[0]))
        for group, (quantity, micros) in by_channel:
            if not quantity and not micros:
                continue
            exact = quantity * group.unit_price_micros == micros
            yield LineItem(
                component_type=group.channel,
                description=_words(group) if exact else f"Differences: {_words(group)}",
                quantity=str(quantity) if exact else "1",
                unit=group.unit,
                unit_price_micros=group.unit_price_micros if exact else micros,
                amount_micros=micros,
                source=group.source,
                period_start=start.isoformat(),
                period_end=end.isoformat(),
                metadata={name: value for name in _TOLD if (value := getattr(group, name))},
            )

    def _capture_lines(self) -> Iterator[LineItem]:
        if self._captured > MOST_CAPTURES:
            yield _lump(f"{self._captured} charges to holds", self._captured_micros)
            return
        for description, micros in self.captures:
            yield _lump(description, micros)


def _words(group: _Group) -> str:
    unit = "active users" if group.unit == "mau" else group.unit.replace("_", " ")
    market = "" if group.market == ANYWHERE else group.market
    parts = (f"{_NAMES.get(group.channel, group.channel)} {unit}", group.month, market, group.tier)
    return ", ".join(part for part in parts if part)


def _lump(description: str, micros: int) -> LineItem:
    return LineItem("usage", description, "1", "charge", micros, micros, CAPTURE)
