"""Owns a second opinion on messages: the rules once more, as plainly as can be, sharing nothing but the prices.

After every step all of an account's log is rated again from its first event on, whatever that costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from billing_mcp.domain.pricing import Band, PriceBook, PriceVersion, Region, Tier

DAY = timedelta(hours=24)
WEEK = timedelta(days=7)
BEGINNING = datetime(2026, 3, 29, 10, 0, tzinfo=UTC)
STEPS = (0, 4, 9)
"""The units a month needs for each tier."""
NAMES = ("standard", "growth", "scale")
MISSED = 2
_PRICES: dict[tuple[str, str], dict[str, tuple[int, int, int]]] = {
    ("email", "basic"): {"*": (1000, 900, 800)},
    ("sms", "segment"): {"DE": (70_000, 60_000, 50_000)},
    ("rcs", "basic"): {"*": (40_000, 35_000, 30_000)},
    ("rcs", "single"): {"*": (60_000, 50_000, 45_000)},
    ("rcs", "a2p_conversation"): {"*": (90_000, 80_000, 70_000)},
    ("rcs", "p2a_conversation"): {"*": (80_000, 70_000, 60_000)},
    ("rcs", "rich"): {"US": (10_000, 9000, 8000)},
    ("rcs", "rich_media"): {"US": (30_000, 29_000, 28_000)},
}
_ACTIVE: dict[str, tuple[tuple[int | None, int], ...]] = {
    "rcs": ((2, 10_000), (None, 5000)),
    "email": ((3, 300), (None, 200)),
}
"""What each active user of a month costs, up to the which one."""
_VERSIONS = {"spring": (date(2020, 1, 1), 0), "summer": (date(2026, 5, 1), 7)}
"""From when on, and by how much everything is dearer."""

Charged = tuple[str, int, int]
"""A unit, how many of it, and what they cost."""


def price_book() -> PriceBook:
    """The same prices for the engine."""
    regions = {"*": Region("standard", "standard"), "US": Region("us", "us", rich_suggestions=frozenset({"reply"}))}
    active: Any = {name: {"*": tuple(Band(*band) for band in bands)} for name, bands in _ACTIVE.items()}
    versions = []
    for name, (since, more) in _VERSIONS.items():
        prices: Any = {
            unit: {market: tuple(each + more for each in tiers) for market, tiers in markets.items()}
            for unit, markets in _PRICES.items()
        }
        versions.append(PriceVersion(name, since, prices, active, regions))
    tiers = tuple(Tier(*each) for each in zip(NAMES, STEPS, strict=True))
    return PriceBook("EUR", {"email": tiers, "sms": tiers, "rcs": tiers}, MISSED, {}, tuple(versions))


def price(version: str, channel: str, unit: str, market: str, tier: int) -> int | None:
    """None where nothing is sold."""
    markets = _PRICES[channel, unit]
    prices = markets.get(market) or markets.get("*")
    return None if prices is None else prices[tier] + _VERSIONS[version][1]


@dataclass(frozen=True)
class Wanted:
    """A message that somebody wants to send; `size` is in characters of ASCII."""

    channel: str
    people: tuple[str, ...]
    market: str
    kind: str
    size: int
    agent: str
    conversational: bool
    campaign: str | None = None

    @property
    def is_us(self) -> bool:
        return self.channel == "rcs" and self.market == "US"

    @property
    def thread(self) -> tuple[str, str] | None:
        return (
            (self.agent, self.people[0]) if self.conversational and self.channel == "rcs" and not self.is_us else None
        )

    def count(self) -> tuple[str, int]:
        """The unit, and how many for each recipient."""
        if self.channel == "email":
            return "basic", 1
        if self.channel == "sms":
            return "segment", 1 if self.size <= 160 else (self.size + 152) // 153
        if self.is_us:
            return ("rich", max(1, (self.size + 159) // 160)) if self.kind == "text" else ("rich_media", 1)
        return ("basic" if self.kind == "text" and self.size <= 160 else "single"), 1


@dataclass
class Sent:
    """A message that was accepted, and all that was told of it."""

    message_id: str
    wanted: Wanted
    version: str
    tier: int
    place: str
    held: int
    until: datetime
    status: str = "accepted"
    left: int = 0
    """What of the hold is still reserved."""
    leaves: bool = True
    """Whether the platform is told, or has been told, to deliver it."""
    taken: bool = False
    outcome: dict[str, str] = field(default_factory=dict)
    delivered_at: datetime | None = None
    counted: int | None = None
    told_place: str | None = None
    charged: Charged | None = None

    @property
    def reached(self) -> list[str]:
        return [each for each in self.wanted.people if self.outcome.get(each) == "d"]

    @property
    def outcomes(self) -> str:
        return "".join(self.outcome.get(each, "a") for each in self.wanted.people)

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What its usage is added up by."""
        wanted = self.wanted
        type_ = "email" if wanted.channel == "email" else "text" if wanted.channel == "sms" else wanted.kind
        return (wanted.channel, type_, wanted.count()[0], NAMES[self.tier], wanted.market)

    def worth(self, unit: str) -> int:
        found = price(self.version, self.wanted.channel, unit, self.wanted.market, self.tier)
        assert found is not None
        return found

    def due(self, place: str) -> Charged:
        """What it should be charged, from all that is known."""
        unit, each = self.wanted.count()
        if place == "covered":
            return unit, 0, 0
        if place != "alone":
            return place, 1, self.worth(place)
        number = (self.counted or each) * len(self.reached)
        return unit, number, number * self.worth(unit)


def conversations(events: Iterable[tuple[datetime, int, str]]) -> dict[str, str]:
    """What each delivered message of a thread is. An event is a moment, 1 if it was the user's, and a name.

    Each looks at all windows before it, and else at the one event before it.
    """
    told: dict[str, str] = {}
    windows: list[datetime] = []
    asked: dict[str, bool] = {}
    ordered = sorted(events)
    for number, (at, who, name) in enumerate(ordered):
        within = any(start <= at < start + DAY for start in windows)
        before = ordered[number - 1] if number else None
        is_near = before is not None and at - before[0] < DAY
        if who == 1:
            asked[name] = not within
            if not within and before is not None and is_near and told.get(before[2]) == "alone":
                told[before[2]] = "a2p_conversation"
                windows.append(at)
        elif within:
            told[name] = "covered"
        elif before is not None and is_near and before[1] == 1 and asked[before[2]]:
            told[name] = "p2a_conversation"
            windows.append(at)
        else:
            told[name] = "alone"
    return told


@dataclass
class Channel:
    """What an account has used of a channel in a month, and which tier it has."""

    month: tuple[int, int]
    volume: int = 0
    users: int = 0
    tier: int = 0
    missed: int = 0
    commitment: int | None = None

    def at(self, now: datetime) -> Channel:
        """As it is at a later moment."""
        after = replace(self)
        while after.month < (now.year, now.month):
            if after.volume >= STEPS[after.tier]:
                after.missed = 0
            else:
                after.missed += 1
                if after.missed == MISSED:
                    after.missed, after.tier = 0, after.tier - 1
            year, month = after.month
            after.month, after.volume, after.users = (year, month + 1) if month < 12 else (year + 1, 1), 0, 0
        return after

    def use(self, number: int) -> None:
        self.volume += number
        while self.tier < 2 and self.volume >= STEPS[self.tier + 1]:
            self.tier += 1

    @property
    def stands(self) -> int:
        return max(self.tier, self.commitment or 0)


def nth_price(channel: str, nth: int) -> int:
    for last, costs in _ACTIVE.get(channel, ()):
        if last is None or nth <= last:
            return costs
    return 0


@dataclass
class Ledger:
    """An account: its money in plain numbers, its log, and what of it was added up."""

    free: int = 0
    reserved: int = 0
    owed: int = 0
    revenue: int = 0
    status: str = "active"
    sent: dict[str, Sent] = field(default_factory=dict)
    heard: dict[tuple[str, str], dict[str, datetime]] = field(default_factory=dict)
    keys: dict[str, tuple[Wanted, str]] = field(default_factory=dict)
    paused: dict[str, bool] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    active: dict[tuple[tuple[int, int], str], list[str]] = field(default_factory=dict)
    usage: Counter[tuple[str, ...]] = field(default_factory=Counter)
    """By day, channel, type, unit, tier, market, and then by what is counted."""

    # What is asked of it

    def quote(self, wanted: Wanted, now: datetime, message_id: str = "") -> Sent | str:
        """The message as it would be accepted now, or the code of the refusal."""
        if wanted.campaign is not None and self.paused.get(wanted.campaign) and not message_id:
            return "campaign_paused"
        version = max(name for name, (since, _) in _VERSIONS.items() if since <= now.date())
        channel = self.channel(wanted.channel, now)
        unit, each = wanted.count()
        if price(version, wanted.channel, unit, wanted.market, channel.stands) is None:
            return "not_priced"
        place = "alone"
        if wanted.thread is not None:
            known = [event for event in self.events(wanted.thread) if event[0] <= now]
            place = conversations([*known, (now, 2, "this")])["this"]
        sent = Sent(message_id, wanted, version, channel.stands, place, 0, now + WEEK)
        amount = each * len(wanted.people) * sent.worth(unit) if place == "alone" else sent.due(place)[2]
        is_new = wanted.people[0] not in self.active.get((channel.month, wanted.channel), ())
        if len(wanted.people) == 1 and is_new and place != "covered":
            amount += nth_price(wanted.channel, channel.users + 1)
        sent.held = sent.left = amount
        if self.status != "active":
            return "account_not_active"
        return sent if amount <= self.free else "insufficient_funds"

    def accept(self, sent: Sent, now: datetime) -> None:
        self.free -= sent.held
        self.reserved += sent.held
        self.sent[sent.message_id] = sent
        self.add(now, sent.key, accepted=len(sent.wanted.people))

    def report(
        self, sent: Sent, status: str, at: datetime, person: str | None, count: int | None, now: datetime
    ) -> None:
        before = dict(sent.outcome)
        for each in sent.wanted.people if person is None else [person]:
            if status == "delivered" or each not in sent.outcome:
                sent.outcome[each] = status[0]
        if status == "delivered" and sent.delivered_at is None:
            sent.delivered_at = at
        if status == "delivered" and sent.wanted.channel == "sms" and sent.counted is None:
            sent.counted = count
        was, tally = Counter(before.values()), Counter(sent.outcome.values())
        if sent.outcome != before and sent.status == "paused":
            sent.status = "accepted"
            self.add(now, sent.key, accepted=len(sent.wanted.people))
        self.add(now, sent.key, delivered=tally["d"] - was["d"], failed=tally["f"] - was["f"])
        if "a" not in sent.outcomes:
            sent.status = "delivered" if tally["d"] else "failed"
        self.rate_again(now, sent, [each for each in sent.reached if before.get(each) != "d"])
        if sent.status in ("delivered", "failed"):
            self.give_back(sent)

    def hear(self, thread: tuple[str, str], name: str, kind: str, at: datetime, now: datetime) -> None:
        """The first time that something is told of counts."""
        if kind in ("text", "suggested_reply", "file"):
            self.heard.setdefault(thread, {}).setdefault(name, at)
            self.rate_again(now, None, [])

    def pause(self, campaign: str, now: datetime) -> None:
        if not self.paused[campaign]:
            for sent in self.of_campaign(campaign):
                if sent.status != "accepted" or sent.taken:
                    continue
                sent.leaves = False
                if not sent.outcome:
                    self.give_back(sent)
                    sent.status, sent.held = "paused", 0
                    self.add(now, sent.key, accepted=-len(sent.wanted.people))
        self.paused[campaign] = True

    def resume(self, campaign: str, now: datetime) -> str | None:
        """The code of the refusal; then all is as before."""
        if not self.paused[campaign]:
            return "campaign_not_paused"
        again = [self.quote(e.wanted, now, e.message_id) for e in self.of_campaign(campaign) if e.status == "paused"]
        for each in again:
            if isinstance(each, str):
                return each
        accepted = [each for each in again if isinstance(each, Sent)]
        if sum(each.held for each in accepted) > self.free:
            return "insufficient_funds"
        for each in accepted:
            self.accept(each, now)
        self.paused[campaign] = False
        return None

    def expire(self, now: datetime) -> int:
        due = [sent for sent in self.sent.values() if sent.left and sent.until <= now]
        for sent in due:
            self.give_back(sent)
        return len(due)

    # What follows

    def of_campaign(self, campaign: str) -> list[Sent]:
        return [self.sent[name] for name in sorted(self.sent) if self.sent[name].wanted.campaign == campaign]

    def events(self, thread: tuple[str, str]) -> list[tuple[datetime, int, str]]:
        delivered = [
            (sent.delivered_at, 0, sent.message_id)
            for sent in self.sent.values()
            if sent.wanted.thread == thread and sent.delivered_at is not None
        ]
        return delivered + [(at, 1, name) for name, at in self.heard.get(thread, {}).items()]

    def places(self) -> dict[str, str]:
        """What every delivered message is, from the whole log."""
        told = {name: "alone" for name, sent in self.sent.items() if sent.delivered_at is not None}
        for thread in {sent.wanted.thread for sent in self.sent.values()}:
            if thread is not None:
                told |= conversations(self.events(thread))
        return told

    def rate_again(self, now: datetime, own: Sent | None, newly_reached: list[str]) -> None:
        places = self.places()
        for sent in sorted(self.sent.values(), key=lambda each: (each.delivered_at or now, each.message_id)):
            if sent.message_id in places:
                sent.told_place = places[sent.message_id]
                self.charge(sent, sent.due(sent.told_place), now, own, newly_reached)

    def charge(self, sent: Sent, due: Charged, now: datetime, own: Sent | None, newly_reached: list[str]) -> None:
        unit, number, micros = sent.charged or (due[0], 0, 0)
        parts = [(due[0], due[1] - number, due[2] - micros)] if unit == due[0] else [(unit, -number, -micros), due]
        sent.charged = due
        for part, more, worth in parts:
            if not more:
                continue
            self.pay(worth, sent if sent is own else None)
            self.add(now, self.key_of(sent, part), quantity=more, amount=worth)
            self.touch(sent.wanted.channel, now).use(more)
        if due[1] and parts[-1][1] > 0:
            for person in newly_reached if sent.wanted.channel == "email" else sent.wanted.people:
                self.meet(sent, person, now, sent if sent is own else None)

    def meet(self, sent: Sent, person: str, now: datetime, own: Sent | None) -> None:
        """The first billable event of a recipient in a month."""
        channel = self.touch(sent.wanted.channel, now) if sent.wanted.channel in _ACTIVE else None
        if channel is None:
            return
        known = self.active.setdefault((channel.month, sent.wanted.channel), [])
        if person not in known:
            known.append(person)
            channel.users += 1
            assert channel.users == len(known)
            costs = nth_price(sent.wanted.channel, channel.users)
            self.pay(costs, own)
            self.add(now, self.key_of(sent, "mau"), quantity=1, amount=costs)

    def pay(self, micros: int, own: Sent | None) -> None:
        self.revenue += micros
        if micros < 0:
            self.free -= micros
            return
        from_hold = min(micros, own.left) if own is not None else 0
        from_free = min(micros - from_hold, self.free)
        if own is not None:
            own.left -= from_hold
        self.reserved -= from_hold
        self.free -= from_free
        self.owed += micros - from_hold - from_free
        if micros > from_hold + from_free and self.status == "active":
            self.status = "past_due"

    def give_back(self, sent: Sent) -> None:
        self.free += sent.left
        self.reserved -= sent.left
        sent.left = 0

    def channel(self, name: str, now: datetime) -> Channel:
        return self.channels.get(name, Channel((now.year, now.month))).at(now)

    def touch(self, name: str, now: datetime) -> Channel:
        self.channels[name] = self.channel(name, now)
        return self.channels[name]

    def key_of(self, sent: Sent, unit: str) -> tuple[str, ...]:
        channel, type_, _, tier, market = sent.key
        return (channel, type_, unit, tier, market)

    def add(self, now: datetime, key: tuple[str, ...], **counts: int) -> None:
        for name, number in counts.items():
            self.usage[now.date().isoformat(), *key, name] += number
