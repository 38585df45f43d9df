"""Credits: used before money, in their order; what is left when their time is over leaves the wallet, and no more."""

from __future__ import annotations

from datetime import timedelta

from billing_mcp.domain.clock import iso
from billing_mcp.domain.ledger import AVAILABLE, CREDITS
from billing_mcp.domain.money import format_micros
from tests.conftest import Clock
from tests.operations.crediting import DAY, Desk
from tests.store.books import charge, eur, posting
from tests.worker.till import EUR, amounts


async def test_credits_are_spent_before_money_in_the_order_of_priority_expiry_and_age(desk: Desk) -> None:
    await desk.give("1.00", reason="kept")
    await desk.give("1.00", reason="kept longer")
    await desk.give("1.00", reason="later", days=9)
    await desk.give("1.00", reason="soon", days=2)
    await desk.give("1.00", reason="first of all", priority=0)
    order = ["first of all", "soon", "later", "kept", "kept longer"]
    assert list(await desk.seen()) == order

    for number, _ in enumerate(order):
        assert list(await desk.seen()) == order[number:]
        await desk.spend("0.40")
        assert (await desk.seen())[order[number]] == "0.60"
        await desk.spend("0.60")

    assert await desk.seen() == {}
    assert (await desk.wallet(desk.account_id)).available_micros == 10 * EUR


async def test_what_credits_have_paid_is_noted_once_however_often_it_is_settled(desk: Desk) -> None:
    await desk.give("5.00", reason="a")
    await desk.spend("3.00")

    assert await desk.settle() == eur("3.00")
    assert await desk.settle() == 0
    await desk.spend("4.00")
    assert await desk.settle() == eur("2.00")  # the rest was money

    cycle, wallet = await desk.cycle(), await desk.wallet(desk.account_id)
    assert (cycle.credits_used_micros, cycle.credits_seq) == (eur("5.00"), wallet.last_seq)
    assert (await desk.grants())["a"].remaining_micros == 0


async def test_a_credit_pays_nothing_that_was_spent_before_it(desk: Desk) -> None:
    await desk.spend("4.00")
    await desk.give("5.00", reason="a")
    assert await desk.seen() == {"a": "5.00"}
    await desk.spend("1.00")
    await desk.give("5.00", reason="urgent", priority=0)

    assert await desk.seen() == {"urgent": "5.00", "a": "4.00"}
    assert (await desk.cycle()).credits_used_micros == eur("1.00")


async def test_what_is_seen_is_what_is_settled_and_looking_changes_nothing(desk: Desk) -> None:
    await desk.give("5.00", reason="a", days=1)
    await desk.spend("1.25")
    before = await desk.cycle()

    found = await desk.must("credits.list", desk.account_id)

    (item,) = found["items"]
    assert (found["remaining"], found["currency"]) == ("3.75", "EUR")
    assert (item["amount"], item["remaining"], item["expires_at"]) == ("5.00", "3.75", iso(desk.clock() + DAY))
    assert await desk.cycle() == before
    await desk.settle()
    assert await desk.must("credits.list", desk.account_id) == found


async def test_what_a_reversal_gives_back_was_not_spent_and_beyond_that_it_is_money(desk: Desk) -> None:
    back = posting("reversal", ("available", "2.00"), ("revenue", "-2.00"), account_id=desk.account_id)
    await desk.give("5.00", reason="a")
    await desk.spend("3.00")
    await desk.post(back)
    assert await desk.seen() == {"a": "4.00"}

    assert await desk.settle() == eur("1.00")
    await desk.post(back)
    assert await desk.settle() == 0
    assert await desk.seen() == {"a": "4.00"}


async def test_what_is_left_when_its_time_is_over_leaves_the_wallet_once(desk: Desk, clock: Clock) -> None:
    given = await desk.give("5.00", reason="Spring", days=2)
    await desk.give("1.00", reason="kept", priority=9)
    await desk.spend("3.50")
    clock.now += 2 * DAY - timedelta(microseconds=1)
    assert await desk.expire() == 0
    clock.now += timedelta(microseconds=1)

    assert await desk.expire() == eur("1.50")
    assert await desk.expire() == 0

    assert await desk.seen() == {"kept": "1.00"}
    assert (await desk.wallet(desk.account_id)).available_micros == eur("11.00")
    spring = (await desk.grants())["Spring"]
    assert (spring.used_micros, spring.expired_micros, spring.remaining_micros) == (eur("3.50"), eur("1.50"), 0)
    last = (await desk.ledger(desk.account_id))[-1]
    assert (last.type, last.direction, amounts(last)) == (
        "adjustment", "debit", {AVAILABLE: -eur("1.50"), CREDITS: eur("1.50")},
    )  # fmt: skip
    assert last.description == f"Credit {given.transaction_ids[0]} expired: Spring"
    (told,) = await desk.events(desk.account_id, "billing.credit.expired")
    assert told.payload == {
        "credit_id": given.transaction_ids[0],
        "amount": "1.50",
        "remaining": "0.00",
        "currency": "EUR",
        "reason": "Spring",
        "expires_at": iso(clock.now),
    }
    await desk.assert_sound()


async def test_expiry_as_of_an_earlier_moment_leaves_what_was_in_time_then(desk: Desk, clock: Clock) -> None:
    begun = clock.now
    for days in (1, 3):
        await desk.give("1.00", reason=f"{days} days", days=days)
    clock.now += 5 * DAY

    assert await desk.expire(until=begun + 2 * DAY) == eur("1.00")
    assert await desk.seen() == {"3 days": "1.00"}
    assert await desk.expire() == eur("1.00")


async def test_a_worker_that_comes_late_expires_nothing_before_a_period_that_ended_sooner(
    desk: Desk, clock: Clock
) -> None:
    await desk.must("plan.change", desk.account_id, plan_id="smtp_per_mailbox")  # 29.00 a month
    begun = clock.now
    await desk.give("5.00", reason="before the end", days=20)
    await desk.give("40.00", reason="after the end", days=34)
    clock.now += 39 * DAY
    assert await desk.next_expiry() == begun + 20 * DAY

    (invoice,) = await desk.close()
    assert await desk.close() == []

    first, second = [(await desk.grants())[f"{when} the end"] for when in ("before", "after")]
    assert (first.used_micros, first.expired_micros) == (0, eur("5.00"))
    assert (second.used_micros, second.expired_micros) == (eur("29.00"), eur("11.00"))
    assert (invoice.amount_micros, invoice.credits_micros) == (eur("29.00"), eur("29.00"))
    assert [each.type for each in await desk.ledger(desk.account_id)][-3:] == ["adjustment", "charge", "adjustment"]
    assert (await desk.wallet(desk.account_id)).available_micros == 10 * EUR
    assert not await desk.due(clock.now)
    await desk.assert_sound()


async def test_a_calendar_whose_credit_is_all_reserved_is_looked_at_again_the_next_day(
    desk: Desk, clock: Clock
) -> None:
    await desk.give("5.00", days=1)
    await desk.hold("15.00")
    clock.now += DAY

    assert await desk.close() == []

    assert not await desk.due(clock.now + DAY - timedelta(microseconds=1))
    assert await desk.due(clock.now + DAY)


async def test_what_holds_have_reserved_expires_only_once_it_is_released(desk: Desk, clock: Clock) -> None:
    await desk.give("5.00", reason="a", days=1)
    until = clock.now + DAY
    first, second = await desk.hold("11.00"), await desk.hold("3.00")
    assert await desk.next_expiry() == until
    clock.now = until

    assert await desk.next_expiry() == until
    assert await desk.expire() == eur("1.00")  # which is all that is free
    assert await desk.next_expiry() == until + DAY
    assert await desk.expire() == 0
    clock.now += DAY
    assert await desk.next_expiry() == until + 2 * DAY
    await desk.app.holds.capture(desk.account_id, second)  # it was held in time
    assert await desk.seen() == {"a": "1.00"}
    await desk.app.holds.release(desk.account_id, first)
    assert await desk.next_expiry() == until
    assert await desk.expire() == eur("1.00")

    grant = (await desk.grants())["a"]
    assert (grant.used_micros, grant.expired_micros) == (eur("3.00"), eur("2.00"))
    assert (await desk.wallet(desk.account_id)).available_micros == 10 * EUR
    assert await desk.next_expiry() is None
    assert [each.payload["remaining"] for each in await desk.events(desk.account_id, "billing.credit.expired")] == [
        "4.00",
        "0.00",
    ]
    await desk.assert_sound()


async def test_an_expiry_is_due_at_its_time_unless_the_calendar_has_something_sooner(desk: Desk, clock: Clock) -> None:
    await desk.give("1.00", reason="a", days=20)
    await desk.give("1.00", reason="b", days=10)
    await desk.give("1.00", reason="c", days=400)

    assert not await desk.due(clock.now + 10 * DAY - timedelta(microseconds=1))
    assert await desk.due(clock.now + 10 * DAY)
    assert await desk.next_expiry() == clock.now + 10 * DAY


async def test_a_balance_that_an_expiry_lowers_is_told_of_and_reloaded(desk: Desk, clock: Clock) -> None:
    worker = desk.worker()
    await worker.run_once()  # the method
    await desk.give("50.00", days=1)
    await desk.must("alerts.set", desk.account_id, amounts=["20.00"])
    await desk.must("auto_reload.set", desk.account_id, enabled=True, threshold="15.00", amount="30.00")
    await worker.run_once()
    assert await desk.events(desk.account_id, "billing.balance_low") == []
    clock.now += DAY

    await desk.expire()
    await worker.run_once()

    assert len(await desk.events(desk.account_id, "billing.balance_low")) == 1
    assert [each.origin for each in await desk.topups(desk.account_id)] == ["auto_reload"]
    assert (await desk.wallet(desk.account_id)).available_micros == 40 * EUR


async def test_a_charge_of_a_month_is_paid_by_credits_as_any_other(desk: Desk) -> None:
    await desk.give("25.00", reason="a")
    await desk.post(charge("20.50", account_id=desk.account_id))

    assert await desk.seen() == {"a": format_micros(eur("4.50"))}
