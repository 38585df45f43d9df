"""What is said of arguments: field, value and mend, and nothing that only a script could do."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.kernel.arguments import from_json, from_text, micros_of
from billing_mcp.operations import REGISTRY

ACCOUNT = "0190c0de-0000-7000-8000-000000000001"
PLANS = "'smtp_per_mailbox' or 'smtp_per_proxy'"
CHANGE = {"account_id": ACCOUNT, "plan_id": "smtp_per_proxy"}


def refused(function: str, **arguments: Any) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        REGISTRY[function].arguments.parse(arguments)
    return caught.value


@pytest.mark.parametrize(
    ("function", "arguments", "said", "hint"),
    [
        (
            "billing.plan.change",
            CHANGE | {"plan_id": "pro"},
            "plan_id of billing.plan.change must be 'smtp_per_mailbox' or 'smtp_per_proxy'; got 'pro'",
            "Write plan_id='smtp_per_mailbox' or plan_id='smtp_per_proxy'.",
        ),
        (
            "billing.plan.change",
            CHANGE | {"effective_date": "tomorrow"},
            "effective_date of billing.plan.change must be an ISO date; got 'tomorrow'",
            "Write effective_date='2030-01-31'.",
        ),
        (
            "billing.invoices.list",
            {"account_id": ACCOUNT, "page_size": 500},
            "page_size of billing.invoices.list must be a whole number from 1 to 100; got 500",
            "Write page_size=100.",
        ),
        (
            "billing.plan.cancel",
            {"account_id": ACCOUNT, "cancel_immediately": "yes"},
            "cancel_immediately of billing.plan.cancel must be True or False; got 'yes'",
            "Write cancel_immediately=True or cancel_immediately=False.",
        ),
        (
            "billing.topups.create",
            {"account_id": ACCOUNT, "amount": 0.1 + 0.2},
            "amount of billing.topups.create must be a decimal amount as text; got 0.30000000000000004",
            "Write amount='50.00'.",
        ),
        (
            "billing.topups.create",
            {"account_id": ACCOUNT, "amount": 50.125},  # a half cent as a float is an accident
            "amount of billing.topups.create must be a decimal amount as text; got 50.125",
            "Write amount='50.00'.",
        ),
        (
            "billing.topups.create",
            {"account_id": ACCOUNT, "amount": Decimal("1e999999999")},  # as digits it would fill the memory
            "amount of billing.topups.create must be a decimal amount as text; got a Decimal",
            "Write amount='50.00'.",
        ),
        (
            "billing.alerts.set",
            {"account_id": ACCOUNT, "amounts": ["50.00", "much"]},
            "amounts of billing.alerts.set must be a list, each item a decimal amount as text; got 'much'",
            "Write amounts=['50.00'].",
        ),
        (
            "billing.plans.list",
            {"account_id": "Northwind Mail"},
            "account_id of billing.plans.list must be the account's UUID; got 'Northwind Mail'",
            "Write account_id='0190c0de-…'.",
        ),
        (
            "billing.plan.change",
            {"account_id": ACCOUNT},
            "billing.plan.change needs the argument plan_id",
            f"Write billing.plan.change(account_id=..., plan_id=...); plan_id is {PLANS}.",
        ),
    ],
)
def test_an_error_names_the_argument_what_it_takes_and_how_to_write_it(
    function: str, arguments: dict[str, Any], said: str, hint: str
) -> None:
    error = refused(function, **arguments)
    assert (error.message, error.hint) == (said, hint)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("plan", "Did you mean plan_id? "),
        ("new_plan", "Did you mean plan_id? "),
        ("accountId", "Did you mean account_id? "),
        ("acount_id", "Did you mean account_id? "),
        ("id", "Did you mean account_id or plan_id? "),
        ("confirm", ""),
        ("dry_run", "preview is for the script as a whole: give it beside the code. "),
        ("idempotency_key", "idempotency_key is for the script as a whole: give it beside the code. "),
    ],
)
def test_an_unknown_argument_is_answered_with_what_it_may_have_meant(name: str, meant: str) -> None:
    error = refused("billing.plan.change", **CHANGE, **{name: 1})
    assert (error.code, error.field) == ("unknown_argument", name)
    assert error.hint == f"{meant}Its arguments are account_id, plan_id, effective_date, billing_period."


@pytest.mark.parametrize("value", ["2026-4-1", "20260401", "2026-02-30", "2026-04-01T00:00:00Z", 20260401, True])
def test_no_text_or_number_is_taken_for_a_date_that_it_is_not(value: object) -> None:
    assert refused("billing.plan.change", **CHANGE, effective_date=value).field == "effective_date"


def test_a_moment_is_no_date() -> None:
    assert refused("billing.plan.change", **CHANGE, effective_date=datetime(2026, 4, 1)).field == "effective_date"  # noqa: DTZ001


def test_a_date_is_taken_as_text_and_as_a_date() -> None:
    parse = REGISTRY["billing.plan.change"].arguments.parse
    assert parse(CHANGE | {"effective_date": "2026-04-01"}) == parse(CHANGE | {"effective_date": date(2026, 4, 1)})


@pytest.mark.parametrize("operation", REGISTRY.values(), ids=list(REGISTRY))
def test_every_argument_says_what_it_takes(operation: Any) -> None:
    for parameter in operation.parameters:
        error = operation.arguments.invalid(parameter.name, "x")
        assert f"{parameter.name} of {operation.name} must be " in error.message
        assert "..." not in str(error.hint)
        assert "billing.help" not in str(error.hint)


@pytest.mark.parametrize(
    ("given", "micros"),
    [
        *(("50", 50_000_000), ("50.5", 50_500_000), ("0.000001", 1), (50, 50_000_000), (50.5, 50_500_000)),
        *((0.1, 100_000), (-0.25, -250_000), (Decimal("12.40"), 12_400_000), (Decimal("5E+1"), 50_000_000)),
    ],
)
def test_an_amount_is_what_was_written(given: object, micros: int) -> None:
    parsed = REGISTRY["billing.topups.create"].arguments.parse({"account_id": ACCOUNT, "amount": given})

    assert micros_of(parsed["amount"]) == micros


def test_a_list_is_read_from_text_and_from_json() -> None:
    annotation = next(p.annotation for p in REGISTRY["billing.alerts.set"].parameters if p.name == "runway_days")

    assert from_text(annotation, "7, 30") == [7, 30]
    assert from_text(annotation, "") == []
    assert from_text(annotation, "7,soon") == [7, "soon"]
    assert from_json(annotation, [7.0, 30]) == [7, 30]
    assert repr(from_json(annotation, [7.0, 7.5])) == "[7, 7.5]"
    assert from_json(annotation, "7") == "7"
