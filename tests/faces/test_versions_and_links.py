"""What a GET answers with beside its body: the tag of its version, and where the other pages of a list are."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from billing_mcp.app import App
from billing_mcp.faces.health import Health
from billing_mcp.faces.http import build_http_app
from billing_mcp.faces.metrics import Metrics
from billing_mcp.faces.rates import Rates
from billing_mcp.kernel.principal import Permission
from billing_mcp.operations import REGISTRY
from billing_mcp.operations.platform import make_agent_key, make_platform_key
from tests.faces.asgi import client_of
from tests.world import World


@dataclass
class Caller:
    """A client with an agent's key to one account, and with one of the platform."""

    http: AsyncClient
    account: str
    keys: dict[str, str]

    async def get(self, path: str, **headers: str) -> Response:
        key = self.keys["platform" if path.startswith("/v1/platform") else "agent"]
        path = path.replace("ACCOUNT", self.account)
        return await self.http.get(path, headers={"Authorization": f"Bearer {key}", "Host": "127.0.0.1", **headers})

    async def change(self) -> None:
        key = {"Authorization": f"Bearer {self.keys['platform']}", "Host": "127.0.0.1"}
        path = f"/v1/platform/accounts/{self.account}/credits"
        given = await self.http.post(path, json={"amount": "1.00", "reason": "an outage"}, headers=key)
        assert given.status_code == 201


@pytest.fixture
async def caller(app: App, world: World) -> AsyncIterator[Caller]:
    account = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=3)
    async with app.store.write(app.clock()) as tx:
        agent, _ = await make_agent_key(tx, "agent", account_ids=[account], permissions=list(Permission))
        platform, _ = await make_platform_key(tx, "platform")
    served = build_http_app(app, Metrics(REGISTRY), Health(app), Rates(app.settings))
    async with client_of(served) as http:
        yield Caller(http, account, {"agent": agent, "platform": platform})


VERSIONED = [
    "/v1/billing/balance",
    "/v1/public/accounts/ACCOUNT/billing/wallet-balance",
    "/v1/public/accounts/ACCOUNT/billing/ledger",
    "/v1/platform/accounts/ACCOUNT",
    "/v1/platform/accounts",
]


@pytest.mark.parametrize("path", VERSIONED)
async def test_who_has_a_version_is_told_so_without_a_body_until_it_changes(caller: Caller, path: str) -> None:
    first = await caller.get(path)
    tag = first.headers["etag"]
    again = [await caller.get(path, **{"If-None-Match": known}) for known in (tag, f'"x", W/{tag}', "*")]
    other = await caller.get(path, **{"If-None-Match": '"x"'})
    await caller.change()
    changed = await caller.get(path, **{"If-None-Match": tag})

    assert re.fullmatch(r'"[0-9a-f]{24}"', tag)
    assert [(each.status_code, each.content, each.headers["etag"]) for each in again] == [(304, b"", tag)] * 3
    assert (other.status_code, other.json(), other.headers["etag"]) == (200, first.json(), tag)
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag
    assert changed.json() != first.json()
    assert {each.headers["cache-control"] for each in (first, *again, changed)} == {"private, no-cache"}


def links(response: Response) -> dict[str, str]:
    """The links of an answer, by their relation."""
    return {name: target for target, name in re.findall(r'<([^>]*)>; rel="(\w+)"', response.headers["link"])}


async def pages(caller: Caller, path: str) -> list[dict[str, Any]]:
    """Every page, as the links lead from one to the next."""
    found = [await caller.get(path)]
    while "link" in found[-1].headers and "next" in links(found[-1]):
        found.append(await caller.get(links(found[-1])["next"]))
    return [each.json() for each in found]


async def test_pages_by_number_link_to_the_first_the_last_and_their_neighbours(caller: Caller) -> None:
    for _ in range(4):
        await caller.change()
    path = "/v1/public/accounts/ACCOUNT/billing/transactions"
    whole = (await caller.get(f"{path}?page_size=100")).json()["items"]
    found = [await caller.get(f"{path}?page={number}&page_size=2") for number in (1, 2, 3, 9)]

    assert len(whole) == 5
    assert [sorted(links(each)) for each in found] == [
        ["first", "last", "next"],
        ["first", "last", "next", "prev"],
        ["first", "last", "prev"],
        ["first", "last", "prev"],
    ]
    assert {links(each)["last"] for each in found} == {links(found[2])["first"].replace("page=1&", "page=3&")}
    listed = await pages(caller, f"{path}?page_size=2")
    assert [row for page in listed for row in page["items"]] == whole


LISTS = [
    ("/v1/public/accounts/ACCOUNT/billing/ledger?limit=2", "?limit=100"),
    ("/v1/platform/accounts?limit=2&order=oldest", "?limit=100&order=oldest"),
    ("/v1/platform/accounts?limit=2", "?limit=100"),
    ("/v1/platform/keys?limit=1", "?limit=100"),
]


@pytest.mark.parametrize(("path", "at_once"), LISTS)
async def test_lists_with_a_cursor_link_to_what_follows_to_their_end(
    caller: Caller, world: World, path: str, at_once: str
) -> None:
    for _ in range(4):
        await caller.change()
        other = await world.account()
        async with world.app.store.write(world.clock()) as tx:
            await make_agent_key(tx, "another", account_ids=[other], permissions=list(Permission))
    (whole,) = await pages(caller, path.partition("?")[0] + at_once)
    listed = await pages(caller, path)

    (name,) = [name for name, value in whole.items() if isinstance(value, list)]
    assert len(listed) > 2
    assert [row for page in listed for row in page[name]] == whole[name]


async def test_what_is_no_list_of_pages_has_no_links(caller: Caller) -> None:
    for path in ("/v1/billing/balance", "/v1/platform/accounts/ACCOUNT", "/v1/platform/accounts/ACCOUNT/components"):
        assert "link" not in (await caller.get(path)).headers
