"""What the embedded test provider does that hurts, each by the token that is documented for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from billing_mcp.domain.errors import PermissionDenied, Refused, Unavailable
from billing_mcp.domain.payments import Facts
from billing_mcp.payments.embedded import EmbeddedProvider
from billing_mcp.payments.port import Heard, Payment
from billing_mcp.payments.tokens import TOKENS
from billing_mcp.store.store import Store
from tests.conftest import NOW, Clock
from tests.payments.benches import ACCOUNT, AMOUNT, key, order_of

DAY = timedelta(days=1)
PAID = Facts("succeeded", received_micros=AMOUNT)
BEGINS = {
    "tok_visa": PAID,
    "tok_mastercard": PAID,
    "tok_amex": PAID,
    "tok_declined": Facts("failed", failure_code="card_declined"),
    "tok_insufficient_funds": Facts("failed", failure_code="insufficient_funds"),
    "tok_expired": Facts("failed", failure_code="expired_card"),
    "tok_fraudulent": Facts("failed", failure_code="fraudulent"),
    "tok_webhooks_twice": PAID,
    "tok_webhooks_unordered": PAID,
    "tok_dispute_lost": PAID,
    "tok_dispute_won": PAID,
    "tok_sepa": Facts("processing"),
    "tok_sepa_fails": Facts("processing"),
    "tok_sepa_returned": Facts("processing"),
}
LATER: dict[str, list[tuple[timedelta, Facts | None]]] = {
    "tok_authenticate_later": [(timedelta(minutes=1), PAID)],
    "tok_authenticate_fails": [(timedelta(minutes=1), Facts("failed", failure_code="authentication_failed"))],
    "tok_dispute_lost": [(2 * DAY, replace(PAID, withdrawn_micros=AMOUNT)), (9 * DAY, None)],
    "tok_dispute_won": [
        (2 * DAY, replace(PAID, withdrawn_micros=AMOUNT)),
        (9 * DAY, replace(PAID, withdrawn_micros=AMOUNT, reinstated_micros=AMOUNT)),
    ],
    "tok_sepa": [(3 * DAY, PAID)],
    "tok_sepa_fails": [(5 * DAY, Facts("failed", failure_code="insufficient_funds"))],
    "tok_sepa_returned": [(3 * DAY, PAID), (10 * DAY, replace(PAID, withdrawn_micros=AMOUNT))],
}


async def registered(provider: EmbeddedProvider, token: str) -> Payment:
    customer = await provider.create_customer(ACCOUNT, key=key())
    method = await provider.add_method(customer, account_id=ACCOUNT, token=token, key=key())
    order = order_of(customer, str(method.reference), method.type)
    return await provider.create_payment(order, key=key())


async def confirmed(provider: EmbeddedProvider, token: str) -> Payment:
    payment = await registered(provider, token)
    return await provider.confirm_payment(payment.payment_id, key=key())


async def delivered(provider: EmbeddedProvider, now: datetime) -> list[Heard]:
    """All that is due, which is delivered."""
    due = await provider.due_webhooks(now, 100)
    for delivery in due:
        await provider.delivered(delivery)
    return [provider.hear(delivery.body, delivery.headers) for delivery in due]


def types(heard: Sequence[Heard]) -> list[str]:
    return [each.type for each in heard]


@pytest.mark.parametrize("token", BEGINS)
async def test_a_charge_begins_as_its_token_says(provider: EmbeddedProvider, token: str) -> None:
    payment = await confirmed(provider, token)

    assert payment.facts == BEGINS[token]
    assert await provider.payment(payment.payment_id) == payment


@pytest.mark.parametrize("token", LATER)
async def test_a_charge_goes_on_by_itself_at_the_moment_that_is_documented(
    provider: EmbeddedProvider, clock: Clock, token: str
) -> None:
    payment = await confirmed(provider, token)
    known = payment.facts

    for after, facts in LATER[token]:
        clock.now = NOW + after - timedelta(microseconds=1)
        assert (await provider.payment(payment.payment_id)).facts == known
        clock.now = NOW + after
        known = facts or known
        assert (await provider.payment(payment.payment_id)).facts == known

    clock.now = NOW + 1000 * DAY
    assert (await provider.payment(payment.payment_id)).facts == known
    assert types(await delivered(provider, clock()))[-1] != "payment.created"


def test_every_token_is_documented_and_named_as_its_own_key() -> None:
    assert {name: token.token for name, token in TOKENS.items()} == {name: name for name in TOKENS}
    assert all(token.does.endswith(".") for token in TOKENS.values())
    assert {len(token.last4) for token in TOKENS.values()} == {4}
    assert set(BEGINS) | set(LATER) <= set(TOKENS)


@pytest.mark.parametrize(
    ("token", "facts"),
    [
        ("tok_timeout_charged", PAID),
        ("tok_timeout_declined", Facts("failed", failure_code="card_declined")),
        ("tok_timeout_not_charged", Facts("created")),
    ],
)
async def test_a_time_out_tells_nothing_and_the_look_up_tells_all(
    provider: EmbeddedProvider, store: Store, clock: Clock, token: str, facts: Facts
) -> None:
    payment = await registered(provider, token)
    first = key()

    with pytest.raises(Unavailable) as unavailable:
        await provider.confirm_payment(payment.payment_id, key=first)

    assert unavailable.value.code == "provider_unavailable"
    later = await EmbeddedProvider.open(store, clock)  # our process may have died meanwhile
    assert (await later.payment(payment.payment_id)).facts == facts
    again = await later.confirm_payment(payment.payment_id, key=first)
    assert again.facts == (PAID if facts.status == "created" else facts)
    assert types(await delivered(later, clock())).count(f"payment.{again.facts.status}") == 1


async def test_what_the_provider_took_stays_taken_when_our_transaction_rolls_back(
    postgresql: str, clock: Clock
) -> None:
    store = await Store.open(postgresql)
    provider = await EmbeddedProvider.open(store, clock)
    async with store.write(clock()) as ours:
        payment = await confirmed(provider, "tok_visa")
        ours.rollback_only = True

    assert (await provider.payment(payment.payment_id)).facts == PAID
    await store.close()


async def test_the_same_key_has_the_same_answer_and_no_other_request_can_have_it(provider: EmbeddedProvider) -> None:
    customer = await provider.create_customer(ACCOUNT, key="a")
    method = await provider.add_method(customer, account_id=ACCOUNT, token="tok_dispute_lost", key="b")
    order = order_of(customer, str(method.reference))
    payment = await provider.create_payment(order, key="c")
    taken = await provider.confirm_payment(payment.payment_id, key="d")
    refunded = await provider.refund(payment.payment_id, 100, key="e")
    begun = await provider.set_up_method(customer, account_id=ACCOUNT, type_="card", key="f")

    assert await provider.create_customer(ACCOUNT, key="a") == customer
    assert await provider.add_method(customer, account_id=ACCOUNT, token="tok_dispute_lost", key="b") == method
    assert await provider.create_payment(order, key="c") == payment
    assert await provider.confirm_payment(payment.payment_id, key="d") == taken
    assert await provider.refund(payment.payment_id, 100, key="e") == refunded
    assert await provider.set_up_method(customer, account_id=ACCOUNT, type_="card", key="f") == begun
    assert (await provider.payment(payment.payment_id)).facts.refunded_micros == 100
    with pytest.raises(Unavailable) as refused:
        await provider.refund(payment.payment_id, 101, key="e")
    assert refused.value.code == "provider_refused_us"


async def test_many_requests_with_one_key_at_once_happen_once(provider: EmbeddedProvider) -> None:
    payment = await confirmed(provider, "tok_visa")

    asked = [provider.refund(payment.payment_id, 1_000_000, key="once") for _ in range(20)]
    answers = await asyncio.gather(*asked)

    assert {answer.facts.refunded_micros for answer in answers} == {1_000_000}
    assert (await provider.payment(payment.payment_id)).facts.refunded_micros == 1_000_000


async def test_confirmations_under_many_keys_at_once_charge_once(provider: EmbeddedProvider, clock: Clock) -> None:
    payment = await registered(provider, "tok_visa")

    answers = await asyncio.gather(*(provider.confirm_payment(payment.payment_id, key=key()) for _ in range(20)))

    assert {answer.facts for answer in answers} == {PAID}
    assert types(await delivered(provider, clock())) == ["payment.created", "payment.succeeded"]


async def test_no_more_can_be_refunded_than_is_left(provider: EmbeddedProvider, clock: Clock) -> None:
    payment = await confirmed(provider, "tok_dispute_won")
    await provider.refund(payment.payment_id, AMOUNT - 100, key=key())

    for too_much in (101, 0, -1):
        with pytest.raises(Refused) as refused:
            await provider.refund(payment.payment_id, too_much, key=key())
        assert refused.value.code == "not_refundable"

    clock.now += 2 * DAY  # the bank withdraws what is left, and no more
    facts = (await provider.payment(payment.payment_id)).facts
    assert (facts.withdrawn_micros, facts.kept_micros) == (100, 0)


async def test_a_charge_with_a_method_that_is_gone_fails(provider: EmbeddedProvider) -> None:
    customer = await provider.create_customer(ACCOUNT, key=key())
    method = await provider.add_method(customer, account_id=ACCOUNT, token="tok_visa", key=key())
    payment = await provider.create_payment(order_of(customer, str(method.reference)), key=key())
    await provider.detach_method(str(method.reference))

    ended = await provider.confirm_payment(payment.payment_id, key=key())

    assert ended.facts == Facts("failed", failure_code="method_detached")


async def test_a_set_up_completes_by_itself_after_a_minute_and_says_so(
    provider: EmbeddedProvider, clock: Clock
) -> None:
    customer = await provider.create_customer(ACCOUNT, key=key())
    begun = await provider.set_up_method(customer, account_id=ACCOUNT, type_="sepa_debit", key=key())
    clock.now += timedelta(minutes=1)

    (heard,) = await delivered(provider, clock())

    assert (heard.type, heard.account_id, heard.setup_id) == ("set_up.ended", ACCOUNT, begun.setup_id)
    made = await provider.method_of_setup(str(begun.setup_id))
    assert (made.status, made.type, made.last4, made.mandate) == ("active", "sepa_debit", "3000", "active")


async def test_a_set_up_that_the_bank_refuses_has_failed(provider: EmbeddedProvider) -> None:
    customer = await provider.create_customer(ACCOUNT, key=key())
    begun = await provider.set_up_method(customer, account_id=ACCOUNT, type_="card", key=key())

    await provider.complete_set_up(str(begun.setup_id), "tok_attach_declined")
    await provider.complete_set_up(str(begun.setup_id), "tok_visa")

    ended = await provider.method_of_setup(str(begun.setup_id))
    assert (ended.status, ended.reference, ended.failure_code) == ("failed", None, "card_declined")


async def test_only_what_waits_for_its_customer_can_be_authenticated(provider: EmbeddedProvider) -> None:
    payment = await confirmed(provider, "tok_authenticate")
    await provider.authenticate(payment.payment_id, succeeds=False)

    with pytest.raises(Refused):
        await provider.authenticate(payment.payment_id, succeeds=True)
    assert (await provider.payment(payment.payment_id)).facts == Facts("failed", failure_code="authentication_failed")


async def test_each_webhook_is_due_until_it_is_delivered(provider: EmbeddedProvider, clock: Clock) -> None:
    await confirmed(provider, "tok_sepa_returned")
    clock.now += 10 * DAY
    story = ["payment.created", "payment.processing", "payment.succeeded", "payment.returned"]

    assert [len(await provider.due_webhooks(clock(), 2)) for _ in range(2)] == [2, 2]
    assert types(await delivered(provider, clock())) == story
    assert await delivered(provider, clock()) == []


async def test_webhooks_say_what_was_known_when_they_happened(provider: EmbeddedProvider, clock: Clock) -> None:
    payment = await confirmed(provider, "tok_dispute_won")
    clock.now += 9 * DAY

    heard = await delivered(provider, clock())

    withdrawn = replace(PAID, withdrawn_micros=AMOUNT)
    won = replace(withdrawn, reinstated_micros=AMOUNT)
    assert [each.facts for each in heard] == [Facts("created"), PAID, withdrawn, won]
    assert {(each.account_id, each.payment_id) for each in heard} == {(ACCOUNT, payment.payment_id)}
    assert len({each.event_id for each in heard}) == 4


async def test_webhooks_arrive_twice_where_the_token_says_so(provider: EmbeddedProvider, clock: Clock) -> None:
    await confirmed(provider, "tok_webhooks_twice")

    heard = await delivered(provider, clock())

    assert types(heard) == ["payment.created"] * 2 + ["payment.succeeded"] * 2
    assert heard[0::2] == heard[1::2]


async def test_webhooks_arrive_in_the_wrong_order_where_the_token_says_so(
    provider: EmbeddedProvider, clock: Clock
) -> None:
    await confirmed(provider, "tok_webhooks_unordered")
    clock.now += timedelta(minutes=1)

    heard = await delivered(provider, clock())

    assert types(heard) == ["payment.succeeded", "payment.processing", "payment.created"]


async def test_a_webhook_is_good_for_five_minutes_and_for_its_own_provider(
    provider: EmbeddedProvider, store: Store, clock: Clock
) -> None:
    await confirmed(provider, "tok_visa")
    delivery, _ = await provider.due_webhooks(clock(), 2)
    other = EmbeddedProvider(store, clock, "another secret")

    with pytest.raises(PermissionDenied):
        other.hear(delivery.body, delivery.headers)
    for seconds in (-300, 300):
        clock.now = NOW + timedelta(seconds=seconds)
        assert provider.hear(delivery.body, delivery.headers).type == "payment.created"
    for seconds in (-301, 301):
        clock.now = NOW + timedelta(seconds=seconds)
        with pytest.raises(PermissionDenied):
            provider.hear(delivery.body, delivery.headers)


async def test_differences_can_be_planted_and_nobody_is_told(provider: EmbeddedProvider, clock: Clock) -> None:
    known, missing = await confirmed(provider, "tok_visa"), await confirmed(provider, "tok_visa")
    await delivered(provider, clock())
    unknown = Payment("pay_unknown", None, None, 5_000_000, "EUR", NOW, PAID)
    changed = replace(known, facts=replace(PAID, refunded_micros=100))

    await provider.plant(unknown)
    await provider.plant(changed)
    await provider.forget(missing.payment_id)

    listed = {each.payment_id: each async for each in provider.payments(NOW, NOW + DAY)}
    assert listed == {unknown.payment_id: unknown, known.payment_id: changed}
    assert await delivered(provider, clock()) == []
    assert await provider.payment(unknown.payment_id) == unknown


async def test_more_payments_are_listed_than_are_read_at_a_time(
    provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing_mcp.payments.embedded._AT_A_TIME", 2)
    made = [await registered(provider, "tok_visa") for _ in range(5)]

    listed = [each async for each in provider.payments(datetime(2026, 1, 1, tzinfo=UTC), NOW + DAY)]

    assert sorted(p.payment_id for p in listed) == sorted(p.payment_id for p in made)
