"""The platform's routes of single holds: what is placed, captured and released, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import Clock
from tests.faces.platform import NOBODY, PlatformClient, must, refusal
from tests.world import World


async def test_a_hold_that_is_placed_is_where_its_location_says(platform: PlatformClient, world: World) -> None:
    account_id = await world.account(funds="10.00")

    placed = await must(
        platform.place(account_id, "4.0065", reference="msg_ünï", expires_at="2026-03-13T12:00:00+02:00")
    )

    hold = placed.json()
    transaction_ids = hold.pop("transaction_ids")
    assert placed.status_code == 201
    assert placed.headers["location"] == f"/v1/platform/accounts/{account_id}/holds/{hold['hold_id']}"
    assert hold == await platform.get(f"/accounts/{account_id}/holds/{hold['hold_id']}")
    assert hold == {
        "account_id": account_id,
        "hold_id": hold["hold_id"],
        "reference": "msg_ünï",
        "status": "open",
        "currency": "EUR",
        "amount": "4.0065",
        "captured": "0.00",
        "released": "0.00",
        "remaining": "4.0065",
        "created_at": "2026-03-12T10:00:00Z",
        "expires_at": "2026-03-13T10:00:00Z",
        "closed_at": None,
        "free": 5.9935,
        "reserved": 4.0065,
    }
    assert transaction_ids == [(await world.snapshot(account_id))["ledger"][-1].transaction_id]


async def test_a_hold_is_captured_in_parts_and_the_rest_is_given_back(platform: PlatformClient, world: World) -> None:
    account_id = await world.account(funds="10.00")
    path = f"/accounts/{account_id}/holds/{await platform.placed(account_id, '4.00')}/capture"

    part = (await must(platform.send("POST", path, {"amount": "1.00"}))).json()
    final = (await must(platform.send("POST", path, {"amount": "0.50", "final": True}))).json()

    assert (part["status"], part["remaining"], part["reserved"], len(part["transaction_ids"])) == ("open", "3.00", 3, 1)
    assert (final["status"], final["captured"], final["released"]) == ("captured", "1.50", "2.50")
    assert (final["free"], final["reserved"], len(final["transaction_ids"])) == (8.5, 0, 2)
    refusal(await platform.send("POST", path, {}), 409, "hold_not_open")
    assert (await world.audit()).findings == ()


@pytest.mark.parametrize("body", [None, {}, {"amount": None}])
async def test_a_capture_that_names_no_amount_is_of_all(platform: PlatformClient, world: World, body: Any) -> None:
    account_id = await world.account(funds="10.00")
    hold_id = await platform.placed(account_id, "4.00")

    captured = await must(platform.send("POST", f"/accounts/{account_id}/holds/{hold_id}/capture", body))

    assert (captured.status_code, captured.json()["captured"], captured.json()["free"]) == (200, "4.00", 6)


async def test_a_capture_of_more_than_there_is_makes_the_account_owe(platform: PlatformClient, world: World) -> None:
    account_id = await world.account(funds="2.00")
    hold_id = await platform.placed(account_id, "2.00")

    await must(platform.send("POST", f"/accounts/{account_id}/holds/{hold_id}/capture", {"amount": "2.50"}))

    assert (await platform.get(f"/accounts/{account_id}"))["status"] == "past_due"
    refusal(await platform.place(account_id, "0.01"), 409, "account_not_active")


async def test_a_release_gives_everything_back_once(platform: PlatformClient, world: World) -> None:
    account_id = await world.account(funds="10.00")
    path = f"/accounts/{account_id}/holds/{await platform.placed(account_id, '4.00')}/release"

    released = (await must(platform.send("POST", path))).json()

    assert (released["status"], released["released"], released["free"]) == ("released", "4.00", 10)
    assert refusal(await platform.send("POST", path), 409, "hold_not_open")["field"] == "hold_id"


async def test_what_is_not_covered_is_refused_and_says_how_much_is_missing(
    platform: PlatformClient, world: World
) -> None:
    account_id = await world.account(funds="10.00")

    assert "0.01 EUR" in refusal(await platform.place(account_id, "10.01"), 402, "insufficient_funds")["hint"]
    assert (await platform.get(f"/accounts/{account_id}"))["reserved"] == 0


NO_HOLDS: list[tuple[Any, str]] = [
    ({}, "amount"),
    ({"amount": "0"}, "amount"),
    ({"amount": 1.5}, "amount"),
    ({"amount": "1,5"}, "amount"),
    ({"amount": "NaN"}, "amount"),
    ({"amount": "1" * 400}, "amount"),
    ({"amount": "٣"}, "amount"),
    ({"amount": None}, "amount"),
    ({"amount": "1", "reference": "a\u001fb"}, "reference"),
    ({"amount": "1", "reference": "r" * 256}, "reference"),
    ({"amount": "1", "reference": None}, "reference"),
    ({"amount": "1", "expires_at": "2026-03-13T12:00:00"}, "expires_at"),
    ({"amount": "1", "expires_at": "2026-03-12T10:00:00Z"}, "expires_at"),
    ({"amount": "1", "expires_at": "2030-01-01T00:00:00Z"}, "expires_at"),
    ({"amount": "1", "expires_at": "0001-01-01T00:00:00+23:59"}, "expires_at"),
    ({"amount": "1", "expires_at": 1900000000}, "expires_at"),
    ({"amount": "1", "idempotency_key": "k"}, "idempotency_key"),
]


async def test_what_is_no_hold_is_refused_by_field(platform: PlatformClient, world: World) -> None:
    account_id = await world.account(funds="10.00")
    for body, field in NO_HOLDS:
        refused = await platform.send("POST", f"/accounts/{account_id}/holds", body)
        assert refusal(refused, 422, refused.json()["code"])["field"] == field, body
    assert (await platform.get(f"/accounts/{account_id}"))["reserved"] == 0


@pytest.mark.parametrize("act", ["capture", "release"])
async def test_a_hold_is_found_on_its_own_account_alone(platform: PlatformClient, world: World, act: str) -> None:
    mine, theirs = await world.account(funds="10.00"), await world.account(funds="10.00")
    hold_id = await platform.placed(mine)

    for path in (f"{theirs}/holds/{hold_id}", f"{mine}/holds/{NOBODY}", f"{NOBODY}/holds/{hold_id}"):
        refusal(await platform.send("POST", f"/accounts/{path}/{act}"), 404, "not_found")
        refusal(await platform.send("GET", f"/accounts/{path}"), 404, "not_found")
    wrong = await platform.send("POST", f"/accounts/{mine}/holds/nonsense/{act}")
    assert refusal(wrong, 422, "invalid_argument")["field"] == "hold_id"


async def test_a_hold_under_a_key_is_answered_the_same_whatever_happened_since(
    platform: PlatformClient, elsewhere: PlatformClient, world: World, clock: Clock
) -> None:
    account_id = await world.account(funds="10.00")
    asked = {"reference": 'msg_"1"', "key": "k1"}
    first = await must(platform.place(account_id, "4.0", **asked))
    path = f"/accounts/{account_id}/holds/{first.json()['hold_id']}"
    captured = await must(platform.send("POST", f"{path}/capture", {"amount": "1.00"}, key="k2"))
    clock.now += timedelta(days=1)

    again = [await must(each.place(account_id, "4.00", **asked)) for each in (platform, elsewhere)]
    captured_again = await must(elsewhere.send("POST", f"{path}/capture", {"amount": "1.00", "final": False}, key="k2"))
    released = await must(platform.send("POST", f"{path}/release", key="k3"))
    released_again = await must(elsewhere.send("POST", f"{path}/release", key="k3"))

    for one, other in [(first, again[0]), (first, again[1]), (captured, captured_again), (released, released_again)]:
        assert (one.status_code, one.content) == (other.status_code, other.content)
        assert one.headers.get("location") == other.headers.get("location")
        assert ("idempotent-replayed" in one.headers, other.headers["idempotent-replayed"]) == (False, "true")
    assert (await platform.get(f"/accounts/{account_id}"))["total"] == 9
    assert (await world.audit()).findings == ()


async def test_a_key_of_a_hold_is_for_one_request_on_its_account(platform: PlatformClient, world: World) -> None:
    account_id = await world.account(funds="10.00")
    hold_id = (await must(platform.place(account_id, "4.00", key="k"))).json()["hold_id"]

    for path, body in [
        ("holds", {"amount": "4.01"}),
        ("holds", {"amount": "4.00", "reference": "r"}),
        ("holds", {"amount": "4.00", "expires_at": "2026-03-19T10:00:00Z"}),
        (f"holds/{hold_id}/capture", {}),
        (f"holds/{hold_id}/release", None),
        ("credits", {"amount": "4.00", "reason": "r"}),
    ]:
        refused = await platform.send("POST", f"/accounts/{account_id}/{path}", body, key="k")
        assert refusal(refused, 422, "idempotency_key_reused")["field"] == "idempotency_key"
    assert (await platform.get(f"/accounts/{account_id}"))["reserved"] == 4


async def test_a_hold_that_was_refused_leaves_its_key_free(platform: PlatformClient, world: World) -> None:
    account_id = await world.account(funds="1.00")
    refusal(await platform.place(account_id, "4.00", key="k"), 402, "insufficient_funds")

    placed = await must(platform.place(account_id, "1.00", key="k"))

    assert "idempotent-replayed" not in placed.headers


async def test_a_credit_under_a_key_is_given_once(
    platform: PlatformClient, elsewhere: PlatformClient, world: World
) -> None:
    account_id = await world.account()
    path = f"/accounts/{account_id}/credits"
    first = await must(platform.send("POST", path, {"amount": "5", "reason": "r"}, key="k"))
    await world.pay(account_id, "1.00")

    again = await must(elsewhere.send("POST", path, {"amount": "5.00", "reason": "r"}, key="k"))
    other = await platform.send("POST", path, {"amount": "5.00", "reason": "s"}, key="k")

    assert (again.status_code, again.content, again.headers["idempotent-replayed"]) == (201, first.content, "true")
    refusal(other, 422, "idempotency_key_reused")
    assert (await platform.get(f"/accounts/{account_id}"))["total"] == 6


async def test_platforms_and_accounts_have_keys_of_their_own(
    platform: PlatformClient, other_platform: PlatformClient, world: World
) -> None:
    mine, theirs = await world.account(funds="10.00"), await world.account(funds="10.00")

    answers = [await must(each.place(mine, "1.00", key="k")) for each in (platform, other_platform)]
    answers.append(await must(platform.place(theirs, "2.00", key="k")))
    await platform.app.holds.place(mine, 1_000_000, idempotency_key="k")

    assert not any("idempotent-replayed" in each.headers for each in answers)
    assert (await platform.get(f"/accounts/{mine}"))["reserved"] == 3


async def test_a_key_is_1_to_255_characters_that_can_be_printed(platform: PlatformClient, world: World) -> None:
    account_id = await world.account(funds="10.00")
    path = f"/v1/platform/accounts/{account_id}/holds"

    for key in ("", "k" * 256, "k\u0080", "kéy", "a\tb"):
        headers = [(b"Idempotency-Key", key.encode("latin-1"))]
        refused = await platform.http.post(path, json={"amount": "1.00"}, headers=headers)
        assert refusal(refused, 422, "invalid_argument")["field"] == "Idempotency-Key", key
    await must(platform.place(account_id, key="~" * 255))
