"""billing.auto_reload.*: the wallet is filled by itself, once for each crossing, and rests when that fails."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from billing_mcp.domain.money import parse_micros
from billing_mcp.kernel.principal import Permission, Principal
from tests.operations.paying import Customer

VIEWER = Principal("viewer", frozenset({Permission.VIEW}))


GOOD = "tok_visa"


async def reloading(customer: Customer, token: str = GOOD, **settings: Any) -> None:
    """A customer with 100.00, whose wallet is filled from a method when it falls below 50.00."""
    account_id = customer.account_id
    await customer.world.pay(account_id, "100.00")
    method = await customer.add(token)
    chosen = {"threshold": "50.00", "amount": "60.00", "payment_method_id": method["payment_method_id"], **settings}
    await customer.must("auto_reload.set", enabled=True, **chosen)


async def state(customer: Customer) -> dict[str, Any]:
    """Where the reload stands."""
    found: dict[str, Any] = await customer.ask("auto_reload.get")
    return found


async def test_one_that_was_never_set_is_off(customer: Customer) -> None:
    found = await state(customer)

    assert (found["enabled"], found["state"], found["threshold"], found["currency"]) == (False, "off", "0.00", "EUR")
    assert {found[name] for name in ("amount", "target", "payment_method_id", "topup_id", "next_try_at")} == {None}


async def test_below_the_threshold_the_wallet_is_topped_up_once(customer: Customer) -> None:
    await reloading(customer)
    armed = await state(customer)

    await customer.spend("50.00")
    untouched = await customer.free()
    await customer.spend("0.01")

    assert (armed["state"], untouched) == ("armed", Decimal("50.00"))
    assert await customer.free() == Decimal("109.99")
    assert len(await customer.charged()) == 1
    after = await state(customer)
    assert (after["state"], after["reloaded_this_month"], after["topup_id"]) == ("armed", "60.00", None)
    told = [each for each in customer.told if each.startswith(("auto_reload", "topup.s"))]
    assert told == ["auto_reload.updated", "auto_reload.started", "topup.succeeded"]


async def test_a_reload_tells_that_it_came_by_itself(customer: Customer) -> None:
    await reloading(customer)
    await customer.spend("60.00")

    (event,) = customer.events("topup.succeeded")
    topup = await customer.ask("topups.get", topup_id=event.payload["topup_id"])
    assert (topup["origin"], topup["amount"]) == ("auto_reload", "60.00")


async def test_up_to_a_target_it_fills_what_is_missing(customer: Customer) -> None:
    await reloading(customer, amount=None, target="200.00")

    await customer.spend("60.00")

    assert await customer.free() == Decimal("200.00")


async def test_a_gap_that_is_larger_than_the_amount_is_closed_by_one_charge(customer: Customer) -> None:
    await reloading(customer, threshold="95.00", amount="10.00")

    await customer.spend("80.00")

    assert (await customer.free(), len(await customer.charged())) == (Decimal("95.00"), 1)


async def test_a_balance_that_is_below_already_is_reloaded_at_once_and_the_followup_says_so(payer: Customer) -> None:
    wanted = {"enabled": True, "threshold": "20.00", "amount": "50.00"}

    previewed = await payer.must("auto_reload.set", **wanted, preview=True)
    nothing = await payer.charged()
    answer = await payer.must("auto_reload.set", **wanted)

    assert nothing == []
    assert [effect.credit for effect in previewed.effects.payments] == ["50.00"]
    assert previewed.effects == answer.effects
    assert answer.result["state"] == "reloading"
    (followup,) = answer.followups
    assert followup["topup"]["topup_id"] == answer.result["topup_id"]
    assert (followup["topup"]["status"], await payer.free()) == ("succeeded", Decimal("50.00"))


async def test_while_a_reload_is_on_its_way_no_other_is_begun(customer: Customer) -> None:
    await reloading(customer, "tok_sepa")
    await customer.spend("60.00")
    waiting = await state(customer)
    await customer.spend("30.00")

    assert waiting["state"] == "reloading"
    assert customer.told.count("auto_reload.started") == 1
    await customer.pass_time(days=3)
    assert await customer.free() == Decimal("70.00")
    assert (await state(customer))["state"] == "armed"


async def test_a_top_up_that_is_on_its_way_counts_as_if_it_were_there(customer: Customer) -> None:
    await reloading(customer, "tok_sepa")
    await customer.top_up("40.00")

    await customer.spend("80.00")
    counted = customer.told.count("auto_reload.started")
    await customer.spend("11.00")

    assert (counted, customer.told.count("auto_reload.started")) == (0, 1)


async def test_a_decline_rests_it_an_hour_then_two_and_the_third_in_a_row_disables_it(customer: Customer) -> None:
    await reloading(customer, "tok_declined")
    await customer.spend("60.00")
    first = await state(customer)
    await customer.pass_time(minutes=59)
    early = (await state(customer))["declines"]
    await customer.pass_time(minutes=1)
    second = await state(customer)
    await customer.pass_time(minutes=119)
    between = (await state(customer))["declines"]
    await customer.pass_time(minutes=1)
    third = await state(customer)
    await customer.pass_time(days=2)

    assert (first["state"], first["declines"], first["last_failure"]) == ("cooling_down", 1, "card_declined")
    assert (first["next_try_at"], first["last_failed_at"]) == ("2026-03-12T11:00:01Z", "2026-03-12T10:00:01Z")
    assert (early, second["declines"], between) == (1, 2, 2)
    assert (third["state"], third["enabled"], third["declines"]) == ("disabled", False, 3)
    assert (await state(customer))["declines"] == 3
    assert (await customer.charged(), await customer.free()) == ([], Decimal("40.00"))
    told = [each for each in customer.told if each.startswith("auto_reload")]
    assert told == [
        "auto_reload.updated",
        *("auto_reload.started", "auto_reload.failed", "auto_reload.started", "auto_reload.failed"),
        *("auto_reload.started", "auto_reload.disabled"),
    ]


async def test_setting_a_disabled_one_again_arms_it_with_another_card(customer: Customer) -> None:
    await reloading(customer, "tok_declined")
    await customer.spend("60.00")
    for hours in (1, 2):
        await customer.pass_time(hours=hours)
    good = await customer.add("tok_visa")

    await customer.must("auto_reload.set", enabled=True, payment_method_id=good["payment_method_id"])

    assert await customer.free() == Decimal("100.00")
    found = await state(customer)
    assert (found["state"], found["declines"], found["last_failure"]) == ("armed", 0, None)


async def test_a_payment_that_the_customer_must_authenticate_pauses_it(customer: Customer) -> None:
    await reloading(customer, "tok_authenticate")
    await customer.spend("60.00")
    paused = await state(customer)
    topup = await customer.ask("topups.get", topup_id=paused["topup_id"])
    await customer.pass_time(hours=5)

    assert (paused["state"], paused["last_failure"]) == ("paused", "requires_action")
    assert customer.told.count("auto_reload.paused") == customer.told.count("auto_reload.started") == 1
    await customer.provider.authenticate(topup["action_url"].rpartition("/")[2], succeeds=True)
    await customer.pass_time()
    assert ((await state(customer))["state"], await customer.free()) == ("armed", Decimal("100.00"))


async def test_an_unknown_answer_keeps_its_claim_and_nothing_is_charged_twice(customer: Customer) -> None:
    await reloading(customer, "tok_timeout_charged")
    account_id = customer.account_id
    await customer.world.app.holds.place(account_id, 60_000_000)
    for _ in range(3):
        await customer.pass_time(minutes=20)

    assert len(await customer.charged()) == 1
    assert customer.told.count("auto_reload.started") == 1
    assert (await state(customer))["state"] == "armed"


async def test_a_monthly_cap_is_told_once_and_lifted_by_the_next_month(customer: Customer) -> None:
    await reloading(customer, monthly_cap="100.00")
    await customer.spend("60.00")
    await customer.spend("60.00")
    capped = await state(customer)
    await customer.spend("10.00")
    before = await customer.free()

    assert (capped["state"], capped["reloaded_this_month"], before) == ("capped", "60.00", Decimal("30.00"))
    assert customer.told.count("auto_reload.capped") == 1
    await customer.pass_time(days=20)
    assert (await state(customer))["reloaded_this_month"] == "60.00"
    assert await customer.free() == Decimal("90.00")


async def test_money_that_is_taken_back_disables_it(customer: Customer) -> None:
    await reloading(customer, "tok_dispute_lost")
    await customer.spend("60.00")
    await customer.pass_time(days=3)

    found = await state(customer)

    assert (found["state"], found["enabled"], found["last_failure"]) == ("disabled", False, "reversed")
    assert (customer.told.count("auto_reload.disabled"), len(await customer.charged())) == (1, 1)


async def test_when_its_method_is_no_longer_good_it_says_so_and_rests(payer: Customer) -> None:
    await payer.world.pay(payer.account_id, "100.00")
    await payer.must("auto_reload.set", enabled=True, threshold="50.00", amount="60.00")
    async with payer.world.app.store.write(payer.world.clock()) as tx:
        (method,) = await tx.payments.methods(payer.account_id)
        await tx.payments.make_default(replace(method, payment_method_id="none"), tx.now)

    await payer.spend("60.00")

    found = await state(payer)
    assert (found["state"], found["last_failure"], found["declines"]) == ("cooling_down", "no_payment_method", 1)
    assert payer.told[-1] == "auto_reload.failed"


async def test_a_closed_account_is_not_reloaded_and_says_why(customer: Customer) -> None:
    await reloading(customer)
    await customer.world.app.holds.place(customer.account_id, parse_micros("60.00"))
    await customer.becomes("closed")

    await customer.pass_time()

    found = await state(customer)
    assert (found["state"], found["last_failure"], found["topup_id"]) == ("cooling_down", "account_not_active", None)
    assert await customer.charged() == []
    wanted = {"enabled": True, "threshold": "50.00", "amount": "60.00"}
    assert await customer.refused("auto_reload.set", **wanted) == "account_not_active"
    await customer.must("auto_reload.set", enabled=False)


async def test_what_is_left_out_stays_and_an_amount_replaces_a_target(payer: Customer) -> None:
    await payer.world.pay(payer.account_id, "500.00")
    await payer.must("auto_reload.set", enabled=True, threshold="50.00", amount="60.00", monthly_cap="300.00")

    off = (await payer.must("auto_reload.set", enabled=False)).result
    target = (await payer.must("auto_reload.set", enabled=True, target="150.00")).result
    amount = (await payer.must("auto_reload.set", enabled=True, amount=70)).result

    named = ("state", "threshold", "amount", "target", "monthly_cap")
    assert [off[name] for name in named] == ["off", "50.00", "60.00", None, "300.00"]
    assert [target[name] for name in named] == ["armed", "50.00", None, "150.00", "300.00"]
    assert [amount[name] for name in named] == ["armed", "50.00", "70.00", None, "300.00"]


async def test_effects_say_in_a_line_what_was_set(payer: Customer) -> None:
    await payer.world.pay(payer.account_id, "500.00")

    on = await payer.must("auto_reload.set", enabled=True, threshold=50, amount=60, monthly_cap=300)
    off = await payer.must("auto_reload.set", enabled=False)

    lines = [(effect.before, effect.after) for answer in (on, off) for effect in answer.effects.settings]
    told = "below 50.00 by 60.00, at most 300.00 a month"
    assert lines == [("off", told), (told, "off")]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"threshold": "50.00"}, "amount"),
        ({"threshold": "50.00", "amount": "60.00", "target": "100.00"}, "amount"),
        ({"threshold": "50.00", "amount": "9.99"}, "amount"),
        ({"threshold": "50.00", "amount": "10.001"}, "amount"),
        ({"threshold": "-1.00", "amount": "60.00"}, "threshold"),
        ({"threshold": "50.00", "target": "59.99"}, "target"),
        ({"threshold": "50.00", "amount": "60.00", "monthly_cap": "59.99"}, "monthly_cap"),
        ({"threshold": "50.00", "amount": "100000.01"}, "amount"),
        ({"threshold": float("nan"), "amount": "60.00"}, "threshold"),
        ({"threshold": "50.00", "amount": 0.1 + 0.2}, "amount"),
        ({"threshold": "50.00", "amount": "60.00", "payment_method_id": "pm_1"}, "payment_method_id"),
    ],
)
async def test_what_cannot_be_set_is_refused_by_name_and_nothing_changes(
    payer: Customer, settings: dict[str, Any], field: str
) -> None:
    answer = await payer.call("auto_reload.set", enabled=True, **settings)

    assert answer.error is not None
    assert (answer.error.code, answer.error.field) == ("invalid_argument", field)
    assert (await state(payer))["state"] == "off"


async def test_without_a_method_that_can_be_charged_it_cannot_be_set(customer: Customer) -> None:
    wanted = {"enabled": True, "threshold": "20.00", "amount": "50.00"}
    assert await customer.refused("auto_reload.set", **wanted) == "no_payment_method"

    waiting = await customer.add()

    chosen = {**wanted, "payment_method_id": waiting["payment_method_id"]}
    assert await customer.refused("auto_reload.set", **chosen) == "payment_method_not_active"


async def test_who_may_only_look_cannot_set_it(payer: Customer) -> None:
    asked: dict[str, object] = {"account_id": payer.account_id}

    seen = await payer.world.app.read(VIEWER, "billing.auto_reload.get", asked)
    refused = await payer.world.app.call(VIEWER, "billing.auto_reload.set", {**asked, "enabled": False})

    assert seen["state"] == "off"
    assert refused.error is not None
    assert refused.error.code == "permission_denied"
