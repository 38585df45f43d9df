"""billing.topups.*: a charge after the commit, the wallet credited once, and all that can go wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing_mcp.domain.errors import NotFound, Refused
from billing_mcp.domain.events import Event
from billing_mcp.kernel.principal import Permission, Principal
from billing_mcp.operations.platform import open_account
from billing_mcp.payments.tokens import TOKENS
from tests.operations.paying import Customer, cents
from tests.world import World

VIEWER = Principal("viewer", frozenset({Permission.VIEW}))
AGES = timedelta(days=30)


@dataclass(frozen=True)
class Path:
    """What a top-up with a token is answered, and what has become of it when everything has happened."""

    answered: str
    ends: str
    code: str | None = None
    free: str = "0.00"


PATHS = {
    "tok_visa": Path("succeeded", "succeeded", free="50.00"),
    "tok_mastercard": Path("succeeded", "succeeded", free="50.00"),
    "tok_amex": Path("succeeded", "succeeded", free="50.00"),
    "tok_declined": Path("failed", "failed", "card_declined"),
    "tok_insufficient_funds": Path("failed", "failed", "insufficient_funds"),
    "tok_expired": Path("failed", "failed", "expired_card"),
    "tok_fraudulent": Path("failed", "failed", "fraudulent"),
    "tok_authenticate": Path("requires_action", "failed", "not_authenticated"),
    "tok_authenticate_later": Path("requires_action", "succeeded", free="50.00"),
    "tok_authenticate_fails": Path("requires_action", "failed", "authentication_failed"),
    "tok_timeout_charged": Path("unknown", "succeeded", free="50.00"),
    "tok_timeout_declined": Path("unknown", "failed", "card_declined"),
    "tok_timeout_not_charged": Path("unknown", "succeeded", free="50.00"),
    "tok_webhooks_twice": Path("succeeded", "succeeded", free="50.00"),
    "tok_webhooks_unordered": Path("succeeded", "succeeded", free="50.00"),
    "tok_dispute_lost": Path("succeeded", "reversed"),
    "tok_dispute_won": Path("succeeded", "succeeded", free="50.00"),
    "tok_sepa": Path("processing", "succeeded", free="50.00"),
    "tok_sepa_fails": Path("processing", "failed", "insufficient_funds"),
    "tok_sepa_returned": Path("processing", "reversed"),
}


def test_every_token_that_can_be_added_has_its_path_here() -> None:
    assert PATHS.keys() == {name for name, token in TOKENS.items() if token.refused is None}


@pytest.mark.parametrize("token", list(PATHS))
async def test_a_top_up_goes_the_way_of_its_token_and_the_wallet_follows(customer: Customer, token: str) -> None:
    path = PATHS[token]
    await customer.add(token)

    answered = await customer.top_up("50.00")
    credited = await customer.free()
    for _ in range(4):
        await customer.pass_time(days=AGES.days / 4)
    ended = await customer.ask("topups.get", topup_id=answered["topup_id"])

    assert answered["status"] == path.answered
    assert credited == Decimal("50.00" if path.answered == "succeeded" else 0)
    assert (ended["status"], ended["failure_code"]) == (path.ends, path.code)
    assert await customer.free() == Decimal(path.free)
    assert (await customer.charged() == [cents(ended["total"])]) == (path.ends in ("succeeded", "reversed"))
    await customer.assert_sound()


async def test_the_wallet_gets_the_amount_and_the_customer_pays_the_tax_on_top(payer: Customer) -> None:
    topup = await payer.top_up("50.00")

    assert (topup["amount"], topup["currency"], topup["origin"]) == ("50.00", "EUR", "manual")
    assert Decimal(topup["total"]) == Decimal(topup["amount"]) + Decimal(topup["tax"])
    assert await payer.charged() == [cents(topup["total"])]
    (item,) = (await payer.ask("transactions.list"))["items"]
    assert (item["type"], item["amount"], item["transaction_id"]) == ("topup", "50.00", topup["transaction_id"])


async def test_a_script_sees_a_top_up_as_pending_and_the_followup_says_what_came_of_it(payer: Customer) -> None:
    script = f"""
topup = billing.topups.create(account_id={payer.account_id!r}, amount=50)
[topup['status'], billing.balance.get(account_id={payer.account_id!r})['free']]
"""
    answer = await payer.world.run(script)

    assert answer.result == ["pending", "0.00"]
    (payment,) = answer.effects.payments
    assert (payment.method, payment.credit, answer.effects.wallets) == ("visa 4242", "50.00", [])
    (followup,) = answer.followups
    assert followup["topup"]["status"] == "succeeded"
    assert await payer.free() == Decimal("50.00")


async def test_two_top_ups_of_one_script_are_two_charges_and_two_followups(payer: Customer) -> None:
    create = f"billing.topups.create(account_id={payer.account_id!r}, amount='50.00')['topup_id']"

    answer = await payer.world.run(f"[{create}, {create}]")

    assert [each["topup"]["topup_id"] for each in answer.followups] == answer.result
    assert len(await payer.charged()) == 2
    assert await payer.free() == Decimal("100.00")


@pytest.mark.parametrize("amount", ["50.00", "50", 50, 50.5, 50.0, "10.00", 10, "100000.00"])
async def test_an_amount_is_text_or_a_number_in_whole_cents(payer: Customer, amount: Any) -> None:
    previewed = await payer.must("topups.create", amount=amount, preview=True)

    assert Decimal(previewed.result["amount"]) == Decimal(str(amount))


@pytest.mark.parametrize(
    "amount",
    [
        *("9.99", 9.99, "10.001", 10.001, "100000.01", 100_000.01, "-50.00", -50, 0, 0.1 + 0.2, 3 * 33.1),
        *(float("nan"), float("inf"), 1e22, 10**30, Decimal("1e30"), Decimal("1e999999999"), Decimal("NaN")),
        *("", " 50", "50 EUR", "50,00", "1e2", "NaN", "\N{ARABIC-INDIC DIGIT FIVE}0", True, None, ["50.00"]),
    ],
)
async def test_any_other_amount_is_refused_by_name_and_nobody_is_charged(payer: Customer, amount: Any) -> None:
    answer = await payer.call("topups.create", amount=amount)

    assert answer.error is not None
    assert (answer.error.code, answer.error.field) == ("invalid_argument", "amount")
    assert answer.error.hint
    assert await payer.charged() == []


async def test_a_preview_shows_the_payment_and_charges_nothing(payer: Customer) -> None:
    previewed = await payer.must("topups.create", amount="50.00", preview=True)
    await payer.pass_time(days=1)

    (payment,) = previewed.effects.payments
    assert (payment.method, payment.credit, payment.amount) == ("visa 4242", "50.00", previewed.result["total"])
    assert (previewed.changed, previewed.followups) == (False, [])
    assert (await payer.charged(), await payer.free()) == ([], Decimal(0))
    assert await payer.refused("topups.get", topup_id=previewed.result["topup_id"]) == "not_found"


async def test_a_script_that_fails_after_a_top_up_charges_nothing(payer: Customer) -> None:
    create = f"billing.topups.create(account_id={payer.account_id!r}, amount='50.00')"

    failed = await payer.world.run(f"{create}\n{create}\nraise ValueError('no')")
    await payer.pass_time(days=1)

    assert (failed.status, failed.changed, failed.effects.payments, failed.followups) == ("failed", False, [], [])
    assert (await payer.charged(), await payer.free()) == ([], Decimal(0))


async def test_the_same_request_under_its_key_charges_once_and_answers_the_same(payer: Customer) -> None:
    first = await payer.must("topups.create", amount="50.00", idempotency_key="once")
    again = await payer.must("topups.create", amount="50.00", idempotency_key="once")
    other = await payer.must("topups.create", amount="50.00", idempotency_key="twice")

    assert again.to_json() == first.to_json()
    assert again.replayed
    assert again.followups[0]["topup"]["status"] == "succeeded"
    assert other.followups[0]["topup"]["topup_id"] != first.followups[0]["topup"]["topup_id"]
    assert len(await payer.charged()) == 2


async def test_a_customer_who_authenticates_completes_the_payment(customer: Customer) -> None:
    await customer.add("tok_authenticate")
    topup = await customer.top_up()
    payment_id = topup["action_url"].rpartition("/")[2]

    await customer.provider.authenticate(payment_id, succeeds=True)
    await customer.pass_time()

    ended = await customer.ask("topups.get", topup_id=topup["topup_id"])
    assert (ended["status"], ended["action_url"]) == ("succeeded", None)
    assert await customer.free() == Decimal("50.00")
    assert [each for each in customer.told if each.startswith("topup.")] == [
        *("topup.charge", "topup.created", "topup.requires_action", "topup.succeeded")
    ]


async def test_a_customer_who_fails_to_authenticate_has_paid_nothing(customer: Customer) -> None:
    await customer.add("tok_authenticate")
    topup = await customer.top_up()

    await customer.provider.authenticate(topup["action_url"].rpartition("/")[2], succeeds=False)
    await customer.pass_time()

    ended = await customer.ask("topups.get", topup_id=topup["topup_id"])
    assert (ended["status"], ended["failure_code"], ended["action_url"]) == ("failed", "authentication_failed", None)
    assert (await customer.free(), customer.told[-1]) == (Decimal(0), "topup.failed")


async def test_a_debit_is_credited_when_it_has_settled_and_not_before(customer: Customer) -> None:
    await customer.add("tok_sepa")
    topup = await customer.top_up()
    statuses = []
    for _ in range(3):
        await customer.pass_time(days=1)
        statuses.append((await customer.ask("topups.get", topup_id=topup["topup_id"]))["status"])

    assert statuses == ["processing", "processing", "succeeded"]
    assert customer.told.count("topup.succeeded") == 1


async def test_a_debit_that_is_taken_back_freezes_spending_until_the_next_top_up(customer: Customer) -> None:
    await customer.add("tok_sepa_returned")
    good = await customer.add("tok_visa")
    topup = await customer.top_up()
    await customer.pass_time(days=4)
    await customer.spend("30.00")
    await customer.pass_time(days=7)

    assert (await customer.ask("topups.get", topup_id=topup["topup_id"]))["status"] == "reversed"
    assert (await customer.free(), await customer.status_of_account()) == (Decimal("-30.00"), "past_due")
    (event,) = customer.events("account.past_due")
    assert (event.payload["reason"], event.payload["owed"]) == ("topup_reversed", "30.00")
    with pytest.raises(Refused) as frozen:
        await customer.world.app.holds.place(customer.account_id, 10_000)
    assert frozen.value.code == "account_not_active"
    assert (await customer.ask("wallet_balance.get"))["balance"] == "-30.00"

    await customer.top_up("40.00", payment_method_id=good["payment_method_id"])

    assert (await customer.free(), await customer.status_of_account()) == (Decimal("10.00"), "active")
    assert customer.told.count("account.recovered") == 1
    await customer.world.app.holds.place(customer.account_id, 10_000)
    await customer.assert_sound()


async def test_a_top_up_that_does_not_cover_what_was_taken_back_leaves_spending_frozen(customer: Customer) -> None:
    await customer.add("tok_dispute_lost")
    await customer.top_up("50.00")
    await customer.spend("50.00")
    await customer.pass_time(days=3)
    good = await customer.add("tok_visa")

    await customer.top_up("20.00", payment_method_id=good["payment_method_id"])

    assert (await customer.free(), await customer.status_of_account()) == (Decimal("-30.00"), "past_due")
    assert "account.recovered" not in customer.told


async def test_a_dispute_takes_the_money_back_and_winning_it_returns_all_of_it(customer: Customer) -> None:
    await customer.add("tok_dispute_won")
    topup = await customer.top_up()
    await customer.pass_time(days=3)
    disputed = await customer.ask("topups.get", topup_id=topup["topup_id"])
    between = await customer.free()
    await customer.pass_time(days=7)
    won = await customer.ask("topups.get", topup_id=topup["topup_id"])

    assert (disputed["status"], disputed["reversed"], between) == ("reversed", topup["total"], Decimal(0))
    assert (won["status"], won["reversed"], await customer.free()) == ("succeeded", "0.00", Decimal("50.00"))
    assert [item["type"] for item in (await customer.ask("transactions.list"))["items"]] == [
        *("adjustment", "reversal", "topup")
    ]


async def test_a_refund_in_parts_takes_each_cent_back_once(payer: Customer) -> None:
    topup = await payer.top_up("50.00")
    (payment,) = [
        each async for each in payer.provider.payments(payer.world.clock() - AGES, payer.world.clock() + AGES)
    ]
    shares = (10_000_000, payment.amount_micros - 10_000_000)
    free = []
    for number, share in enumerate(shares):
        await payer.provider.refund(payment.payment_id, share, key=f"refund-{number}")
        await payer.pass_time()
        free.append(await payer.free())

    ended = await payer.ask("topups.get", topup_id=topup["topup_id"])
    assert (ended["status"], ended["refunded"], free[-1]) == ("refunded", topup["total"], Decimal(0))
    assert Decimal("50.00") > free[0] > 0
    assert payer.told.count("topup.refunded") == 2
    await payer.assert_sound()


@pytest.mark.parametrize("token", ["tok_timeout_charged", "tok_timeout_not_charged"])
async def test_an_answer_that_is_lost_is_looked_up_and_the_customer_pays_once(customer: Customer, token: str) -> None:
    await customer.add(token)
    topup = await customer.top_up()

    await customer.pass_time(minutes=20)
    await customer.pass_time(minutes=20)

    assert topup["status"] == "unknown"
    assert len(await customer.charged()) == 1
    assert await customer.free() == Decimal("50.00")
    assert [each for each in customer.told if each.startswith("topup.")][-2:] == ["topup.unknown", "topup.succeeded"]


async def test_without_a_method_nothing_is_charged_and_the_hint_says_what_to_do(customer: Customer) -> None:
    answer = await customer.call("topups.create", amount="50.00")

    assert answer.error is not None
    assert answer.error.code == "no_payment_method"
    assert "billing.payment_methods.add" in (answer.error.hint or "")


async def test_a_method_that_is_being_added_is_charged_in_a_script_of_its_own(customer: Customer) -> None:
    add = f"billing.payment_methods.add(account_id={customer.account_id!r}, token='tok_visa')"
    create = f"billing.topups.create(account_id={customer.account_id!r}, amount='50.00'"

    default = await customer.world.run(f"{add}\n{create})")
    named = await customer.world.run(f"m = {add}\n{create}, payment_method_id=m['payment_method_id'])")

    assert default.error is not None
    assert named.error is not None
    assert (default.error.code, named.error.code) == ("no_payment_method", "payment_method_not_active")
    assert default.error.hint == named.error.hint
    assert "script of its own" in (default.error.hint or "")


@pytest.mark.parametrize("token", [None, "tok_attach_declined"])
async def test_only_an_active_method_is_charged(customer: Customer, token: str | None) -> None:
    method = await customer.add(token)

    code = await customer.refused("topups.create", amount="50.00", payment_method_id=method["payment_method_id"])

    assert code == "payment_method_not_active"


async def test_a_closed_account_takes_no_money_and_one_that_is_past_due_does(payer: Customer) -> None:
    await payer.becomes("past_due")
    assert (await payer.top_up())["status"] == "succeeded"
    await payer.becomes("closed")
    assert await payer.refused("topups.create", amount="50.00") == "account_not_active"


async def test_a_wallet_in_another_currency_is_topped_up_by_nobody(world: World, told: list[Event]) -> None:
    account_id = "0190c0de-0000-7000-8000-00000000feed"
    async with world.app.store.write(world.clock()) as tx:
        await open_account(tx, account_id, "Dollars", "USD")
    customer = Customer(world, account_id, told)
    await customer.add("tok_visa")

    assert await customer.refused("topups.create", amount="50.00") == "currency_mismatch"
    assert await customer.refused("topups.create", amount="50.00", currency="USD") == "invalid_argument"
    reload = {"enabled": True, "threshold": "50.00", "amount": "60.00"}
    assert await customer.refused("auto_reload.set", **reload) == "currency_mismatch"


async def test_who_may_only_look_sees_a_top_up_and_cannot_make_one(payer: Customer) -> None:
    topup = await payer.top_up()
    asked: dict[str, object] = {"account_id": payer.account_id}

    seen = await payer.world.app.read(VIEWER, "billing.topups.get", {**asked, "topup_id": topup["topup_id"]})
    refused = await payer.world.app.call(VIEWER, "billing.topups.create", {**asked, "amount": "50.00"})

    assert seen == topup
    assert refused.error is not None
    assert refused.error.code == "permission_denied"
    assert len(await payer.charged()) == 1


async def test_another_accounts_top_up_does_not_exist(payer: Customer) -> None:
    topup = await payer.top_up()
    stranger = Customer(payer.world, await payer.world.account(), [])

    with pytest.raises(NotFound):
        await stranger.ask("topups.get", topup_id=topup["topup_id"])
