"""billing.payment_methods.*: adding a way to pay by a token or at a URL, and what is shown of it."""

from __future__ import annotations

from typing import Any

import pytest

from billing_mcp.kernel.principal import Permission, Principal
from billing_mcp.operations import payment_methods
from tests.operations.paying import Customer

VIEWER = Principal("viewer", frozenset({Permission.VIEW}))


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("tok_visa", ("card", "visa", "4242", 12, 2034, None)),
        ("tok_amex", ("card", "amex", "0005", 12, 2034, None)),
        ("tok_sepa", ("sepa_debit", None, "3000", None, None, "active")),
    ],
)
async def test_a_method_shows_what_people_know_it_by_and_never_what_it_is_charged_by(
    customer: Customer, token: str, shown: tuple[Any, ...]
) -> None:
    added = await customer.add(token)

    names = ("type", "brand", "last4", "exp_month", "exp_year", "mandate_status")
    assert tuple(added[name] for name in names) == shown
    assert (added["status"], added["is_default"], added["setup_url"]) == ("active", True, None)
    assert await customer.methods() == [added]
    assert token not in str(added)
    assert customer.told == ["payment_method.attach", "payment_method.added"]


async def test_a_script_sees_a_method_as_pending_and_the_followup_says_what_came_of_it(customer: Customer) -> None:
    answer = await customer.must("payment_methods.add", token="tok_visa")

    assert answer.result["status"] == "pending"
    (followup,) = answer.followups
    assert followup["payment_method"]["payment_method_id"] == answer.result["payment_method_id"]
    assert followup["payment_method"]["status"] == "active"


@pytest.mark.parametrize(
    ("token", "code"), [("tok_attach_declined", "card_declined"), ("tok_nobody_knows", "unknown_token")]
)
async def test_a_method_that_the_provider_refuses_has_failed_and_is_never_the_default(
    customer: Customer, token: str, code: str
) -> None:
    added = await customer.add(token, make_default=True)

    assert (added["status"], added["failure_code"], added["is_default"]) == ("failed", code, False)
    assert customer.told[-1] == "payment_method.failed"
    good = await customer.add("tok_visa")
    assert (good["status"], good["is_default"]) == ("active", True)


@pytest.mark.parametrize("kind", ["card", "sepa_debit"])
async def test_without_a_token_the_customer_enters_the_method_at_a_url(customer: Customer, kind: str) -> None:
    begun = await customer.add(type=kind)

    assert (begun["status"], begun["type"], begun["is_default"]) == ("requires_action", kind, False)
    assert begun["setup_url"].startswith("https://")
    assert await customer.refused("topups.create", amount="50.00") == "no_payment_method"
    await customer.pass_time(minutes=1)
    (entered,) = await customer.methods()
    assert entered["payment_method_id"] == begun["payment_method_id"]
    assert (entered["status"], entered["is_default"], entered["setup_url"]) == ("active", True, None)
    assert customer.told.count("payment_method.added") == 1


async def test_a_set_up_that_the_customer_ends_with_a_refused_card_has_failed(customer: Customer) -> None:
    begun = await customer.add()
    await customer.provider.complete_set_up(begun["setup_url"].rpartition("/")[2], "tok_attach_declined")

    await customer.pass_time()

    (ended,) = await customer.methods()
    assert (ended["status"], ended["failure_code"], ended["setup_url"]) == ("failed", "card_declined", None)


async def test_the_first_method_is_the_default_until_another_is_made_that(customer: Customer) -> None:
    first = await customer.add("tok_visa")
    second = await customer.add("tok_mastercard")
    assert (first["is_default"], second["is_default"]) == (True, False)

    third = await customer.add("tok_amex", make_default=True)

    assert [each["is_default"] for each in await customer.methods()] == [False, False, True]
    assert (await customer.top_up())["payment_method_id"] == third["payment_method_id"]
    named = await customer.top_up(payment_method_id=second["payment_method_id"])
    assert named["payment_method_id"] == second["payment_method_id"]


async def test_an_account_has_a_limit_of_methods_and_failed_ones_do_not_count(
    customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payment_methods, "MAX_METHODS", 2)
    for token in ("tok_attach_declined", "tok_visa", "tok_sepa"):
        await customer.add(token)

    assert await customer.refused("payment_methods.add", token="tok_amex") == "too_many_payment_methods"


@pytest.mark.parametrize("token", ["", "tok visa", "tok_visa'", "t" * 256, 4242, "tok_visa\n", ["tok_visa"]])
async def test_what_cannot_be_a_token_is_refused_and_nothing_is_stored(customer: Customer, token: object) -> None:
    answer = await customer.call("payment_methods.add", token=token)

    assert answer.error is not None
    assert (answer.error.code, answer.error.field) == ("invalid_argument", "token")
    assert await customer.methods() == []


async def test_a_preview_and_a_script_that_fails_add_nothing_and_ask_nobody(customer: Customer) -> None:
    previewed = await customer.must("payment_methods.add", token="tok_visa", preview=True)
    failed = await customer.world.run(
        f"billing.payment_methods.add(account_id={customer.account_id!r}, token='tok_visa')\n1 / 0"
    )

    assert [effect.setting for effect in previewed.effects.settings] == ["payment_method"]
    assert (previewed.changed, previewed.followups, failed.changed, failed.followups) == (False, [], False, [])
    await customer.pass_time()
    assert await customer.methods() == []


async def test_the_same_request_under_its_key_adds_one_method_and_answers_the_same(customer: Customer) -> None:
    first = await customer.must("payment_methods.add", token="tok_visa", idempotency_key="add")
    again = await customer.must("payment_methods.add", token="tok_visa", idempotency_key="add")

    assert again.to_json() == first.to_json()
    assert again.followups
    assert len(await customer.methods()) == 1


async def test_who_may_only_look_sees_methods_and_cannot_add_one(payer: Customer) -> None:
    asked: dict[str, object] = {"account_id": payer.account_id}

    listed = await payer.world.app.read(VIEWER, "billing.payment_methods.list", asked)
    refused = await payer.world.app.call(VIEWER, "billing.payment_methods.add", {**asked, "token": "tok_amex"})

    assert len(listed["items"]) == 1
    assert refused.error is not None
    assert refused.error.code == "permission_denied"


async def test_another_accounts_methods_are_neither_listed_nor_charged(payer: Customer) -> None:
    (theirs,) = await payer.methods()
    stranger = Customer(payer.world, await payer.world.account(), [])

    assert await stranger.methods() == []
    found = await stranger.refused("topups.create", amount="50.00", payment_method_id=theirs["payment_method_id"])
    assert found == "not_found"
