"""Owns cost alerts: at which balance a threshold lies, when it is crossed, and when it has been left again.

An alert tells of a crossing, not of a state: once when the balance falls below its level, and once when it is well
above it again. Between level and `well above` nothing is told, so a balance that dances on a level is told of once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from billing_mcp.domain.events import Event
from billing_mcp.domain.ledger import Wallet
from billing_mcp.domain.money import MICROS_PER_UNIT, format_micros, parse_micros

BALANCE_MOVED = "billing.balance.moved"
"""The topic of looking at a balance that has left the span in which nobody wants to hear of it."""

ThresholdKind = Literal["amount", "percent_of_last_topup", "runway_days"]

_LEAST_MARGIN_MICROS = MICROS_PER_UNIT


@dataclass(frozen=True, slots=True)
class Threshold:
    """A level of the available balance: micros, percent of the last top-up, or days of recent use.

    `low` is whether the balance has fallen below it and not recovered, as it was found at `seq` of the ledger; `told`
    whether the world has heard of that, which `told_at` remembers for the cooldown.
    """

    kind: ThresholdKind
    value: int
    low: bool = False
    told: bool = False
    told_at: datetime | None = None
    seq: int = 0

    @property
    def name(self) -> tuple[ThresholdKind, int]:
        """What tells it from others."""
        return self.kind, self.value


@dataclass(frozen=True, slots=True)
class Measures:
    """What levels are computed from: micros of the last top-up, and the balance that so many days of use take.

    None where there is none yet.
    """

    last_topup_micros: int | None = None
    available_for: Callable[[int], int | None] | None = None


@dataclass(frozen=True, slots=True)
class Dip:
    """A balance that was there at `seq` of the ledger, and may be there no more."""

    available_micros: int
    seq: int


@dataclass(frozen=True, slots=True)
class Crossing:
    """A threshold that was crossed, downwards or back, at which level."""

    threshold: Threshold
    level_micros: int
    low: bool


@dataclass(frozen=True, slots=True)
class Watched:
    """The thresholds after a look, what is to be told, and the span that the balance can move in unnoticed.

    Below `low_micros`, or at `high_micros` and above it, there is something to tell.
    """

    thresholds: tuple[Threshold, ...]
    crossings: tuple[Crossing, ...]
    low_micros: int | None
    high_micros: int | None


def balance_moved(wallet: Wallet) -> Event:
    """What makes somebody look at a balance, and what that was then."""
    payload = {"available": format_micros(wallet.available_micros), "seq": str(wallet.last_seq)}
    return Event(wallet.account_id, BALANCE_MOVED, payload)


def dip_of(payload: Mapping[str, str]) -> Dip | None:
    """What `balance_moved` said; None where it is only time to look."""
    return Dip(parse_micros(payload["available"]), int(payload["seq"])) if payload else None


def level_micros(threshold: Threshold, measures: Measures) -> int | None:
    """The balance that a threshold lies at; None as long as there is nothing to compute it from."""
    if threshold.kind == "amount":
        return threshold.value
    if threshold.kind == "percent_of_last_topup":
        return None if measures.last_topup_micros is None else measures.last_topup_micros * threshold.value // 100
    return None if measures.available_for is None else measures.available_for(threshold.value)


def recovery_micros(level: int) -> int:
    """From where on a level counts as left: a tenth above it, and at least one unit."""
    return level + max(level // 10, _LEAST_MARGIN_MICROS)


def look(
    thresholds: Sequence[Threshold],
    wallet: Wallet,
    measures: Measures,
    *,
    cooldown: timedelta,
    now: datetime,
    dip: Dip | None = None,
) -> Watched:
    """Look at a balance. A dip is told of, too, unless the threshold has been crossed since, one way or the other.

    A crossing within the cooldown of the last one of the same threshold is not told, and neither is its end.
    """
    available_micros = wallet.available_micros
    after: list[Threshold] = []
    crossings: list[Crossing] = []
    lows: list[int] = []
    highs: list[int] = []
    for each in thresholds:
        level = level_micros(each, measures)
        if level is None:
            after.append(each)
            continue
        dipped = dip is not None and dip.seq > each.seq and dip.available_micros < level
        if not each.low and (available_micros < level or dipped):
            tells = each.told_at is None or now >= each.told_at + cooldown
            each = replace(each, low=True, told=tells, told_at=now if tells else each.told_at, seq=wallet.last_seq)
            crossings += [Crossing(each, level, low=True)] if tells else []
        if each.low and available_micros >= recovery_micros(level):
            crossings += [Crossing(each, level, low=False)] if each.told else []
            each = replace(each, low=False, told=False, seq=wallet.last_seq)
        after.append(each)
        (highs if each.low else lows).append(recovery_micros(level) if each.low else level)
    return Watched(tuple(after), tuple(crossings), max(lows, default=None), min(highs, default=None))


def kept(before: Iterable[Threshold], wanted: Iterable[tuple[ThresholdKind, int]]) -> tuple[Threshold, ...]:
    """The wanted thresholds, each once; those that were there before keep what they know."""
    known = {each.name: each for each in before}
    return tuple(known.get(name, Threshold(*name)) for name in dict.fromkeys(wanted))
