"""billing.alerts.*: told once when the balance falls below a level, and once when it has recovered."""

from __future__ import annotations

from typing import Any

import pytest

from billing_mcp.kernel.principal import Permission, Principal
from tests.operations.paying import Customer

VIEWER = Principal("viewer", frozenset({Permission.VIEW}))


@pytest.fixture
async def watched(customer: Customer) -> Customer:
    """A customer with 100.00 who wants to hear of 50.00 and of 20.00."""
    await customer.world.pay(customer.account_id, "100.00")
    await customer.must("alerts.set", amounts=["50.00", "20.00"])
    return customer


def heard(customer: Customer) -> list[tuple[str, str]]:
    """Which thresholds were crossed, downwards and back, in order."""
    told = [each for each in customer.events() if each.event.startswith("billing.balance_")]
    return [(each.event.removeprefix("billing.balance_"), str(each.payload["threshold"])) for each in told]


async def pays(customer: Customer, amount: str) -> None:
    """Money comes in, and the worker looks."""
    await customer.world.pay(customer.account_id, amount)
    await customer.pass_time()


async def test_without_any_it_says_so(customer: Customer) -> None:
    assert await customer.ask("alerts.get") == {
        "thresholds": [],
        "cooldown_hours": 24,
        "available": "0.00",
        "currency": "EUR",
    }


async def test_a_threshold_shows_where_it_lies_and_from_where_it_has_recovered(watched: Customer) -> None:
    found = await watched.ask("alerts.get")

    assert found["thresholds"][0] == {
        "type": "amount",
        "value": "50.00",
        "level": "50.00",
        "recovers_at": "55.00",
        "low": False,
        "told_at": None,
    }
    assert (found["thresholds"][1]["recovers_at"], found["available"]) == ("22.00", "100.00")


async def test_each_threshold_is_told_once_when_the_balance_falls_below_it(watched: Customer) -> None:
    for amount in ("50.00", "0.01", "10.00", "10.00", "15.00", "5.00"):
        await watched.spend(amount)

    assert heard(watched) == [("low", "50.00"), ("low", "20.00")]
    first, _ = [each for each in watched.events() if each.event == "billing.balance_low"]
    assert first.payload["available"] == "49.99"
    assert first.payload["threshold_type"] == "amount"
    assert [each["low"] for each in (await watched.ask("alerts.get"))["thresholds"]] == [True, True]


async def test_one_fall_through_two_levels_tells_of_both(watched: Customer) -> None:
    await watched.spend("90.00")

    assert heard(watched) == [("low", "50.00"), ("low", "20.00")]


async def test_a_balance_that_dances_on_its_level_is_told_of_once(watched: Customer) -> None:
    await watched.spend("51.00")
    for _ in range(3):
        await pays(watched, "4.00")
        await watched.spend("4.00")

    assert heard(watched) == [("low", "50.00")]


async def test_recovery_is_told_once_a_tenth_above_the_level(watched: Customer) -> None:
    await watched.spend("51.00")
    await pays(watched, "5.99")
    nearly = heard(watched)
    await pays(watched, "0.01")
    await pays(watched, "10.00")

    assert nearly == [("low", "50.00")]
    assert heard(watched) == [("low", "50.00"), ("recovered", "50.00")]


async def test_within_the_cooldown_a_second_crossing_and_its_end_are_not_told(watched: Customer) -> None:
    for hours in (0, 23):
        await watched.pass_time(hours=hours)
        await watched.spend("60.00")
        await pays(watched, "60.00")
    within = heard(watched)
    await watched.pass_time(hours=2)
    await watched.spend("60.00")

    assert within == [("low", "50.00"), ("recovered", "50.00")]
    assert heard(watched)[2:] == [("low", "50.00")]


async def test_a_cooldown_of_no_hours_tells_of_every_crossing(watched: Customer) -> None:
    await watched.must("alerts.set", cooldown_hours=0)
    for _ in range(2):
        await watched.spend("60.00")
        await pays(watched, "60.00")

    assert [kind for kind, _ in heard(watched)] == ["low", "recovered"] * 2


async def test_a_hold_lowers_the_balance_as_a_charge_does(watched: Customer) -> None:
    await watched.world.app.holds.place(watched.account_id, 60_000_000)
    await watched.pass_time()

    assert heard(watched) == [("low", "50.00")]


async def test_a_dip_that_is_over_before_anybody_looks_is_told_of(watched: Customer) -> None:
    receipt = await watched.world.app.holds.place(watched.account_id, 60_000_000)
    assert receipt.hold is not None
    await watched.world.app.holds.release(watched.account_id, receipt.hold.hold_id)

    await watched.pass_time()

    assert heard(watched) == [("low", "50.00"), ("recovered", "50.00")]


async def test_a_level_can_be_a_share_of_the_last_top_up(payer: Customer) -> None:
    answer = await payer.must("alerts.set", percent_of_last_topup=[20])
    assert answer.result["thresholds"][0]["level"] is None
    await payer.top_up("200.00")
    assert (await payer.ask("alerts.get"))["thresholds"][0]["level"] == "40.00"

    await payer.spend("160.00")
    nothing = heard(payer)
    await payer.spend("0.01")

    assert (nothing, heard(payer)) == ([], [("low", "20")])
    (event,) = payer.events("balance_low")
    assert (event.payload["threshold_type"], event.payload["level"]) == ("percent_of_last_topup", "40.00")


async def test_a_balance_that_is_below_already_is_told_of_at_once_and_only_once(watched: Customer) -> None:
    await watched.spend("60.00")
    await watched.must("alerts.set", amounts=["50.00", "45.00"])
    await watched.must("alerts.set", amounts=["50.00", "45.00"])

    assert heard(watched) == [("low", "50.00"), ("low", "45.00")]


async def test_a_list_replaces_those_of_its_kind_and_an_empty_one_ends_them(watched: Customer) -> None:
    await watched.must("alerts.set", percent_of_last_topup=[20], amounts=[30, "30.00", 40.5])
    between = (await watched.ask("alerts.get"))["thresholds"]
    await watched.must("alerts.set", amounts=[])
    after = (await watched.ask("alerts.get"))["thresholds"]
    await watched.spend("90.00")

    assert [each["value"] for each in between] == ["30.00", "40.50", "20"]
    assert [each["value"] for each in after] == ["20"]
    assert heard(watched) == []


async def test_a_top_up_that_recovers_the_balance_tells_so_in_its_own_moment(watched: Customer) -> None:
    await watched.add("tok_visa")
    await watched.spend("60.00")

    await watched.top_up("50.00")

    assert heard(watched) == [("low", "50.00"), ("recovered", "50.00")]


async def test_a_preview_and_a_script_that_fails_set_nothing_and_tell_nothing(watched: Customer) -> None:
    previewed = await watched.must("alerts.set", amounts=["150.00"], preview=True)
    failed = await watched.world.run(f"billing.alerts.set(account_id={watched.account_id!r}, amounts=[150])\n1 / 0")

    (effect,) = previewed.effects.settings
    assert (effect.setting, effect.before, effect.after) == ("alerts", "50.00, 20.00", "150.00")
    assert failed.changed is False
    assert [each["value"] for each in (await watched.ask("alerts.get"))["thresholds"]] == ["50.00", "20.00"]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"amounts": "50.00"}, "amounts"),
        ({"amounts": [0]}, "amounts"),
        ({"amounts": ["-5.00"]}, "amounts"),
        ({"amounts": ["100000.01"]}, "amounts"),
        ({"amounts": [float("nan")]}, "amounts"),
        ({"amounts": [[50]]}, "amounts"),
        ({"amounts": [str(number + 1) for number in range(21)]}, "amounts"),
        ({"percent_of_last_topup": [0]}, "percent_of_last_topup"),
        ({"percent_of_last_topup": [101]}, "percent_of_last_topup"),
        ({"percent_of_last_topup": list(range(1, 22))}, "percent_of_last_topup"),
        ({"runway_days": [366]}, "runway_days"),
        ({"runway_days": [True]}, "runway_days"),
        ({"runway_days": list(range(1, 22))}, "runway_days"),
        ({"cooldown_hours": -1}, "cooldown_hours"),
    ],
)
async def test_what_cannot_be_set_is_refused_by_name(customer: Customer, settings: dict[str, Any], field: str) -> None:
    answer = await customer.call("alerts.set", **settings)

    assert answer.error is not None
    assert (answer.error.code, answer.error.field) == ("invalid_argument", field)
    assert answer.error.hint
    assert (await customer.ask("alerts.get"))["thresholds"] == []


async def test_who_may_only_look_cannot_set_them(watched: Customer) -> None:
    asked: dict[str, object] = {"account_id": watched.account_id}

    seen = await watched.world.app.read(VIEWER, "billing.alerts.get", asked)
    refused = await watched.world.app.call(VIEWER, "billing.alerts.set", {**asked, "amounts": []})

    assert len(seen["thresholds"]) == 2
    assert refused.error is not None
    assert refused.error.code == "permission_denied"
