"""Owns what can happen to messages: steps of all kinds, near to each other and to the ends of windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from billing_mcp.domain.conversations import InboundKind
from billing_mcp.operations.drafts import Draft
from tests.store.second_opinion import Wanted

PEOPLE = ("ada", "bob", "cyn", "dan")
PHONES = {name: f"+49151123456{number:02}" for number, name in enumerate(PEOPLE)}
AHEAD = -60
DAY = 86_400
DAY_US = DAY * 10**6


@dataclass(frozen=True)
class Sending:
    """A message is sent, now and then under a key."""

    account: int
    wanted: Wanted
    key: str


@dataclass(frozen=True)
class Reporting:
    """A receipt for one of the messages that are there."""

    account: int
    which: int
    status: str
    person: int | None
    count: int | None
    seconds_ago: int


@dataclass(frozen=True)
class Hearing:
    """A user writes."""

    account: int
    agent: str
    person: str
    name: str
    kind: InboundKind
    seconds_ago: int


Step = Sending | Reporting | Hearing

agents = st.sampled_from(["shop", "shop", "shop", "bank"])
gaps = st.sampled_from([0, 0, 0, 1, 3600 * 10**6, 3600 * 10**6, DAY_US - 1, DAY_US, DAY_US, DAY_US + 1, 8 * DAY_US])
"""Microseconds: what is near the end of a window is the most telling."""
emails = st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=3, unique=True)
one = st.sampled_from(["ada", "ada", "ada", "bob", "cyn"]).map(lambda name: [name])


def wanted(channel: str, people: Any, *, sizes: list[int], markets: list[str], kinds: list[str]) -> Any:
    return st.builds(
        Wanted,
        channel=st.just(channel),
        people=people.map(tuple),
        market=st.sampled_from(markets),
        kind=st.sampled_from(kinds),
        size=st.sampled_from(sizes),
        agent=agents,
        conversational=st.sampled_from([True, True, True, False]) if channel == "rcs" else st.just(False),
    )


rcs = wanted("rcs", one, sizes=[5, 160, 161], markets=["DE", "DE", "FR", "US"], kinds=["text", "text", "rich_card"])
sms = wanted("sms", one, sizes=[160, 161, 307], markets=["DE", "DE", "DE", "FR"], kinds=["text"])
email = wanted("email", emails, sizes=[5], markets=["DE"], kinds=["text"])
messages = st.one_of(rcs, rcs, rcs, sms, email)
accounts = st.sampled_from([0, 0, 0, 0, 1])
ago = st.sampled_from([0, 0, 0, 1, 3600, DAY - 1, DAY, DAY + 1, 3 * DAY, AHEAD])
sendings = st.builds(Sending, accounts, messages, st.sampled_from(["", "", "", "k1", "k2"]))
reportings = st.builds(
    Reporting,
    accounts,
    st.integers(0, 9),
    st.sampled_from(["delivered", "delivered", "delivered", "failed"]),
    st.sampled_from([None, None, 0, 1, 2]),
    st.sampled_from([None, None, 1, 2, 5]),
    ago,
)
hearings = st.builds(
    Hearing,
    accounts,
    agents,
    st.sampled_from(["ada", "ada", "ada", "bob"]),
    st.integers(1, 30).map(lambda number: f"e{number}"),
    st.sampled_from(["text", "text", "file", "suggested_reply", "suggested_action", "location"]),
    ago,
)
turns = st.sampled_from(["agent", "agent", "user", "user", "agent, told late"])
TEXT = Wanted("rcs", ("ada",), "DE", "text", 5, "shop", conversational=True)
batches = st.lists(st.one_of(sendings, reportings, reportings, hearings), min_size=6, max_size=24)


def draft(wanted: Wanted) -> Draft:
    """What the platform sends."""
    return Draft(
        wanted.channel,  # type: ignore[arg-type]
        to=[address(wanted.channel, each) for each in wanted.people[:1]],
        cc=[address(wanted.channel, each) for each in wanted.people[1:2]],
        bcc=[address(wanted.channel, each) for each in wanted.people[2:]],
        market=wanted.market,
        type=wanted.kind,  # type: ignore[arg-type]
        sender=wanted.agent,
        conversational=wanted.conversational,
        campaign_id=wanted.campaign,
        text=None if wanted.channel == "email" else "x" * wanted.size,
    )


def address(channel: str, person: str) -> str:
    return f"{person}@example.com" if channel == "email" else PHONES[person]
