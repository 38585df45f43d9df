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
            "items.0.action must say which kind it is; got None",
        ),
        ({"items": []}, "invalid_argument", "items must have at least 1 item, not 0; got a list"),
        ({}, "missing_argument", "this request needs items"),
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


@pytest.mark.parametrize("path", ["/accounts", "/holds/batch"])
@pytest.mark.parametrize(
    ("content", "media_type", "status", "code", "field"),
    [
        (b"", "application/json", 422, "missing_argument", None),
        (b'{"name": "A"', "application/json", 400, "not_json", "body"),
        (b'{"name": "\\ud800"}', "application/json", 400, "not_json", "body"),
        (b'{"name": "A\xff"}', "application/json", 400, "not_json", "body"),
        (b'"A"', "application/json", 400, "not_json", "body"),
        (b'{"name": "A"}', "text/plain", 415, "unsupported_media_type", "content-type"),
    ],
)
async def test_a_body_that_is_no_json_object_is_told_so(
    platform: PlatformClient, path: str, content: bytes, media_type: str, status: int, code: str, field: str | None
) -> None:
    refused = await platform.http.post(f"/v1/platform{path}", content=content, headers={"Content-Type": media_type})

    assert refusal(refused, status, code)["field"] == (field or {"/accounts": "name"}.get(path, "items"))


async def test_a_field_whose_name_is_a_variants_is_named_in_full(platform: PlatformClient, world: World) -> None:
    account_id = await world.account()

    refused = await platform.batch({"action": "place", "account_id": account_id, "amount": {"amount": "1"}})

    assert refusal(refused, 422, "invalid_argument")["field"] == "items.0.amount"
