"""The reference's six functions, field by field, and what every function of ours promises."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NotRequired, get_args, get_origin, get_type_hints

import pytest
from typing_extensions import is_typeddict

from billing_mcp.domain.errors import ERRORS
from billing_mcp.domain.ledger import TransactionType
from billing_mcp.domain.plans import AccountStatus, PlanStatus
from billing_mcp.kernel.registry import Operation
from billing_mcp.operations import REGISTRY
from tests.world import World

OPERATIONS = pytest.mark.parametrize("operation", REGISTRY.values(), ids=lambda operation: operation.name)

# name: (permission, route, arguments, required result fields, optional result fields)
REFERENCE: dict[str, tuple[str, str, list[str], set[str], set[str]]] = {
    "billing.current_plan.get": (
        "billing.view",
        "GET /current-plan",
        ["account_id"],
        {"billing_period", "currency", "plan_id", "plan_name", "price", "status"},
        {"can_cancel_plan", "can_change_plan"},
    ),
    "billing.invoices.list": (
        "billing.view",
        "GET /invoices",
        ["account_id", "page", "page_size"],
        {"items", "page", "page_size", "total"},
        set(),
    ),
    "billing.plan.cancel": (
        "billing.manage",
        "POST /cancel-plan",
        ["account_id", "cancel_at_period_end", "cancel_immediately"],
        {"status"},
        {"account_status", "effective_at", "eligible", "previous_plan_id", "target_plan_id"},
    ),
    "billing.plan.change": (
        "billing.manage",
        "POST /change-plan",
        ["account_id", "plan_id", "effective_date"],
        {"status"},
        {"account_status", "effective_at", "eligible", "previous_plan_id", "target_plan_id"},
    ),
    "billing.transactions.list": (
        "billing.view",
        "GET /transactions",
        ["account_id", "page", "page_size"],
        {"page", "page_size", "total"},
        {"items"},
    ),
    "billing.wallet_balance.get": (
        "billing.view",
        "GET /wallet-balance",
        ["account_id"],
        {"accrued_charges", "balance", "currency", "net_balance"},
        set(),
    ),
}
# What may be given, and what is told, beyond the reference: nobody has to know of it.
BEYOND: dict[str, tuple[list[str], set[str]]] = {
    "billing.current_plan.get": ([], {"price_version"}),
    "billing.plan.change": (["billing_period"], set()),
}
INVOICE_FIELDS = {"amount", "currency", "date", "download_url", "id", "number", "status"}
"""Those of the reference, and the number."""
TRANSACTION_FIELDS = {
    "amount", "currency", "direction", "effective_at", "status", "transaction_id", "type",
    "balance_after", "description", "line_items",
}  # fmt: skip
LINE_FIELDS = {
    "amount_cents", "component_type", "currency", "description", "quantity", "source", "unit",
    "unit_price_cents", "metadata", "period_end", "period_start",
}  # fmt: skip
MONEY = re.compile(r"-?\d+\.\d{2,6}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.mark.parametrize("name", list(REFERENCE))
def test_a_function_of_the_reference_has_its_permission_route_arguments_and_fields(name: str) -> None:
    permission, route, arguments, required, optional = REFERENCE[name]
    operation = REGISTRY[name]

    assert (operation.capability, operation.route) == (permission, route)
    assert (operation.execution_mode, operation.resource_type, operation.resource_id_field) == (
        "sync",
        "account",
        "account_id",
    )
    added, told = BEYOND.get(name, ([], set()))
    assert [parameter.name for parameter in operation.parameters] == [*arguments, *added]
    assert not any(parameter.required for parameter in operation.parameters if parameter.name in added)
    hints = get_type_hints(operation.returns, include_extras=True)
    assert {field for field, hint in hints.items() if get_origin(hint) is not NotRequired} == required
    assert {field for field, hint in hints.items() if get_origin(hint) is NotRequired} == optional | told


@OPERATIONS
def test_every_function_says_what_it_does_and_which_errors_it_raises(operation: Operation) -> None:
    assert operation.summary.endswith(".")
    (line,) = [line for line in operation.doc.splitlines() if line.startswith("Errors: ")]
    codes = line.removeprefix("Errors: ").rstrip(".").split(", ")
    assert set(codes) <= set(ERRORS)
    assert "not_found" in codes


@OPERATIONS
def test_every_function_names_its_account_first_and_has_a_route_of_its_own(operation: Operation) -> None:
    assert operation.parameters[0].name == "account_id"
    assert operation.parameters[0].required
    assert all(not parameter.required or parameter.name != "page" for parameter in operation.parameters)
    asks_with_a_body = operation.writes or operation.name == "billing.messages.quote"
    sets = operation.name.endswith(".set")
    assert operation.route.startswith("PUT " if sets else "POST " if asks_with_a_body else "GET ")
    assert sum(other.route == operation.route for other in REGISTRY.values()) == 1


@OPERATIONS
def test_no_function_returns_a_float_which_is_no_amount(operation: Operation) -> None:
    assert not [found for found in parts_of(operation.returns) if found is float]


def parts_of(annotation: Any) -> Iterator[Any]:
    """A type and all that it is made of."""
    yield annotation
    hints = get_type_hints(annotation).values() if is_typeddict(annotation) else get_args(annotation)
    for part in hints:
        yield from parts_of(part)


@pytest.fixture
async def lived_in(world: World) -> str:
    """An account with a past: a plan, a change of plan, a closed period with its invoice."""
    account_id = await world.account(funds="500.00", plan="smtp_per_mailbox", mailbox=33, proxy=2)
    world.clock.now = world.clock.now.replace(day=25)
    await world.must(f"billing.plan.change(account_id={account_id!r}, plan_id='smtp_per_proxy')")
    world.clock.now = world.clock.now.replace(month=4, day=14)
    await world.close_period(account_id)
    return account_id


@OPERATIONS
async def test_every_result_has_exactly_the_fields_of_its_type(
    world: World, lived_in: str, operation: Operation
) -> None:
    newest = f"billing.transactions.list(account_id={lived_in!r})['items'][0]['transaction_id']"
    if "topups" in operation.name or "auto_reload" in operation.name:
        await world.must(f"billing.payment_methods.add(account_id={lived_in!r}, token='tok_visa')")
    topup = f"account_id={lived_in!r}, amount='50.00'"
    extra = {
        "billing.auto_reload.set": ", enabled=True, threshold='5.00', amount='50.00'",
        "billing.topups.create": ", amount='50.00'",
        "billing.topups.get": f", topup_id=billing.topups.create({topup})['topup_id']",
        "billing.invoices.get": f", invoice_id=billing.invoices.list(account_id={lived_in!r})['items'][0]['number']",
        "billing.charges.explain": f", transaction_id={newest}",
        "billing.messages.quote": ", channel='sms', text='Hello'",
        "billing.plan.change": ", plan_id='smtp_per_mailbox'",
    }.get(operation.name, "")
    before = f"billing.plan.cancel(account_id={lived_in!r})\n" if operation.name == "billing.plan.resume" else ""

    result = await world.must(f"{before}{operation.name}(account_id={lived_in!r}{extra})", preview=True)

    assert set(result) == set(get_type_hints(operation.returns))


async def test_invoices_and_transactions_fill_every_field_of_the_reference(world: World, lived_in: str) -> None:
    invoices = await world.must(f"billing.invoices.list(account_id={lived_in!r})")
    transactions = await world.must(f"billing.transactions.list(account_id={lived_in!r})")

    (invoice,) = invoices["items"]
    assert set(invoice) == INVOICE_FIELDS
    assert invoice["status"] == "paid"
    assert MONEY.fullmatch(invoice["amount"])
    assert MOMENT.fullmatch(invoice["date"])
    assert transactions["total"] == 3
    for item in transactions["items"]:
        assert set(item) == TRANSACTION_FIELDS
        assert item["type"] in get_args(TransactionType)
        assert MONEY.fullmatch(item["amount"])
        assert MOMENT.fullmatch(item["effective_at"])
        for line in item["line_items"]:
            assert set(line) == LINE_FIELDS
            assert type(line["amount_cents"]) is int
    assert [item["type"] for item in transactions["items"]] == ["charge", "charge", "topup"]
    assert transactions["items"][0]["line_items"]
    _assert_amounts_lead_from_balance_to_balance(transactions["items"])


def _assert_amounts_lead_from_balance_to_balance(newest_first: list[dict[str, Any]]) -> None:
    balance = Decimal(0)
    for item in reversed(newest_first):
        amount = Decimal(item["amount"])
        assert amount >= 0
        balance += amount if item["direction"] == "credit" else -amount
        assert Decimal(item["balance_after"]) == balance


async def test_statuses_are_of_the_closed_vocabularies(world: World, lived_in: str) -> None:
    plan = await world.must(f"billing.current_plan.get(account_id={lived_in!r})")
    operation = await world.must(f"billing.plan.cancel(account_id={lived_in!r})", preview=True)

    assert plan["status"] in get_args(PlanStatus)
    assert operation["account_status"] in get_args(AccountStatus)
    assert operation["status"] in ("completed", "scheduled")
