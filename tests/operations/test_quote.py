"""billing.messages.quote: what a message costs, before it is sent, is what it costs when it is sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing_mcp.domain.errors import InvalidArgument, NotFound
from billing_mcp.domain.messages import Message
from billing_mcp.domain.money import format_micros
from billing_mcp.operations.drafts import Draft
from tests.operations.platform import AGENT, PHONE, Platform
from tests.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

PHONES = ("+4915112345678", "+4915112345679", "+4915112345670")
MARKETS = ("DE", "US", "FR", "AT", "JP", "*")
TEXTS = st.text("abc^€中😀 ", max_size=400)
SUGGESTIONS = st.lists(st.sampled_from(["reply", "dial", "open_url", "share_location"]), max_size=3, unique=True)
SMS = st.one_of(
    st.fixed_dictionaries({"text": TEXTS}), st.fixed_dictionaries({"segments": st.sampled_from([1, 2, 200, 255])})
).flatmap(
    lambda parts: st.fixed_dictionaries(
        {"channel": st.just("sms"), "market": st.sampled_from(MARKETS), "recipient": st.sampled_from(PHONES)}
    ).map(lambda draft: draft | parts)
)
EMAIL = st.fixed_dictionaries({"channel": st.just("email"), "recipients": st.sampled_from([1, 2, 7, 1000])})
RCS = st.fixed_dictionaries(
    {
        "channel": st.just("rcs"),
        "market": st.sampled_from(MARKETS),
        "recipient": st.sampled_from(PHONES),
        "type": st.sampled_from(["text", "text", "rich_card", "carousel", "media"]),
        "text_bytes": st.sampled_from([0, 1, 160, 161, 320, 321]),
        "suggestions": SUGGESTIONS,
        "conversational": st.booleans(),
        "sender": st.just(AGENT),
    }
)
AFTERWARDS = st.sampled_from(["waits", "delivered", "failed", "answered", "a day later"])
STEPS = st.lists(st.tuples(st.one_of(SMS, EMAIL, RCS), AFTERWARDS), min_size=1, max_size=8)


@pytest.fixture
def world(lasting_world: World) -> World:
    """One for all of these tests: each is about accounts of its own."""
    return lasting_world


def draft_of(asked: dict[str, Any]) -> Draft:
    """The message that was asked about, as the platform sends it."""
    facts = dict(asked)
    recipients, recipient = facts.pop("recipients", 1), facts.pop("recipient", None)
    to = [recipient] if recipient else [f"user{number}@example.com" for number in range(recipients)]
    return Draft(to=to, **facts)


def billed(message: Message) -> dict[str, Any]:
    """What a message was accepted at."""
    charge = message.billing
    return {
        "channel": message.channel,
        "unit": charge.unit,
        "quantity": charge.quantity,
        "unit_price": format_micros(charge.unit_price_micros),
        "amount": format_micros(charge.amount_micros),
        "active_user": format_micros(message.mau_micros),
        "hold": format_micros(message.hold_micros),
        "tier": message.tier,
        "market": message.market,
        "expected": message.expected,
        "rule_id": charge.rule_id,
        "catalog_version": message.catalog_version,
    }


@settings(max_examples=30, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
async def test_a_quote_is_what_the_message_is_then_accepted_at(world: World, steps: list[tuple[Any, str]]) -> None:
    platform = await Platform.of(world, funds="100000.00")
    for number, (asked, afterwards) in enumerate(steps):
        if asked["channel"] == "email" and asked["recipients"] == 1:
            asked |= {"recipient": "user0@example.com"}
        quote = await platform.ask("messages.quote", **asked)
        message = await platform.send(draft_of(asked))

        expected = billed(message)
        assert {name: quote[name] for name in expected} == expected
        assert quote["covered"]

        if afterwards in ("delivered", "answered", "failed"):
            await platform.report(message, "failed" if afterwards == "failed" else "delivered")
        if afterwards == "answered" and asked.get("sender"):
            await platform.hear(user=asked["recipient"], event_id=f"e{number}")
        platform.later(hours=24 if afterwards == "a day later" else 1)


async def test_a_quote_says_the_rule_and_the_arithmetic_and_changes_nothing(world: World) -> None:
    platform = await Platform.of(world, funds="0.10")
    before = await world.snapshot(platform.account_id)

    quote = await platform.ask("messages.quote", channel="sms", market="DE", text="x" * 161)

    assert quote["why"] == "GSM-7: 160 septets in one part, else 153 in each; 2 segment x 0.075 = 0.15 EUR"
    assert (quote["tier"], quote["tier_source"], quote["currency"]) == ("standard", "previous_month", "EUR")
    assert (quote["free"], quote["hold"], quote["covered"]) == ("0.10", "0.15", False)
    assert await world.snapshot(platform.account_id) == before


async def test_what_is_free_covers_a_hold_to_the_micro(world: World) -> None:
    platform = await Platform.of(world, funds="0.15")

    assert (await platform.ask("messages.quote", channel="sms", market="DE", segments=2))["covered"]
    assert not (await platform.ask("messages.quote", channel="sms", market="DE", segments=3))["covered"]


async def test_a_quote_looks_into_the_conversation(world: World) -> None:
    platform = await Platform.of(world)
    asked = {"channel": "rcs", "market": "DE", "text": "Hello", "conversational": True, "sender": AGENT}
    alone = await platform.ask("messages.quote", **asked, recipient=PHONE)
    await platform.hear()
    opening = await platform.ask("messages.quote", **asked, recipient=PHONE)
    await platform.delivered(await platform.chat())
    covered = await platform.ask("messages.quote", **asked, recipient="0049 151 123 456 78")
    stranger = await platform.ask("messages.quote", **asked)

    assert [each["expected"] for each in (alone, opening, covered, stranger)] == [
        "alone", "p2a_conversation", "covered", "alone",
    ]  # fmt: skip
    assert [each["hold"] for each in (alone, opening, covered, stranger)] == ["0.07", "0.09", "0.00", "0.07"]
    assert opening["why"].startswith("the user wrote first and is answered within 24 hours")


async def test_a_recipient_who_was_active_this_month_is_held_for_no_more(world: World) -> None:
    platform = await Platform.of(world)
    asked = {"channel": "rcs", "market": "DE", "text": "Hello"}
    await platform.delivered(await platform.send(Draft("rcs", to=[PHONE], market="DE", text="Hello")))

    known = await platform.ask("messages.quote", **asked, recipient=PHONE)
    unknown = await platform.ask("messages.quote", **asked)

    assert (known["active_user"], unknown["active_user"]) == ("0.00", "0.01")


async def test_the_tier_of_a_quote_is_that_of_today_s_plan(world: World) -> None:
    platform = await Platform.of(world, plan="smtp_per_proxy")
    await world.must(f"billing.plan.change(account_id={platform.account_id!r}, plan_id='smtp_per_mailbox', "
                     "effective_date='2026-03-20')")  # fmt: skip

    today = await platform.ask("messages.quote", channel="email", recipients=10)
    platform.later(days=8)
    then = await platform.ask("messages.quote", channel="email", recipients=10)

    assert (today["tier"], today["tier_source"], today["amount"]) == ("growth", "plan", "0.0075")
    assert (then["tier"], then["tier_source"], then["amount"]) == ("standard", "previous_month", "0.009")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"channel": "sms"}, "text"),
        ({"channel": "sms", "text": "x", "segments": 1}, "text"),
        ({"channel": "sms", "segments": 0}, "segments"),
        ({"channel": "sms", "segments": 256}, "segments"),
        ({"channel": "sms", "text": "x", "recipients": 2}, "recipients"),
        ({"channel": "email", "recipients": 2, "recipient": "ada@example.com"}, "recipients"),
        ({"channel": "email", "recipient": "ada"}, "recipient"),
        ({"channel": "sms", "text": "x", "recipient": "ada@example.com"}, "recipient"),
        ({"channel": "rcs", "text": "x", "suggestions": ["reply", "sing"]}, "suggestions"),
        ({"channel": "rcs", "text": "x", "suggestions": "reply"}, "suggestions"),
        ({"channel": "rcs"}, "text"),
        ({"channel": "rcs", "text": "x", "type": "email"}, "type"),
        ({"channel": "rcs", "text": "x", "sender": "a\nb"}, "sender"),
        ({"channel": "fax", "text": "x"}, "channel"),
        ({"channel": "sms", "text": "x", "market": "de"}, "market"),
        ({"channel": "sms", "text": "x", "market": "DEU"}, "market"),
    ],
)
async def test_what_no_message_is_like_is_refused_by_its_field(
    world: World, arguments: dict[str, Any], field: str
) -> None:
    platform = await Platform.of(world)

    with pytest.raises(InvalidArgument) as caught:
        await platform.ask("messages.quote", **arguments)

    assert (caught.value.code, caught.value.field) == ("invalid_argument", field)


async def test_what_the_catalog_does_not_sell_is_not_priced(world: World) -> None:
    platform = await Platform.of(world)
    world.clock.now = world.clock.now.replace(year=2019)

    with pytest.raises(InvalidArgument) as caught:
        await platform.ask("messages.quote", channel="sms", text="x")

    assert caught.value.code == "not_priced"


async def test_nobody_s_account_has_no_quote(world: World) -> None:
    nobody = Platform(world, "0190c0de-0000-7000-8000-0000000000ff")

    with pytest.raises(NotFound):
        await nobody.ask("messages.quote", channel="sms", text="x")
