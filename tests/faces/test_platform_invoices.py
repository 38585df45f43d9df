"""The platform's routes of invoices: seeing them, correcting them, and saying who they are addressed to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import NOW
from tests.faces.platform import NOBODY, PlatformClient, must, platform_client, refusal
from tests.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

DETAILS = {"name": "Northwind Mail AG", "address": ["Hafenstraße 1", "20457 Hamburg"], "language": "de"}


@dataclass(frozen=True)
class Customers:
    """Accounts with invoices, and who may correct them."""

    world: World
    platform: PlatformClient

    async def billed(self, months: int = 1, funds: str = "100.00") -> str:
        """An account with so many invoices of 32.50 net."""
        self.world.clock.now = NOW
        account_id = await self.world.account(funds=funds, plan="smtp_per_mailbox", mailbox=10)
        for month in range(1, months + 1):
            self.world.clock.now = NOW + timedelta(days=31 * month)
            await self.world.close_period(account_id)
        return account_id

    async def invoices(self, account_id: str) -> list[dict[str, Any]]:
        """All of them as the list has them, newest first."""
        items: list[dict[str, Any]] = (await self.platform.get(f"/accounts/{account_id}/invoices"))["items"]
        return items


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _customers(_lasting_world: World) -> AsyncIterator[Customers]:
    async with platform_client(_lasting_world.app) as client:
        yield Customers(_lasting_world, client)


@pytest.fixture
def customers(_customers: Customers, lasting_world: World) -> Customers:
    assert _customers.world is lasting_world
    return _customers


async def test_until_it_is_said_invoices_are_addressed_to_the_account_by_its_name(customers: Customers) -> None:
    account_id = await customers.world.account()

    told = await customers.platform.get(f"/accounts/{account_id}/details")

    assert told == {"name": f"Account {account_id[-3:]}", "address": [], "language": "en", "reference": None}


async def test_the_next_invoice_is_addressed_as_was_said_and_earlier_ones_stay(customers: Customers) -> None:
    account_id, platform = await customers.billed(), customers.platform
    told = (await must(platform.send("PUT", f"/accounts/{account_id}/details", DETAILS | {"reference": "PO 1"}))).json()
    assert told == DETAILS | {"reference": "PO 1"} == await platform.get(f"/accounts/{account_id}/details")
    customers.world.clock.now += timedelta(days=31)
    await customers.world.close_period(account_id)

    newest, before = [
        await platform.get(f"/accounts/{account_id}/invoices/{item['id']}")
        for item in await customers.invoices(account_id)
    ]

    assert (newest["customer"]["name"], newest["customer"]["address"]) == (DETAILS["name"], DETAILS["address"])
    assert (newest["language"], newest["reference"]) == ("de", "PO 1")
    assert (before["customer"]["name"], before["language"]) == (f"Account {account_id[-3:]}", "en")


NO_DETAILS: list[tuple[dict[str, Any], str]] = [
    ({}, "name"),
    ({"name": ""}, "name"),
    ({"name": "a" * 201}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"name": "a", "address": ["x"] * 7}, "address"),
    ({"name": "a", "address": [""]}, "address.0"),
    ({"name": "a", "address": ["x", "a" * 101]}, "address.1"),
    ({"name": "a", "address": ["x\u202e"]}, "address.0"),
    ({"name": "a", "address": "x"}, "address"),
    ({"name": "a", "language": "fr"}, "language"),
    ({"name": "a", "reference": " "}, "reference"),
    ({"name": "a", "reference": "4242 4242 4242 4242"}, "reference"),
    ({"name": "a", "country": "DE"}, "country"),
]


async def test_what_does_not_fit_on_an_invoice_is_refused_by_field_and_changes_nothing(customers: Customers) -> None:
    account_id, platform = await customers.world.account(), customers.platform
    await must(platform.send("PUT", f"/accounts/{account_id}/details", DETAILS))

    for body, field in NO_DETAILS:
        refused = await platform.send("PUT", f"/accounts/{account_id}/details", body)
        assert refusal(refused, 422, refused.json()["code"])["field"] == field, body

    assert await platform.get(f"/accounts/{account_id}/details") == DETAILS | {"reference": None}


async def test_nobodys_account_has_no_details_and_no_invoices(customers: Customers) -> None:
    asked: list[tuple[str, str, Any]] = [
        ("PUT", "details", DETAILS),
        ("GET", "details", None),
        ("GET", "invoices", None),
        ("GET", "invoices/INV-2026-000001", None),
        ("POST", "invoices/INV-2026-000001/credit-notes", {"reason": "x"}),
    ]
    for method, path, body in asked:
        refusal(await customers.platform.send(method, f"/accounts/{NOBODY}/{path}", body), 404, "not_found")


async def test_the_list_of_invoices_goes_on_where_it_ended_whatever_is_issued_meanwhile(customers: Customers) -> None:
    account_id, platform = await customers.billed(months=3, funds="500.00"), customers.platform
    whole = await customers.invoices(account_id)
    first = await platform.get(f"/accounts/{account_id}/invoices?limit=2")
    await must(platform.send("POST", f"/accounts/{account_id}/invoices/{whole[0]['id']}/credit-notes", {"reason": "x"}))

    rest = await platform.get(f"/accounts/{account_id}/invoices?limit=2&cursor={first['next_cursor']}")

    assert [*first["items"], *rest["items"]] == whole
    assert (len(first["items"]), rest["next_cursor"]) == (2, None)
    assert [each["amount"] for each in await customers.invoices(account_id)] == ["-32.50", "32.50", "32.50", "32.50"]


async def test_a_credit_note_gives_back_what_is_named_and_is_where_its_answer_says(customers: Customers) -> None:
    account_id, platform = await customers.billed(), customers.platform
    (invoice,) = await customers.invoices(account_id)
    before = (await platform.get(f"/accounts/{account_id}"))["free"]

    issued = await must(
        platform.send(
            "POST",
            f"/accounts/{account_id}/invoices/{invoice['number']}/credit-notes",
            {"reason": "Down for a day", "lines": [{"line": 1, "amount": "1.00"}, {"line": 2, "amount": "0.50"}]},
        )
    )

    note = issued.json()
    assert issued.status_code == 201
    assert note == await platform.get(issued.headers["location"])
    assert (note["kind"], note["corrects"], note["reason"]) == ("credit_note", invoice["id"], "Down for a day")
    assert (note["amount"], note["tax"], note["total"]) == ("-1.50", "-0.29", "-1.79")
    assert (await platform.get(f"/accounts/{account_id}"))["free"] == pytest.approx(before + 1.5)
    shown = await platform.get(f"/accounts/{account_id}/invoices/{invoice['number']}")
    assert [each["id"] for each in shown["credit_notes"]] == [note["id"]]


async def test_without_lines_all_that_is_left_is_given_back_and_then_there_is_no_more(customers: Customers) -> None:
    account_id, platform = await customers.billed(funds="0.00"), customers.platform
    (invoice,) = await customers.invoices(account_id)
    path = f"/accounts/{account_id}/invoices/{invoice['id']}/credit-notes"
    await must(platform.send("POST", path, {"reason": "a", "lines": [{"line": 1, "amount": "20.00"}]}))

    rest = (await must(platform.send("POST", path, {"reason": "b"}))).json()

    assert rest["amount"] == "-12.50"
    assert (await platform.get(f"/accounts/{account_id}"))["free"] == 0  # none of it had been paid
    shown = await platform.get(f"/accounts/{account_id}/invoices/{invoice['id']}")
    assert (shown["status"], shown["due"]) == ("void", "0.00")
    refusal(await platform.send("POST", path, {"reason": "c"}), 409, "invoice_not_correctable")
    path = path.replace(invoice["id"], rest["id"])
    refusal(await platform.send("POST", path, {"reason": "c"}), 409, "invoice_not_correctable")


NO_NOTES: list[tuple[dict[str, Any], str]] = [
    ({}, "reason"),
    ({"reason": ""}, "reason"),
    ({"reason": "x" * 256}, "reason"),
    ({"reason": "4242 4242 4242 4242"}, "reason"),
    ({"reason": "x", "lines": []}, "lines"),
    ({"reason": "x", "lines": [{"line": 1}]}, "lines.0.amount"),
    ({"reason": "x", "lines": [{"line": 0, "amount": "1.00"}]}, "lines.0.line"),
    ({"reason": "x", "lines": [{"line": 3, "amount": "1.00"}]}, "lines"),
    ({"reason": "x", "lines": [{"line": 1, "amount": "0.001"}]}, "lines.0.amount"),
    ({"reason": "x", "lines": [{"line": 1, "amount": "-1.00"}]}, "lines.0.amount"),
    ({"reason": "x", "lines": [{"line": 1, "amount": 1}]}, "lines.0.amount"),
    ({"reason": "x", "lines": [{"line": 1, "amount": "29.01"}]}, "amount"),
    ({"reason": "x", "lines": [{"line": 1, "amount": "1.00"}] * 2}, "lines"),
    ({"reason": "x", "all": True}, "all"),
]


async def test_what_cannot_be_given_back_is_refused_by_field_and_nothing_is_issued(customers: Customers) -> None:
    account_id, platform = await customers.billed(), customers.platform
    (invoice,) = await customers.invoices(account_id)

    for body, field in NO_NOTES:
        refused = await platform.send("POST", f"/accounts/{account_id}/invoices/{invoice['id']}/credit-notes", body)
        assert refusal(refused, 422, refused.json()["code"])["field"] == field, body

    assert await customers.invoices(account_id) == [invoice]


async def test_under_a_key_a_credit_note_is_issued_once_and_its_number_is_used_once(customers: Customers) -> None:
    account_id, platform = await customers.billed(), customers.platform
    (invoice,) = await customers.invoices(account_id)
    path = f"/accounts/{account_id}/invoices/{invoice['number']}/credit-notes"
    body = {"reason": "Goodwill", "lines": [{"line": 1, "amount": "1.00"}]}

    first, again = [await must(platform.send("POST", path, body, key="k")) for _ in range(2)]
    other = await platform.send("POST", path, body | {"reason": "More"}, key="k")
    next_one = (await must(platform.send("POST", path, body, key="l"))).json()

    assert (again.json(), again.headers["idempotent-replayed"]) == (first.json(), "true")
    assert again.headers["location"] == first.headers["location"]
    refusal(other, 422, "idempotency_key_reused")
    assert int(next_one["number"][-6:]) == int(first.json()["number"][-6:]) + 1


async def test_an_invoice_of_another_account_is_not_there(customers: Customers) -> None:
    mine, other = await customers.billed(), await customers.billed()
    (invoice,) = await customers.invoices(other)

    for name in (invoice["id"], invoice["number"]):
        path = f"/accounts/{mine}/invoices/{name}"
        refusal(await customers.platform.send("GET", path), 404, "not_found")
        refusal(await customers.platform.send("POST", f"{path}/credit-notes", {"reason": "x"}), 404, "not_found")
