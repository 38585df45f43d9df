"""The platform's routes of accounts: what is opened, counted and given is there, to the micro."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import Clock
from tests.faces.platform import NOBODY, PlatformClient, must, refusal
from tests.world import World

OWN_ID = "0190C0DE-0000-7000-8000-00000000AA01"
DOMESTIC = {
    "country": None,
    "vat_id": None,
    "tax_exempt": False,
    "treatment": "domestic",
    "rate_percent": "19.00",
    "rate_country": "DE",
    "on_100": "19.00",
    "note": "VAT of DE, due when the payment on account is received, Art. 65 of Directive 2006/112/EC",
}


async def test_an_account_that_is_opened_is_where_its_location_says(platform: PlatformClient) -> None:
    opened = await must(platform.send("POST", "/accounts", {"name": "Zoë & Søn 株式会社"}))

    account = opened.json()
    assert opened.status_code == 201
    assert opened.headers["location"] == f"/v1/platform/accounts/{account['account_id']}"
    assert await platform.get(f"/accounts/{account['account_id']}") == account
    assert account == {
        "account_id": account["account_id"],
        "name": "Zoë & Søn 株式会社",
        "status": "active",
        "currency": "EUR",
        "free": 0,
        "reserved": 0,
        "total": 0,
        "tax": DOMESTIC,
        "created_at": "2026-03-12T10:00:00Z",
    }


async def test_an_account_may_have_an_id_of_the_platforms_choice_once(platform: PlatformClient) -> None:
    opened = await must(platform.send("POST", "/accounts", {"name": "A", "account_id": OWN_ID}))
    again = await platform.send("POST", "/accounts", {"name": "B", "account_id": OWN_ID.lower()})

    assert opened.json()["account_id"] == OWN_ID.lower()
    assert refusal(again, 409, "account_exists")["field"] == "account_id"
    assert (await platform.get(f"/accounts/{OWN_ID}"))["name"] == "A"


async def test_of_many_who_open_the_same_account_one_does(platform: PlatformClient, elsewhere: PlatformClient) -> None:
    asked = {"name": "A", "account_id": OWN_ID}
    answers = await asyncio.gather(
        *(each.send("POST", "/accounts", asked) for _ in range(4) for each in (platform, elsewhere))
    )

    assert Counter(each.status_code for each in answers) == {201: 1, 409: 7}
    assert {each.json()["code"] for each in answers if each.status_code == 409} == {"account_exists"}


NO_ACCOUNTS: list[tuple[Any, str]] = [
    ({}, "name"),
    ({"name": ""}, "name"),
    ({"name": "x" * 201}, "name"),
    ({"name": "a\u0000b"}, "name"),
    ({"name": 5}, "name"),
    ({"name": "A", "account_id": "A"}, "account_id"),
    ({"name": "A", "currency": "USD"}, "currency"),
]


async def test_what_is_no_account_is_refused_by_field(platform: PlatformClient) -> None:
    for body, field in NO_ACCOUNTS:
        refused = await platform.send("POST", "/accounts", body)
        assert refusal(refused, 422, refused.json()["code"])["field"] == field, body
    assert (await platform.get("/accounts"))["items"] == []


async def test_balances_are_exact_numbers(platform: PlatformClient, world: World) -> None:
    account_id = await world.account(funds="999999999999.999999")
    await platform.placed(account_id, "0.000001")

    response = await must(platform.send("GET", f"/accounts/{account_id}"))

    assert '"free":999999999999.999998,"reserved":0.000001,"total":999999999999.999999' in response.text


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_every_account_is_listed_once_however_the_pages_are_cut(
    platform: PlatformClient, world: World, clock: Clock, order: str
) -> None:
    opened = []
    for number in range(7):
        clock.now += timedelta(seconds=number // 3)  # some at the same moment
        opened.append(await world.account(funds=f"{number}.50"))

    page = await platform.get(f"/accounts?order={order}&limit=2")
    pages = [page]
    while page["next_cursor"]:
        page = await platform.get(f"/accounts?order={order}&limit=2&cursor={page['next_cursor']}")
        pages.append(page)
    seen = [(each["account_id"], each["free"]) for page in pages for each in page["items"]]

    expected = [(account_id, number + 0.5) for number, account_id in enumerate(opened)]
    assert seen == (expected if order == "oldest" else expected[::-1])


async def test_nobody_on_the_way_keeps_what_the_platform_is_answered(platform: PlatformClient, world: World) -> None:
    account_id = await world.account(funds="10.00")
    answers = [
        await must(platform.send("GET", "/accounts")),
        await must(platform.send("GET", f"/accounts/{account_id}")),
        await must(platform.send("POST", "/accounts", {"name": "Northwind"}, key="once")),
        await must(platform.send("POST", "/accounts", {"name": "Northwind"}, key="once")),
        await must(platform.place(account_id)),
    ]

    kept = [answer.headers["cache-control"] for answer in answers]
    assert kept == ["private, no-cache"] * 2 + ["no-store"] * 3  # the caller may, and asks each time


async def test_two_keys_are_no_key(platform: PlatformClient) -> None:
    keys = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    refused = await platform.http.post("/v1/platform/accounts", json={"name": "Northwind"}, headers=keys)

    assert refusal(refused, 422, "invalid_argument")["field"] == "Idempotency-Key"
    assert (await platform.get("/accounts"))["items"] == []


async def test_a_list_is_asked_for_in_its_own_words(platform: PlatformClient) -> None:
    cursors = [f"cursor={cursor}" for cursor in ("%00", "-", "", "f" * 64, "f" * 65)]
    for query in ("limit=0", "limit=101", "limit=x", "order=up", "page=2", *cursors):
        for path in ("accounts", "keys"):
            refused = await platform.send("GET", f"/{path}?{query}")
            assert refusal(refused, 422, refused.json()["code"])["field"] == query.partition("=")[0], query


async def test_what_does_not_exist_is_not_found(platform: PlatformClient) -> None:
    for path in ("", "/components", f"/holds/{NOBODY}"):
        refusal(await platform.send("GET", f"/accounts/{NOBODY}{path}"), 404, "not_found")


async def test_counts_are_dated_and_the_last_one_of_a_day_counts(platform: PlatformClient, world: World) -> None:
    account_id = await world.account()
    path = f"/accounts/{account_id}/components"
    today = await must(platform.send("PUT", f"{path}/mailbox", {"quantity": 5}))
    await must(platform.send("PUT", f"{path}/mailbox", {"quantity": 7}))
    await must(platform.send("PUT", f"{path}/proxy", {"quantity": 0, "effective_on": "2026-04-01"}))

    assert today.json() == {"component_type": "mailbox", "quantity": 5, "effective_on": "2026-03-12"}
    assert (await platform.get(path))["items"] == [
        {"component_type": "mailbox", "quantity": 7, "effective_on": "2026-03-12"},
        {"component_type": "proxy", "quantity": 0, "effective_on": "2026-04-01"},
    ]


async def test_a_day_that_is_settled_cannot_be_counted_again(platform: PlatformClient, world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=1)
    path = f"/accounts/{account_id}/components/mailbox"

    refused = await platform.send("PUT", path, {"quantity": 2, "effective_on": "2026-03-11"})

    assert "2026-03-12" in refusal(refused, 409, "period_settled")["hint"]
    await must(platform.send("PUT", path, {"quantity": 2, "effective_on": "2026-03-12"}))


NO_COUNTS: list[tuple[str, Any, str]] = [
    ("rocket", {"quantity": 1}, "component_type"),
    ("mailbox", {"quantity": -1}, "quantity"),
    ("mailbox", {"quantity": 1_000_000_001}, "quantity"),
    ("mailbox", {"quantity": "1"}, "quantity"),
    ("mailbox", {"quantity": True}, "quantity"),
    ("mailbox", {"quantity": 1.5}, "quantity"),
    ("mailbox", {}, "quantity"),
    ("mailbox", {"quantity": 1, "effective_on": "2026-02-30"}, "effective_on"),
    ("mailbox", {"quantity": 1, "effective_on": 20260301}, "effective_on"),
]


async def test_what_is_no_count_is_refused_by_field(platform: PlatformClient, world: World) -> None:
    account_id = await world.account()
    for component, body, field in NO_COUNTS:
        refused = await platform.send("PUT", f"/accounts/{account_id}/components/{component}", body)
        assert refusal(refused, 422, refused.json()["code"])["field"] == field, body
    assert (await platform.get(f"/accounts/{account_id}/components"))["items"] == []


async def test_a_count_of_nobodys_is_not_found(platform: PlatformClient) -> None:
    refused = await platform.send("PUT", f"/accounts/{NOBODY}/components/mailbox", {"quantity": 1}, key="k")

    refusal(refused, 404, "not_found")


async def test_a_credit_is_money_of_the_platforms_own(platform: PlatformClient, world: World) -> None:
    account_id = await world.account(funds="1.00")

    given = await must(
        platform.send("POST", f"/accounts/{account_id}/credits", {"amount": "0.0065", "reason": "Goodwill 株"})
    )

    (transaction,) = [each for each in (await world.snapshot(account_id))["ledger"] if each.type == "credit"]
    assert given.status_code == 201
    assert given.json() == {
        "transaction_id": transaction.transaction_id,
        "account_id": account_id,
        "type": "credit",
        "amount": "0.0065",
        "currency": "EUR",
        "reason": "Goodwill 株",
        "free": 1.0065,
        "reserved": 0,
        "total": 1.0065,
    }
    entries = {entry.ledger_account: entry.amount_micros for entry in transaction.entries}
    assert (entries, transaction.description) == ({"available": 6500, "credits": -6500}, "Credit: Goodwill 株")
    assert (await world.audit()).findings == ()


NO_CREDITS: list[tuple[Any, str]] = [
    ({"amount": "0", "reason": "r"}, "amount"),
    ({"amount": "-1", "reason": "r"}, "amount"),
    ({"amount": "1.0000001", "reason": "r"}, "amount"),
    ({"amount": "9" * 13, "reason": "r"}, "amount"),
    ({"amount": 1, "reason": "r"}, "amount"),
    ({"amount": "1e3", "reason": "r"}, "amount"),
    ({"amount": "1.00"}, "reason"),
    ({"amount": "1.00", "reason": " "}, "reason"),
    ({"amount": "1.00", "reason": "a\x1fb"}, "reason"),
    ({"amount": "1.00", "reason": "r" * 256}, "reason"),
]


async def test_what_is_no_credit_is_refused_by_field(platform: PlatformClient, world: World) -> None:
    account_id = await world.account()
    for body, field in NO_CREDITS:
        refused = await platform.send("POST", f"/accounts/{account_id}/credits", body)
        assert refusal(refused, 422, refused.json()["code"])["field"] == field, body
    assert (await platform.get(f"/accounts/{account_id}"))["total"] == 0


async def test_a_wallet_that_is_full_takes_no_credit(platform: PlatformClient, world: World) -> None:
    account_id = await world.account()
    asked = {"amount": "999999999999", "reason": "r"}
    for _ in range(9):
        await must(platform.send("POST", f"/accounts/{account_id}/credits", asked))

    refusal(await platform.send("POST", f"/accounts/{account_id}/credits", asked), 409, "amount_too_large")
    refusal(await platform.send("POST", f"/accounts/{NOBODY}/credits", asked), 404, "not_found")
