"""What every payment provider promises: the embedded one, and Stripe's library before localstripe.

localstripe ignores idempotency keys and skips `processing`: those promises are shown on the test provider alone.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from billing_mcp.domain.errors import InvalidArgument, NotFound, PermissionDenied, Refused
from billing_mcp.domain.payments import Facts
from tests.payments.benches import ACCOUNT, AMOUNT, Bench, added, created, key, order_of

PAID = Facts("succeeded", received_micros=AMOUNT)


async def test_an_added_card_shows_its_brand_its_last_four_digits_and_its_expiry(bench: Bench) -> None:
    _, method = await added(bench, "good")

    assert (method.status, method.type, method.brand, method.last4) == ("active", "card", "visa", "4242")
    assert (method.exp_month, method.exp_year, method.mandate, method.failure_code) == (12, 2034, None, None)


async def test_a_method_that_the_bank_refuses_is_failed_and_says_why(bench: Bench) -> None:
    _, method = await added(bench, "attach_declined")

    assert (method.status, method.reference, method.failure_code) == ("failed", None, "card_declined")


@pytest.mark.parametrize("token", ["pm_unknown", "tok_unknown", "4242424242424242", "pm_/../customers", ""])
async def test_a_token_that_stands_for_nothing_is_a_failed_method(bench: Bench, token: str) -> None:
    customer = await bench.provider.create_customer(ACCOUNT, key=key())

    method = await bench.provider.add_method(customer, account_id=ACCOUNT, token=token, key=key())

    assert (method.status, method.reference) == ("failed", None)


async def test_an_account_to_be_debited_shows_that_its_mandate_is_active(bench: Bench) -> None:
    _, method = await added(bench, "sepa")

    assert (method.status, method.type, method.last4, method.mandate) == ("active", "sepa_debit", "3000", "active")


@pytest.mark.parametrize(("type_", "kind"), [("card", "good"), ("sepa_debit", "sepa")])
async def test_a_set_up_waits_for_the_customer_and_ends_in_a_method(bench: Bench, type_: str, kind: str) -> None:
    customer = await bench.provider.create_customer(ACCOUNT, key=key())
    begun = await bench.provider.set_up_method(customer, account_id=ACCOUNT, type_=type_, key=key())  # type: ignore[arg-type]
    assert begun.setup_id is not None
    assert begun.setup_url is not None
    assert begun.setup_url.startswith("https://")
    assert await bench.provider.method_of_setup(begun.setup_id) == begun
    assert (begun.status, begun.type, begun.reference) == ("requires_action", type_, None)

    await bench.complete_set_up(begun.setup_id, kind)  # type: ignore[arg-type]

    made = await bench.provider.method_of_setup(begun.setup_id)
    assert (made.status, made.type, made.setup_id, made.setup_url) == ("active", type_, begun.setup_id, None)
    assert made.mandate == ("active" if type_ == "sepa_debit" else None)
    order = order_of(customer, str(made.reference), made.type)
    payment = await bench.provider.create_payment(order, key=key())
    await bench.provider.confirm_payment(payment.payment_id, key=key())
    await bench.settle()
    assert (await bench.provider.payment(payment.payment_id)).facts == PAID


async def test_a_payment_that_is_registered_has_moved_nothing_and_says_whose_it_is(bench: Bench) -> None:
    customer, method = await added(bench, "good")
    order = order_of(customer, str(method.reference))

    payment = await bench.provider.create_payment(order, key=key())

    assert payment.facts == Facts("created")
    assert (payment.account_id, payment.topup_id) == (ACCOUNT, order.topup_id)
    assert (payment.amount_micros, payment.currency) == (AMOUNT, "EUR")
    assert await bench.provider.payment(payment.payment_id) == payment


async def test_a_confirmed_payment_has_moved_all_of_its_amount(bench: Bench) -> None:
    payment = await created(bench, "good")

    confirmed = await bench.provider.confirm_payment(payment.payment_id, key=key())

    assert confirmed.facts == PAID
    assert await bench.provider.payment(payment.payment_id) == confirmed


async def test_a_payment_moves_once_however_often_it_is_confirmed(bench: Bench) -> None:
    payment = await created(bench, "good")
    first = key()

    again = [await bench.provider.confirm_payment(payment.payment_id, key=k) for k in (first, first, key(), key())]

    assert [each.facts for each in again] == [PAID] * 4
    listed = [p async for p in bench.provider.payments(payment.created_at, payment.created_at + timedelta(seconds=60))]
    assert [each.facts for each in listed] == [PAID]


async def test_a_declined_payment_has_failed_for_good_and_says_why(bench: Bench) -> None:
    payment = await created(bench, "declined")

    declined = await bench.provider.confirm_payment(payment.payment_id, key=key())

    assert declined.facts == Facts("failed", failure_code="card_declined")
    assert (await bench.provider.confirm_payment(payment.payment_id, key=key())).facts == declined.facts
    assert (await bench.provider.payment(payment.payment_id)).facts == declined.facts


@pytest.mark.parametrize("succeeds", [True, False])
async def test_a_payment_that_has_to_be_authenticated_waits_for_its_customer(bench: Bench, succeeds: bool) -> None:
    payment = await created(bench, "authenticate")

    waiting = await bench.provider.confirm_payment(payment.payment_id, key=key())

    assert waiting.facts.status == "requires_action"
    assert waiting.facts.received_micros == 0
    assert (waiting.facts.action_url or "").startswith("https://")
    assert (await bench.provider.payment(payment.payment_id)).facts == waiting.facts

    await bench.authenticate(payment, succeeds=succeeds)

    ended = (await bench.provider.payment(payment.payment_id)).facts
    assert (ended.status, ended.received_micros) == (("succeeded", AMOUNT) if succeeds else ("failed", 0))
    assert (ended.failure_code is None, ended.action_url) == (succeeds, None)


async def test_what_is_refunded_adds_up(bench: Bench) -> None:
    payment = await created(bench, "good")
    await bench.provider.confirm_payment(payment.payment_id, key=key())

    first = await bench.provider.refund(payment.payment_id, 2_000_000, key=key())
    second = await bench.provider.refund(payment.payment_id, 500_000, key=key())

    assert first.facts == Facts("succeeded", received_micros=AMOUNT, refunded_micros=2_000_000)
    assert second.facts == Facts("succeeded", received_micros=AMOUNT, refunded_micros=2_500_000)
    assert await bench.provider.payment(payment.payment_id) == second


async def test_a_payment_that_failed_cannot_be_refunded(bench: Bench) -> None:
    payment = await created(bench, "declined")
    await bench.provider.confirm_payment(payment.payment_id, key=key())

    with pytest.raises(Refused) as refused:
        await bench.provider.refund(payment.payment_id, 1_000_000, key=key())
    assert refused.value.code == "not_refundable"


async def test_payments_are_listed_by_when_they_were_created(bench: Bench) -> None:
    payments = [await created(bench, "good", amount_micros=(n + 1) * 10_000) for n in range(3)]
    await bench.provider.confirm_payment(payments[1].payment_id, key=key())
    await bench.provider.refund(payments[1].payment_id, 10_000, key=key())
    first, last = payments[0].created_at, payments[-1].created_at
    second = timedelta(seconds=1)

    listed = {p.payment_id: p async for p in bench.provider.payments(first, last + second)}

    assert listed == {p.payment_id: await bench.provider.payment(p.payment_id) for p in payments}
    assert {p.facts.refunded_micros for p in listed.values()} == {0, 10_000}
    assert [p async for p in bench.provider.payments(first - second, first)] == []
    assert [p async for p in bench.provider.payments(last + second, last + 2 * second)] == []


async def test_what_the_provider_does_not_know_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.provider.payment("pi_unknown")
    with pytest.raises(NotFound):
        await bench.provider.method_of_setup("cs_unknown")
    with pytest.raises(NotFound):
        await bench.provider.confirm_payment("pi_unknown", key=key())
    with pytest.raises(NotFound):
        await bench.provider.refund("pi_unknown", 10_000, key=key())


async def test_a_method_is_detached_however_often_that_is_asked(bench: Bench) -> None:
    _, method = await added(bench, "good")

    for reference in (str(method.reference), str(method.reference), "pm_unknown"):
        await bench.provider.detach_method(reference)


async def test_a_payment_with_a_method_that_is_not_there_is_refused(bench: Bench) -> None:
    customer = await bench.provider.create_customer(ACCOUNT, key=key())

    with pytest.raises(Refused) as refused:
        await bench.provider.create_payment(order_of(customer, "pm_unknown"), key=key())
    assert refused.value.code == "payment_refused"


@pytest.mark.parametrize(
    ("kind", "facts"), [("good", PAID), ("declined", Facts("failed", failure_code="card_declined"))]
)
async def test_a_webhook_says_what_became_of_a_payment(bench: Bench, kind: str, facts: Facts) -> None:
    payment = await created(bench, kind)  # type: ignore[arg-type]
    await bench.provider.confirm_payment(payment.payment_id, key=key())

    async for body, headers in bench.webhooks():
        heard = bench.provider.hear(body, headers)
        if heard.payment_id == payment.payment_id and heard.facts and heard.facts.status == facts.status:
            break

    assert (heard.account_id, heard.payment_id, heard.facts) == (ACCOUNT, payment.payment_id, facts)
    assert bench.provider.hear(body, {name.upper(): value for name, value in headers.items()}) == heard


async def test_a_webhook_that_was_changed_or_not_signed_is_refused(bench: Bench) -> None:
    payment = await created(bench, "good")
    await bench.provider.confirm_payment(payment.payment_id, key=key())
    body, headers = await anext(bench.webhooks())

    for forged, signed in ((body + b" ", headers), (body, {}), (b"", {}), (b"{}", {}), (b"\xff", headers)):
        with pytest.raises((PermissionDenied, InvalidArgument)) as refused:
            bench.provider.hear(forged, signed)
        assert refused.value.code == "invalid_signature" or forged == b"\xff"
