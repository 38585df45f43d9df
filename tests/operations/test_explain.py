"""billing.charges.explain: every transaction leads to what it was for, and to the same amount, computed again."""

from __future__ import annotations

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing_mcp.domain.errors import InsufficientFunds, InvalidArgument, NotFound, Refused
from tests.operations.platform import Platform, talked_with
from tests.store.books import eur
from tests.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY = "0190c0de-0000-7000-8000-0000000000ff"


@pytest.fixture
def world(lasting_world: World) -> World:
    """One for all of these tests: each is about accounts of its own."""
    return lasting_world


@pytest_asyncio.fixture(loop_scope="module")
async def talked(world: World) -> Platform:
    return await talked_with(world)


async def test_a_charge_leads_to_its_message_receipt_rule_price_and_arithmetic(world: World) -> None:
    platform = await Platform.of(world)
    message = await platform.sms(3, market="FR")
    world.clock.now = world.clock.now.replace(hour=11)
    await platform.delivered(message)

    found = (await platform.explained_as("message"))[0]

    assert (found["amount"], found["recomputed"], found["matches"], found["sealed"]) == ("0.186", "0.186", True, True)
    assert (found["type"], found["direction"], found["problems"], found["currency"]) == ("charge", "debit", [], "EUR")
    told = found["message"]
    assert told == {
        "message_id": message.message_id,
        "reference": "",
        "channel": "sms",
        "message_type": "text",
        "market": "FR",
        "status": "delivered",
        "accepted_at": "2026-03-12T10:00:00Z",
        "delivered_at": "2026-03-12T11:00:00Z",
        "segments": None,
        "rule_id": "sms.given",
        "catalog_version": "2020-01",
        "tier": "standard",
        "unit": "segment",
        "quantity": 3,
        "unit_price": "0.062",
        "place": "alone",
        "window": None,
        "charged": "0.186",
        "due": "0.186",
    }
    (line,) = found["lines"]
    assert (line["quantity"], line["unit_price"], line["amount"], line["recomputed"]) == (
        "3",
        "0.062",
        "0.186",
        "0.186",
    )
    assert line["why"] == "3 segment x 0.062 = 0.186"
    received = "accepted at 2026-03-12T10:00:00Z, delivered at 2026-03-12T11:00:00Z"
    assert found["steps"] == [
        "2026-03-12T11:00:00Z: charge, sms text, segment, FR, tier standard.",
        f"Message {message.message_id}: sms text to FR, {received}.",
        "Rule sms.given: as many parts as were reported.",
        "Catalog version 2020-01, tier standard, market FR: 0.062 for each segment.",
        "sms text, segment, FR, tier standard: 3 segment x 0.062 = 0.186.",
        "Of the message 0.186 is charged by now, and 0.186 due.",
        "Computed again it is 0.186 EUR, as it was posted.",
    ]


async def test_a_conversation_is_explained_by_its_window(talked: Platform) -> None:
    alone, taken_back, conversation = await talked.explained_as("message")

    assert [each["amount"] for each in (alone, taken_back, conversation)] == ["0.06", "0.06", "0.10"]
    assert [each["type"] for each in (alone, taken_back, conversation)] == ["charge", "reversal", "charge"]
    assert taken_back["lines"][0]["why"] == "-1 basic x 0.06 = -0.06"
    for each in (alone, taken_back, conversation):
        assert (each["matches"], each["message"]["place"]) == (True, "a2p_conversation")
        assert each["message"]["window"] == {
            "opened_at": "2026-03-12T12:01:00Z",
            "open_until": "2026-03-13T12:01:00Z",
        }
        assert (each["message"]["charged"], each["message"]["due"]) == ("0.10", "0.10")
    assert any("from 2026-03-12T12:01:00Z until 2026-03-13T12:01:00Z" in step for step in conversation["steps"])


async def test_an_answer_to_a_user_is_explained_by_the_window_that_it_opened(world: World) -> None:
    platform = await Platform.of(world)
    await platform.hear()
    platform.later(hours=1)
    await platform.delivered(await platform.chat())

    found = (await platform.explained_as("message"))[0]

    assert (found["matches"], found["message"]["place"], found["amount"]) == (True, "p2a_conversation", "0.08")
    assert found["message"]["window"]["opened_at"] == "2026-03-12T11:00:00Z"


async def test_the_provider_s_count_is_told_and_what_it_added(world: World) -> None:
    platform = await Platform.of(world)
    message = await platform.sms(2)
    await platform.delivered(message)
    await platform.delivered(message, segments=5)

    first, more = await platform.explained_as("message")

    assert [(each["amount"], each["matches"]) for each in (first, more)] == [("0.15", True), ("0.225", True)]
    assert (more["lines"][0]["why"], more["message"]["segments"]) == ("3 segment x 0.075 = 0.225", 5)
    assert "The provider counted 5 segments: rule sms.provider_count takes its count." in more["steps"]


async def test_each_recipient_s_receipt_is_a_step_of_an_email(world: World) -> None:
    platform = await Platform.of(world)
    message = await platform.emails(3)
    await platform.report(message, recipient="u0@example.com")
    await platform.report(message)

    one, both = await platform.explained_as("message")

    assert [(each["amount"], each["matches"]) for each in (one, both)] == [("0.0009", True), ("0.0018", True)]
    assert (both["message"]["charged"], both["message"]["due"]) == ("0.0027", "0.0027")


async def test_an_active_user_is_explained_by_the_band_of_its_number(world: World) -> None:
    platform = await Platform.of(world)
    for number in range(2):
        await platform.delivered(await platform.chat(to=f"+491511234567{number}"))

    found = (await platform.explained_as("active_user"))[1]

    assert (found["amount"], found["matches"]) == ("0.01", True)
    (line,) = found["lines"]
    assert line["why"] == (
        "the recipient's first billable event of 2026-03 makes active user 2: 1 x 0.01 by catalog version 2020-01"
    )


async def test_a_hold_says_what_it_waits_for_and_a_release_what_was_left(world: World) -> None:
    platform = await Platform.of(world)
    message = await platform.sms(3)

    held = (await platform.explained_as("hold"))[0]
    assert held["message"]["message_id"] == message.message_id
    assert (held["amount"], held["recomputed"], held["matches"]) == ("0.225", "0.225", True)
    assert any(f"until a receipt of message {message.message_id}" in step for step in held["steps"])
    assert (held["hold"]["status"], held["message"]["delivered_at"], held["message"]["due"]) == ("open", None, "0.00")

    await platform.delivered(message, segments=1)
    given_back = (await platform.explained_as("release"))[0]
    assert (given_back["amount"], given_back["recomputed"], given_back["matches"]) == ("0.15", "0.15", True)
    assert any("0.225 was held, 0.075 charged, and 0.15 left to give back" in step for step in given_back["steps"])


async def test_what_a_message_cannot_pay_is_explained_as_owed(world: World) -> None:
    platform = await Platform.of(world, funds="0.10")
    await platform.delivered(await platform.sms(1), segments=3)

    found = (await platform.explained_as("message"))[0]

    assert (found["amount"], found["recomputed"], found["matches"]) == ("0.10", "0.10", True)
    assert [(line["amount"], line["recomputed"]) for line in found["lines"]] == [
        ("0.225", "0.225"),
        ("-0.125", "-0.125"),
    ]


async def test_a_hold_of_the_platform_and_what_it_charged_are_explained(world: World) -> None:
    platform = await Platform.of(world, funds="10.00")
    holds = world.app.holds
    placed = await holds.place(platform.account_id, eur("4.00"), reference="campaign 47")
    assert placed.hold is not None
    await holds.capture(platform.account_id, placed.hold.hold_id, eur("9.00"))
    placed = await holds.place(platform.account_id, eur("1.00"), reference=NOBODY)
    assert placed.hold is not None
    await holds.release(platform.account_id, placed.hold.hold_id)

    found = await platform.explained()

    assert [(each["kind"], each["amount"], each["matches"]) for each in found] == [
        ("topup", "10.00", True),
        ("hold", "4.00", True),
        ("capture", "9.00", True),
        ("hold", "1.00", True),
        ("release", "1.00", True),
    ]
    assert all(each["message"] is None for each in found)
    assert any("for campaign 47, and named no unit or price" in step for step in found[2]["steps"])


async def test_money_that_came_in_says_from_where(world: World) -> None:
    platform = await Platform.of(world, funds="10.00")
    account_id = platform.account_id
    await world.app.holds.place(account_id, eur("1.00"))

    topup = (await platform.explained_as("topup"))[0]

    assert (topup["amount"], topup["matches"]) == ("10.00", True)
    assert "10.00 EUR went out of cash:test." in topup["steps"]


async def test_plan_charges_are_computed_again_from_days_and_prices(world: World) -> None:
    platform = await Platform.of(world, plan="smtp_per_mailbox", mailbox=33, proxy=2)
    world.clock.now = world.clock.now.replace(day=25)
    await world.must(f"billing.plan.change(account_id={platform.account_id!r}, plan_id='smtp_per_proxy')")
    world.clock.now = world.clock.now.replace(month=4, day=14)
    await world.close_period(platform.account_id)

    first, second = await platform.explained_as("plan")

    assert (first["matches"], second["matches"]) == (True, True)
    assert first["lines"][0]["why"] == "1 month x 29.00 a month, 13 of the 31 days from 2026-03-12 = 12.16129"
    assert [line["source"] for line in second["lines"]] == ["plan", "component_count", "adjustment"]


async def test_what_a_plan_left_unpaid_is_explained(world: World) -> None:
    platform = await Platform.of(world, funds="5.00", plan="smtp_per_proxy")
    world.clock.now = world.clock.now.replace(day=30)
    await world.must(f"billing.plan.cancel(account_id={platform.account_id!r}, cancel_immediately=True)")

    found = (await platform.explained_as("plan"))[0]

    assert (found["amount"], found["recomputed"], found["matches"]) == ("5.00", "5.00", True)


SENDING = st.lists(
    st.tuples(
        st.sampled_from(["sms", "emails", "chat"]),
        st.integers(1, 4),
        st.sampled_from(["waits", "delivered", "failed", "one part", "answered", "paid late"]),
    ),
    min_size=1,
    max_size=7,
)


@settings(max_examples=15, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(sends=SENDING, funds=st.sampled_from(["0.40", "100.00"]))
async def test_whatever_happened_every_transaction_is_explained_to_its_amount(
    world: World, sends: list[tuple[str, int, str]], funds: str
) -> None:
    platform = await Platform.of(world, funds=funds)
    for number, (what, count, then) in enumerate(sends):
        try:
            message = await (platform.chat() if what == "chat" else getattr(platform, what)(count))
        except (InsufficientFunds, Refused):  # nothing is left, or something is owed
            continue
        if then == "answered":
            await platform.hear(event_id=f"e{number}")
        if then != "waits":
            options = {"segments": 1} if then == "one part" else {}
            await platform.report(message, "failed" if then in ("failed", "paid late") else "delivered", **options)
        if then == "paid late":
            await platform.report(message, segments=9)
        platform.later(hours=7)

    for each in await platform.explained():
        assert (each["matches"], each["sealed"]) == (True, True), each
        assert each["recomputed"] == each["amount"]
        assert "as it was posted" in each["steps"][-1]


async def test_a_transaction_of_another_account_is_not_found(talked: Platform) -> None:
    other = await Platform.of(talked.world)
    mine = (await talked.charges())[0]["transaction_id"]

    with pytest.raises(NotFound) as caught:
        await other.ask("charges.explain", transaction_id=mine)

    assert caught.value.field == "transaction_id"


async def test_what_is_no_transaction_id_is_refused_with_where_to_find_one(world: World) -> None:
    platform = await Platform.of(world)

    with pytest.raises(InvalidArgument) as caught:
        await platform.ask("charges.explain", transaction_id="the last one")

    assert caught.value.hint == "Write transaction_id=item['transaction_id']."


async def test_an_agent_explains_the_largest_charge_in_a_script(talked: Platform) -> None:
    script = f"""
account_id = {talked.account_id!r}
page = billing.transactions.list(account_id=account_id)
charges = [item for item in page["items"] if item["type"] == "charge"]
largest = max(charges, key=lambda item: float(item["amount"]))
why = billing.charges.explain(account_id=account_id, transaction_id=largest["transaction_id"])
print("\\n".join(why["steps"]))
[why["amount"], why["matches"], why["message"]["place"]]
"""
    assert await talked.world.must(script) == ["0.10", True, "a2p_conversation"]
