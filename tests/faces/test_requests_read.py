"""What is told of a request that cannot be read names the field, its value and the mend."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faces.platform import PlatformClient, refusal
from tests.world import World

ACCOUNT = "0190c0de-0000-7000-8000-0000000000a1"
PLACE = {"action": "place", "account_id": ACCOUNT, "amount": "1.00"}


async def told(platform: PlatformClient, body: Any, path: str = "/holds/batch") -> tuple[str, str, str | None]:
    """Code, title and detail of the refusal of a body."""
    refused = await platform.send("POST", path, body)
    problem = refusal(refused, 422, refused.json()["code"])
    return problem["code"], problem["detail"], problem.get("hint")


async def test_each_way_to_be_wrong_is_told_in_its_own_words(platform: PlatformClient) -> None:
    for body, code, title in [
        ({"items": [{**PLACE, "amount": 0.1}]}, "invalid_argument", "items.0.amount must be a positive decimal amount"),
        ({"items": [PLACE, {**PLACE, "amuont": "1"}]}, "unknown_argument", "this request has no items.1.amuont"),
        (
            {"items": [{"action": "release", "account_id": ACCOUNT}]},
            "missing_argument",
            "this request needs items.0.hol",
        ),
        (
            {"items": [{**PLACE, "action": "expire"}]},
            "invalid_argument",
            "items.0.action must be one of 'place', 'capt",
        ),
        (
            {"items": [{"account_id": ACCOUNT}]},
            "invalid_argument",
            "items.0.action must say what is to be done; got None",
        ),
        ({"items": []}, "invalid_argument", "items must have at least 1 item, not 0; got a list"),
        ({}, "missing_argument", "this request needs items"),
        ([], "invalid_argument", "this request needs a JSON object as its body; it is a list"),
    ]:
        found = await told(platform, body)
        assert (found[0], found[1][: len(title)]) == (code, title), body


async def test_a_value_is_shown_short_and_with_nothing_that_cannot_be_printed(platform: PlatformClient) -> None:
    _, title, detail = await told(platform, {"items": [{**PLACE, "amount": "\u001b[31m" + "x" * 10_000}]})

    assert r"got '\x1b[31mxxx" in title
    assert "(10005 characters)" in title
    assert title.isprintable()
    assert len(title) < 300
    assert detail == 'Write it as text: "0.0065".'


@pytest.mark.parametrize(
    ("content", "media_type", "title"),
    [
        (b"", "application/json", "this request needs a JSON object as its body; there is none"),
        (b'{"name": "A"', "application/json", "this request needs a JSON object as its body; Expecting"),
        (b'{"name": "A"}', "text/plain", "this request needs a JSON object as its body; it is a bytes"),
        (b'"A"', "application/json", "this request needs a JSON object as its body; it is 'A'"),
    ],
)
async def test_a_body_that_is_no_json_object_is_told_so(
    platform: PlatformClient, content: bytes, media_type: str, title: str
) -> None:
    refused = await platform.http.post("/v1/platform/accounts", content=content, headers={"Content-Type": media_type})

    problem = refusal(refused, 422, "invalid_argument")
    assert (problem["field"], problem["detail"][: len(title)]) == ("body", title)


async def test_a_field_whose_name_is_a_variants_is_named_in_full(platform: PlatformClient, world: World) -> None:
    account_id = await world.account()

    refused = await platform.batch({"action": "place", "account_id": account_id, "amount": {"amount": "1"}})

    assert refusal(refused, 422, "invalid_argument")["field"] == "items.0.amount"
