"""The platform's routes of agents' keys, and what is kept under an idempotency key: nothing secret in clear."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import InvalidToken

from billing_mcp.app import App
from billing_mcp.domain.errors import Unauthenticated
from billing_mcp.kernel.principal import Permission
from billing_mcp.operations.platform import make_platform_key
from billing_mcp.operations.platform_requests import Seal
from billing_mcp.settings import Settings
from tests.conftest import NOW, Clock
from tests.faces.platform import CREDENTIAL, NOBODY, PlatformClient, must, platform_client, refusal
from tests.store.books import raw_connection
from tests.world import World


def new_key(*account_ids: str, **more: Any) -> dict[str, Any]:
    return {"name": "bot", "account_ids": list(account_ids), "permissions": ["billing.view"], **more}


async def test_a_key_that_is_made_is_what_it_says(platform: PlatformClient, world: World) -> None:
    one, other = await world.account(), await world.account()
    asked = new_key(
        one,
        other,
        permissions=["billing.manage", "billing.view"],
        read_only=True,
        default_account_id=other,
        expires_at="2026-03-13T10:00:00Z",
    )

    made = await must(platform.send("POST", "/keys", asked))

    shown = made.json()
    principal = await platform.app.principal_of(shown.pop("key"))
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    assert principal.permissions == frozenset(Permission)
    assert principal.account_ids == frozenset({one, other})
    assert (principal.read_only, principal.default_account_id) == (True, other)
    assert principal.expires_at == NOW + timedelta(days=1)
    assert await platform.get("/keys") == {"items": [shown], "next_cursor": None}


async def test_a_key_that_is_revoked_is_refused_and_not_found_again(platform: PlatformClient, world: World) -> None:
    made = (await must(platform.send("POST", "/keys", new_key(await world.account())))).json()

    revoked = await must(platform.send("DELETE", f"/keys/{made['prefix']}"))

    assert (revoked.status_code, revoked.content) == (204, b"")
    with pytest.raises(Unauthenticated):
        await platform.app.principal_of(made["key"])
    (shown,) = (await platform.get("/keys"))["items"]
    assert shown["revoked_at"] == "2026-03-12T10:00:00Z"
    refusal(await platform.send("DELETE", f"/keys/{made['prefix']}"), 404, "not_found")


async def test_keys_of_the_platform_are_neither_listed_nor_revoked(platform: PlatformClient) -> None:
    async with platform.app.store.write(NOW) as tx:
        text, record = await make_platform_key(tx, "server")

    refusal(await platform.send("DELETE", f"/keys/{record.prefix}"), 404, "not_found")
    assert (await platform.get("/keys"))["items"] == []
    await platform.app.platform_of(text)


async def test_every_key_is_listed_once(platform: PlatformClient, world: World, clock: Clock) -> None:
    account_id = await world.account()
    made = []
    for _ in range(3):
        clock.now += timedelta(seconds=1)
        made.append((await must(platform.send("POST", "/keys", new_key(account_id)))).json()["prefix"])

    for order in ("oldest", "newest"):
        first = await platform.get(f"/keys?limit=2&order={order}")
        last = await platform.get(f"/keys?limit=2&order={order}&cursor={first['next_cursor']}")
        seen = [each["prefix"] for page in (first, last) for each in page["items"]]
        assert (seen, last["next_cursor"]) == (made if order == "oldest" else made[::-1], None)


async def test_what_is_no_key_is_refused_by_field(platform: PlatformClient, world: World) -> None:
    account_id, other = await world.account(), await world.account()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"name": " "}, "name"),
        ({"account_ids": []}, "account_ids"),
        ({"account_ids": [account_id] * 101}, "account_ids"),
        ({"account_ids": [account_id, "x"]}, "account_ids.1"),
        ({"permissions": []}, "permissions"),
        ({"permissions": ["billing.own"]}, "permissions.0"),
        ({"permissions": "billing.view"}, "permissions"),
        ({"read_only": 1}, "read_only"),
        ({"default_account_id": other}, "default_account_id"),
        ({"expires_at": "2026-03-12T10:00:00Z"}, "expires_at"),
        ({"kind": "platform"}, "kind"),
    ]
    for change, field in wrong:
        refused = await platform.send("POST", "/keys", new_key(account_id, **change), key="k")
        assert refusal(refused, 422, refused.json()["code"])["field"] == field, change
    refusal(await platform.send("POST", "/keys", new_key(account_id, NOBODY), key="k"), 404, "not_found")
    assert (await platform.get("/keys"))["items"] == []
    for prefix in ("x", "ABCDEF01", "0123456%007"):
        refusal(await platform.send("DELETE", f"/keys/{prefix}"), 422, "invalid_argument")
    refusal(await platform.send("DELETE", "/keys/00000000"), 404, "not_found")


async def test_a_key_under_a_key_has_its_text_again_for_who_asked_alone(
    platform: PlatformClient, elsewhere: PlatformClient, database: str, world: World
) -> None:
    asked = new_key(await world.account())
    first = await must(platform.send("POST", "/keys", asked, key="k_secret"))

    again = await must(elsewhere.send("POST", "/keys", asked, key="k_secret"))

    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    assert again.headers["cache-control"] == "no-store"
    assert len((await platform.get("/keys"))["items"]) == 1
    async with raw_connection(database) as run:
        ((answer,),) = await run("SELECT answer FROM platform_requests")
        stored = str([await run(f"SELECT * FROM {table}") for table in ("platform_requests", "keys")])  # noqa: S608
    for secret in (first.json()["key"], first.json()["key"].split("_", 2)[2], CREDENTIAL, "k_secret"):
        assert secret not in stored
    assert first.json()["key"] in Seal(CREDENTIAL).open(answer)
    with pytest.raises(InvalidToken):
        Seal(CREDENTIAL + "x").open(answer)


async def test_under_one_key_is_one_request_of_a_platform(
    platform: PlatformClient, other_platform: PlatformClient, world: World
) -> None:
    account_id = await world.account()
    asked = {"name": "A"}
    first = await must(platform.send("POST", "/accounts", asked, key="k"))

    again = await must(platform.send("POST", "/accounts", {"name": "A", "account_id": None}, key="k"))
    theirs = await must(other_platform.send("POST", "/accounts", asked, key="k"))

    assert (again.status_code, again.content) == (201, first.content)
    assert (again.headers["location"], again.headers["idempotent-replayed"]) == (first.headers["location"], "true")
    assert theirs.json()["account_id"] != first.json()["account_id"]
    for method, path, body in [
        ("POST", "/accounts", {"name": "B"}),
        ("POST", "/keys", new_key(account_id)),
        ("PUT", f"/accounts/{account_id}/components/mailbox", {"quantity": 1}),
        ("POST", "/holds/batch", {"items": [{"action": "place", "account_id": account_id, "amount": "1"}]}),
    ]:
        refused = await platform.send(method, path, body, key="k")
        assert refusal(refused, 422, "idempotency_key_reused")["field"] == "idempotency_key"
    assert len((await platform.get("/accounts"))["items"]) == 3


async def test_a_count_under_a_key_does_not_undo_a_later_one(platform: PlatformClient, world: World) -> None:
    path = f"/accounts/{await world.account()}/components"
    first = await must(platform.send("PUT", f"{path}/mailbox", {"quantity": 5}, key="k"))
    await must(platform.send("PUT", f"{path}/mailbox", {"quantity": 7}))

    again = await must(platform.send("PUT", f"{path}/mailbox", {"quantity": 5}, key="k"))

    assert (again.content, (await platform.get(path))["items"][0]["quantity"]) == (first.content, 7)
    other = await platform.send("PUT", f"{path}/proxy", {"quantity": 5}, key="k")
    refusal(other, 422, "idempotency_key_reused")


async def test_a_request_that_was_refused_leaves_its_key_free(platform: PlatformClient) -> None:
    asked = {"name": "A", "account_id": NOBODY}
    await must(platform.send("POST", "/accounts", asked))
    refusal(await platform.send("POST", "/accounts", asked, key="k"), 409, "account_exists")

    await must(platform.send("POST", "/accounts", {"name": "B"}, key="k"))


async def test_a_twin_that_comes_too_early_is_told_to_come_again(platform: PlatformClient) -> None:
    answers = await asyncio.gather(*(platform.send("POST", "/accounts", {"name": "A"}, key="k") for _ in range(2)))

    (early,) = [each for each in answers if each.status_code != 201]
    refusal(early, 409, "idempotency_key_in_use")
    assert int(early.headers["retry-after"]) > 0
    again = await must(platform.send("POST", "/accounts", {"name": "A"}, key="k"))
    assert again.headers["idempotent-replayed"] == "true"


async def test_of_twins_on_two_servers_one_opens_the_account(
    platform: PlatformClient, elsewhere: PlatformClient
) -> None:
    answers = await asyncio.gather(
        *(each.send("POST", "/accounts", {"name": "A"}, key="k") for each in (platform, elsewhere) * 3)
    )

    opened = [each for each in answers if each.status_code == 201]
    assert len({each.content for each in opened}) == 1
    assert ["idempotent-replayed" in each.headers for each in opened].count(False) == 1
    assert {each.json()["code"] for each in answers if each.status_code != 201} <= {"idempotency_key_in_use"}
    assert len((await platform.get("/accounts"))["items"]) == 1


async def test_answers_outlive_the_server(database: str, clock: Clock) -> None:
    settings = Settings(database=database, workers=1)
    async with App.open(settings, clock=clock) as app, platform_client(app) as platform:
        first = await must(platform.send("POST", "/accounts", {"name": "A"}, key="k"))
        asked = new_key(first.json()["account_id"])
        key = await must(platform.send("POST", "/keys", asked, key="k2"))

    async with App.open(settings, clock=clock) as app, platform_client(app) as platform:
        again = await must(platform.send("POST", "/accounts", {"name": "A"}, key="k"))
        key_again = await must(platform.send("POST", "/keys", asked, key="k2"))

    assert (again.content, key_again.content) == (first.content, key.content)
