"""Automatic reloads, in tables: when one is due and of how much, what becomes of it, and where that leaves it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.payments import Facts
from billing_mcp.domain.reloads import AutoReload, ReloadState, checked, declined, due_micros, settled
from billing_mcp.domain.topups import TopUp
from tests.domain.builders import ACCOUNT, eur
from tests.domain.test_topups import topup

NOW = datetime(2026, 3, 12, 10, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
FACTS = {
    "pending": Facts("created"),
    "processing": Facts("processing"),
    "requires_action": Facts("requires_action"),
    "failed": Facts("failed", failure_code="card_declined"),
    "succeeded": Facts("succeeded", eur("11.90")),
    "refunded": Facts("succeeded", eur("11.90"), eur("11.90")),
    "reversed": Facts("succeeded", eur("11.90"), 0, eur("11.90")),
}


def reload(**set_to: Any) -> AutoReload:
    """Below 20.00, by 50.00."""
    return replace(
        AutoReload(ACCOUNT, enabled=True, threshold_micros=eur("20.00"), amount_micros=eur("50.00")), **set_to
    )


def micros(**amounts: str) -> dict[str, int | None]:
    return {f"{name}_micros": eur(text) if text else None for name, text in amounts.items()}


def reloading(**set_to: Any) -> AutoReload:
    return reload(topup_id="t1", **set_to)


def news(status: str) -> TopUp:
    return topup(facts=FACTS[status])


#   how it is set                          available  pending  reloaded  due
DUE: list[tuple[dict[str, str], str, str, str, str | None]] = [
    ({}, "20.00", "0.00", "0.00", None),
    ({}, "19.999999", "0.00", "0.00", "50.00"),
    ({}, "0.00", "0.00", "0.00", "50.00"),
    # What is on its way counts.
    ({}, "0.00", "20.00", "0.00", None),
    ({}, "0.00", "19.99", "0.00", "50.00"),
    ({}, "-15.00", "35.00", "0.00", None),
    # One charge closes the gap, in whole cents, upwards.
    ({}, "-30.00", "0.00", "0.00", "50.00"),
    ({}, "-30.01", "0.00", "0.00", "50.01"),
    ({}, "-90.000001", "0.00", "0.00", "110.01"),
    ({}, "-90.00", "60.00", "0.00", "50.00"),
    # Up to a target.
    ({"amount": "", "target": "100.00"}, "19.99", "0.00", "0.00", "80.01"),
    ({"amount": "", "target": "100.00"}, "-5.00", "0.00", "0.00", "105.00"),
    ({"amount": "", "target": "100.00"}, "0.00", "15.00", "0.00", "85.00"),
    # Never less than a top-up can be, nor more.
    ({"amount": "", "target": "30.00"}, "19.999999", "0.00", "0.00", "10.01"),
    ({"threshold": "0.00", "amount": "10.00"}, "-0.000001", "0.00", "0.00", "10.00"),
    ({"threshold": "90000.00"}, "-20000.00", "0.00", "0.00", "100000.00"),
    # No more in a month than its cap; what would be more is nothing.
    ({"monthly_cap": "100.00"}, "0.00", "0.00", "50.00", "50.00"),
    ({"monthly_cap": "100.00"}, "0.00", "0.00", "50.01", "0.00"),
    ({"monthly_cap": "100.00"}, "-100.00", "0.00", "0.00", "0.00"),
    ({"monthly_cap": "100.00"}, "20.00", "0.00", "100.00", None),
]


@pytest.mark.parametrize(("how", "available", "pending", "reloaded", "due"), DUE)
def test_what_is_due(how: dict[str, str], available: str, pending: str, reloaded: str, due: str | None) -> None:
    asked = due_micros(reload(**micros(**how)), eur(available), eur(pending), eur(reloaded))
    assert asked == (None if due is None else eur(due))


STATES: list[tuple[dict[str, Any], ReloadState]] = [
    ({}, "armed"),
    ({"enabled": False}, "off"),
    ({"enabled": False, "declines": 2}, "off"),
    ({"enabled": False, "declines": 3}, "disabled"),
    ({"enabled": False, "last_failure": "reversed"}, "disabled"),
    ({"topup_id": "t1"}, "reloading"),
    ({"topup_id": "t1", "paused": True}, "paused"),
    ({"rests_until": NOW + timedelta(microseconds=1)}, "cooling_down"),
    ({"rests_until": NOW}, "armed"),
    ({"capped_on": "2026-03"}, "capped"),
    ({"capped_on": "2026-02"}, "armed"),
]


@pytest.mark.parametrize(("how", "state"), STATES)
def test_where_it_stands(how: dict[str, Any], state: ReloadState) -> None:
    assert reload(**how).state(NOW) == state


def test_declines_back_off_for_an_hour_then_two_and_the_third_in_a_row_disables_it() -> None:
    now, seen = reloading(), []
    for _ in range(3):
        now = settled(now, news("failed"), now=NOW)
        seen.append((now.state(NOW), now.declines, now.rests_until))
        assert (now.topup_id, now.last_failure, now.last_failed_at) == (None, "card_declined", NOW)
        now = replace(now, topup_id="t1")
    assert seen == [
        ("cooling_down", 1, NOW + HOUR),
        ("cooling_down", 2, NOW + 2 * HOUR),
        ("disabled", 3, NOW + 4 * HOUR),
    ]


def test_what_cannot_be_charged_at_all_backs_off_like_a_decline() -> None:
    now = declined(reload(declines=1), "no_payment_method", now=NOW)
    assert (now.state(NOW), now.declines, now.last_failure) == ("cooling_down", 2, "no_payment_method")
    assert declined(now, "no_payment_method", now=NOW).state(NOW) == "disabled"


def test_one_that_was_switched_off_is_not_disabled_by_what_fails_afterwards() -> None:
    assert settled(reloading(enabled=False), news("failed"), now=NOW).state(NOW) == "off"


@pytest.mark.parametrize("status", ["succeeded", "refunded"])
def test_a_success_forgets_the_declines_before_it(status: str) -> None:
    assert settled(reloading(declines=2, rests_until=NOW + HOUR, paused=True), news(status), now=NOW) == reload()


def test_the_claim_is_kept_while_the_money_may_still_come() -> None:
    assert settled(reloading(), news("pending"), now=NOW).state(NOW) == "reloading"
    assert settled(reloading(), news("processing"), now=NOW).state(NOW) == "reloading"


def test_it_pauses_while_the_customer_has_to_authenticate_and_goes_on_afterwards() -> None:
    paused = settled(reloading(), news("requires_action"), now=NOW)
    assert (paused.state(NOW), paused.last_failure) == ("paused", "requires_action")
    assert settled(paused, news("processing"), now=NOW).state(NOW) == "reloading"
    assert settled(paused, news("succeeded"), now=NOW).state(NOW) == "armed"
    assert settled(paused, news("failed"), now=NOW).state(NOW) == "cooling_down"


def test_money_that_was_taken_back_disables_it_however_long_ago_it_came() -> None:
    for before in (reloading(), reload(), reload(topup_id="another")):
        after = settled(before, news("reversed"), now=NOW)
        assert (after.state(NOW), after.last_failure) == ("disabled", "reversed")
        assert after.topup_id == (None if before.topup_id == "t1" else before.topup_id)


@pytest.mark.parametrize("status", ["failed", "succeeded", "requires_action", "processing"])
def test_news_of_another_topup_change_nothing(status: str) -> None:
    assert settled(reload(topup_id="another"), news(status), now=NOW) == reload(topup_id="another")


MAY_BE_SET: list[dict[str, str]] = [
    {"amount": "10.00", "threshold": "0.00"},
    {"amount": "", "target": "30.00"},
    {"monthly_cap": "50.00"},
    {"amount": "", "target": "30.00", "monthly_cap": "10.00"},
]
MAY_NOT_BE: list[tuple[dict[str, str], str]] = [
    ({"amount": ""}, "amount"),
    ({"target": "100.00"}, "amount"),
    ({"amount": "9.99"}, "amount"),
    ({"amount": "10.001"}, "amount"),
    ({"amount": "100000.01"}, "amount"),
    ({"threshold": "-0.01"}, "threshold"),
    ({"amount": "", "target": "29.99"}, "target"),
    ({"monthly_cap": "49.99"}, "monthly_cap"),
    ({"amount": "", "target": "30.00", "monthly_cap": "9.99"}, "monthly_cap"),
]


@pytest.mark.parametrize("how", MAY_BE_SET)
def test_what_may_be_set(how: dict[str, str]) -> None:
    wanted = reload(**micros(**how))
    assert checked(wanted, "EUR") is wanted


@pytest.mark.parametrize(("how", "field"), MAY_NOT_BE)
def test_what_may_not_be_set_names_the_field(how: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        checked(reload(**micros(**how)), "EUR")
    assert refused.value.field == field


def test_one_that_is_off_may_be_set_to_anything() -> None:
    checked(AutoReload(ACCOUNT), "EUR")
