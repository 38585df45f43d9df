"""The platform's routes of credits: their terms, and what is left of each."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.faces.platform import NOBODY, PlatformClient, must, refusal
from tests.world import World


async def given(platform: PlatformClient, account_id: str, **terms: Any) -> Any:
    """A credit of 5.00, or as its terms say."""
    body = {"amount": "5.00", "reason": "r", **terms}
    return (await must(platform.send("POST", f"/accounts/{account_id}/credits", body))).json()


async def test_what_is_left_of_each_credit_is_listed_newest_first_some_at_a_time(
    platform: PlatformClient, world: World
) -> None:
    account_id = await world.account(funds="10.00")
    one = await given(platform, account_id, reason="one")
    two = await given(platform, account_id, reason="two", priority=0, expires_at="2026-03-20")
    hold_id = await platform.placed(account_id, "6.00")
    await must(platform.send("POST", f"/accounts/{account_id}/holds/{hold_id}/capture", {}))
    three = await given(platform, account_id, reason="three", expires_at="2026-03-14T12:00:00+02:00")

    path = f"/accounts/{account_id}/credits"
    first = await platform.get(f"{path}?limit=2")
    last = await platform.get(f"{path}?limit=2&cursor={first['next_cursor']}")

    items = [*first["items"], *last["items"]]
    assert [each["credit_id"] for each in items] == [each["transaction_id"] for each in (three, two, one)]
    assert last["next_cursor"] is None
    assert [each["expires_at"] for each in items] == ["2026-03-14T10:00:00Z", "2026-03-20T00:00:00Z", None]
    assert items[1] == {
        "credit_id": two["transaction_id"],
        "amount": "5.00",
        "used": "5.00",
        "expired": "0.00",
        "remaining": "0.00",
        "currency": "EUR",
        "priority": 0,
        "expires_at": "2026-03-20T00:00:00Z",
        "reason": "two",
        "granted_at": "2026-03-12T10:00:00Z",
    }
    assert (items[2]["used"], items[2]["remaining"]) == ("1.00", "4.00")
    hold_id = await platform.placed(account_id, "1.50")
    await must(platform.send("POST", f"/accounts/{account_id}/holds/{hold_id}/capture", {}))
    oldest = await platform.get(f"{path}?order=oldest")
    assert [each["remaining"] for each in oldest["items"]] == ["4.00", "0.00", "3.50"]  # it is not settled yet
    seen = await world.must(f"[each['reason'] for each in billing.credits.list(account_id={account_id!r})['items']]")
    assert seen == ["three", "one"]
    assert (await world.audit()).findings == ()


async def test_ten_requests_at_once_under_one_key_give_one_credit(
    platform: PlatformClient, elsewhere: PlatformClient, world: World
) -> None:
    account_id = await world.account()
    path, body = f"/accounts/{account_id}/credits", {"amount": "5.00", "reason": "r", "expires_at": "2026-04-01"}

    answers = await asyncio.gather(
        *[must(each.send("POST", path, body, key="k")) for _ in range(5) for each in (platform, elsewhere)]
    )

    assert len({each.content for each in answers}) == 1
    assert sum("idempotent-replayed" in each.headers for each in answers) == 9
    assert len((await platform.get(path))["items"]) == 1
    other = await platform.send("POST", path, body | {"expires_at": "2026-04-02"}, key="k")
    refusal(other, 422, "idempotency_key_reused")


NO_TERMS: list[tuple[dict[str, Any], str]] = [
    ({"expires_at": "2026-03-12"}, "expires_at"),
    ({"expires_at": "2026-03-12T10:00:00Z"}, "expires_at"),
    ({"expires_at": "2026-04-01T10:00:00"}, "expires_at"),
    ({"expires_at": "2026-02-30"}, "expires_at"),
    ({"expires_at": "in a month"}, "expires_at"),
    ({"expires_at": 20260401}, "expires_at"),
    ({"priority": 10}, "priority"),
    ({"priority": -1}, "priority"),
    ({"priority": "1"}, "priority"),
    ({"priority": 1.5}, "priority"),
]


async def test_what_are_no_terms_of_a_credit_is_refused_by_field(platform: PlatformClient, world: World) -> None:
    account_id = await world.account()
    path = f"/accounts/{account_id}/credits"
    for terms, field in NO_TERMS:
        refused = await platform.send("POST", path, {"amount": "5.00", "reason": "r", **terms})
        assert refusal(refused, 422, refused.json()["code"])["field"] == field, terms

    assert await platform.get(path) == {"items": [], "next_cursor": None}
    assert (await platform.get(f"/accounts/{account_id}"))["total"] == 0
    refusal(await platform.send("GET", f"/accounts/{NOBODY}/credits"), 404, "not_found")
    refused = await platform.send("GET", f"{path}?cursor=f")
    assert refusal(refused, 422, "invalid_argument")["field"] == "cursor"
