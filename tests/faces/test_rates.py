"""How often callers may ask: each credential for itself, and failed sign-ins by address."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from limits.errors import StorageError
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from billing_mcp.domain.errors import BillingError, InvalidArgument, Unauthenticated
from billing_mcp.faces.problem import problem
from billing_mcp.faces.rates import AddressRate, CredentialRate, Rates
from billing_mcp.faces.scope import CALLER
from billing_mcp.kernel.principal import Permission, Platform, Principal
from billing_mcp.settings import Settings
from tests.faces.asgi import client_of
from tests.faces.server import HttpServer, environment, make_key, plain_http, serving
from tests.processes import warm_command

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


class Gate:
    """Stands for the sign-in."""

    def __init__(self, app: ASGIApp, holder_of: Callable[[str], Awaitable[Principal | Platform]]) -> None:
        self._app = app
        self._holder_of = holder_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            scope[CALLER] = await self._holder_of(Headers(scope=scope).get("authorization", "")[len("Bearer ") :])
        except BillingError as error:
            await problem(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def holder(key: str) -> Principal | Platform:
    """Whose a key is: those that start with `good` are agents', those with `platform` the platform's."""
    if key.startswith("platform"):
        return Platform(key)
    if key.startswith("good"):
        return Principal(key, frozenset(Permission))
    raise Unauthenticated("no such key", code="invalid_key")


class SignedIn:
    """A face behind a sign-in that counts how often it was asked for a key."""

    def __init__(self, **settings: Any) -> None:
        self.asked = 0
        self.rates = Rates(Settings(**{"rate_limit": "", "anonymous_rate_limit": ""} | settings))

        async def holder_of(key: str) -> Principal | Platform:
            self.asked += 1
            return holder(key)

        self.app: ASGIApp = AddressRate(Gate(CredentialRate(self.face, self.rates), holder_of), self.rates)

    async def face(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": ()})
        await send({"type": "http.response.body", "body": b"done"})

    async def ask(self, key: str, *, times: int = 1, address: str = "10.0.0.1") -> list[httpx2.Response]:
        """So many requests with a key from an address."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        async with client_of(self.app, address) as client:
            return [await self._once(client, headers) for _ in range(times)]

    async def _once(self, client: httpx2.AsyncClient, headers: dict[str, str]) -> httpx2.Response:
        await asyncio.sleep(0)  # as a socket would, it lets others run
        return await client.get("/", headers=headers)

    async def statuses(self, key: str, *, times: int = 1, address: str = "10.0.0.1") -> list[int]:
        """Their statuses."""
        return [response.status_code for response in await self.ask(key, times=times, address=address)]


async def test_a_credential_may_ask_so_often_and_is_told_where_it_stands() -> None:
    face = SignedIn(rate_limit="3/day")

    *allowed, refused = await face.ask("good", times=4)

    assert [response.status_code for response in allowed] == [200] * 3
    assert {response.headers["ratelimit-policy"] for response in allowed} == {'"agent";q=3;w=86400'}
    assert [response.headers["ratelimit"].split(";")[:2] for response in allowed] == [
        ['"agent"', f"r={left}"] for left in (2, 1, 0)
    ]
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["content-type"] == "application/problem+json"
    assert 1 <= int(refused.headers["retry-after"]) <= 86_400
    assert refused.headers["ratelimit"].startswith('"agent";r=0;t=')


async def test_each_credential_has_a_limit_of_its_own_and_the_platform_another() -> None:
    face = SignedIn(rate_limit="1/day", platform_rate_limit="2/day")

    assert await face.statuses("good-1", times=2) == [200, 429]
    assert await face.statuses("good-2", times=2) == [200, 429]
    assert await face.statuses("platform", times=3) == [200, 200, 429]


async def test_what_is_refused_does_not_count() -> None:
    face = SignedIn(rate_limit="2/second")

    for status in (429, 200):  # were it counted, so many in a row would keep the window full
        async with asyncio.timeout(60):
            while (await face.statuses("good")) != [status]:
                pass


async def test_without_a_limit_nobody_is_counted_or_told() -> None:
    face = SignedIn(rate_limit="", platform_rate_limit="", anonymous_rate_limit="")

    (response,) = await face.ask("good")
    assert "ratelimit" not in response.headers
    assert await face.statuses("bad", times=30) == [401] * 30


@pytest.mark.parametrize("key", ["", "bad"])
async def test_failed_sign_ins_from_an_address_are_bounded_and_then_not_even_looked_at(key: str) -> None:
    face = SignedIn(anonymous_rate_limit="3/day")

    assert await face.statuses(key, times=6) == [401] * 3 + [429] * 3
    looked_at = face.asked
    assert await face.statuses("bad-2", times=5) == [429] * 5
    assert await face.statuses("good-but-never-seen") == [429]
    assert face.asked == looked_at
    assert await face.statuses(key, address="10.0.0.2") == [401]


async def test_who_has_signed_in_before_is_not_bound_by_what_others_try_from_the_same_address() -> None:
    face = SignedIn(anonymous_rate_limit="2/day")
    await face.statuses("good")
    await face.statuses("bad", times=4)

    assert await face.statuses("good", times=50) == [200] * 50
    assert await face.statuses("bad") == [429]


async def test_all_addresses_of_one_network_of_version_6_count_as_one() -> None:
    face = SignedIn(anonymous_rate_limit="2/day")

    seen = [await face.statuses("bad", address=f"2001:db8:0:1::{host}") for host in (1, 2, 3)]
    other = await face.statuses("bad", address="2001:db8:0:2::1")
    mapped = [await face.statuses("bad", address=f"::ffff:10.1.1.{host}") for host in (1, 2, 3)]

    assert (seen, other, mapped) == ([[401], [401], [429]], [401], [[401]] * 3)


async def test_counters_that_are_over_are_swept_away_and_not_looked_through_at_every_request() -> None:
    face = SignedIn(rate_limit="1000/second")
    storage: Any = face.rates._storage
    await face.statuses("good")
    await face.statuses("good")
    pause = storage.timer
    for number in range(100):
        await face.statuses(f"good-{number}")

    assert storage.timer is pause
    assert len(storage.storage) > 100
    pause.cancel()
    for key in list(storage.expirations):
        storage.expirations[key] = 0
    while len(storage.storage) > 5:
        await face.statuses("good")


async def test_when_the_storage_is_gone_all_are_served_and_the_log_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    face = SignedIn(rate_limit="1/day")

    async def gone(*_arguments: object, **_options: object) -> bool:
        raise StorageError(ConnectionError("redis://:geheim@cache"))

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(face.rates._limiter, "hit", gone)
        assert await face.statuses("good", times=3) == [200] * 3
    assert [line["event"] for line in logs] == ["rates_not_counted"]
    assert await face.statuses("good", times=2) == [200, 429]


@pytest.mark.parametrize("storage", ["nonsense", "carrier-pigeon://:geheim@x", "redis://:geheim@cache:6379", ""])
def test_a_storage_that_is_not_there_is_an_error_that_names_the_setting_and_no_password(storage: str) -> None:
    with pytest.raises(InvalidArgument, match="BILLING_MCP_RATE_LIMIT_STORAGE") as refused:
        Rates(Settings(rate_limit_storage=SecretStr(storage)))

    assert "geheim" not in str(refused.value)


async def ping(server: HttpServer, key: str) -> httpx2.Response:
    """One request to a server."""
    headers = {"authorization": f"Bearer {key}", "accept": "application/json, text/event-stream"}
    async with plain_http() as client:
        return await client.post(server.url, json=PING, headers=headers)


async def test_a_server_bounds_each_key_and_those_who_have_none(demo: str) -> None:
    (one, _), (two, _) = make_key(demo), make_key(demo)
    limits = {"BILLING_MCP_RATE_LIMIT": "2/day", "BILLING_MCP_ANONYMOUS_RATE_LIMIT": "1/day"}
    async with serving(demo, **limits) as server:
        first = [await ping(server, one) for _ in range(3)]
        second = [(await ping(server, two)).status_code for _ in range(3)]
        unknown = [(await ping(server, "bmcp_x")).status_code for _ in range(3)]
        again = (await ping(server, two)).json()["code"]

    assert [response.status_code for response in first] == [200, 200, 429]
    assert first[0].headers["ratelimit"].startswith('"agent";r=1;t=')
    assert second == [200, 200, 429]
    assert (unknown, again) == ([401, 429, 429], "rate_limited")


async def test_whatever_is_tried_from_an_address_what_is_open_stays_open_to_it(demo: str) -> None:
    async with serving(demo, BILLING_MCP_ANONYMOUS_RATE_LIMIT="1/day") as server:
        tried = [(await ping(server, "bmcp_x")).status_code for _ in range(2)]
        async with httpx2.AsyncClient(base_url=f"http://{server.address}") as client:
            probed = [(await client.get(path)).status_code for path in ("/livez", "/readyz", "/openapi.json")]
            closed = (await client.get("/v1/billing/balance")).status_code

    assert (tried, probed, closed) == ([401, 429], [200, 200, 200], 429)


@pytest.mark.parametrize(
    ("name", "value"), [("RATE_LIMIT", "a lot"), ("PLATFORM_RATE_LIMIT", "1/blink"), ("RATE_LIMIT_STORAGE", "x://y")]
)
async def test_a_bad_setting_ends_the_start_in_one_line_that_names_it(demo: str, name: str, value: str) -> None:
    arguments = warm_command("serve", "--transport", "http", "--port", "0", "--database", demo)
    variables = environment(**{f"BILLING_MCP_{name}": value})
    process = await asyncio.create_subprocess_exec(*arguments, stderr=asyncio.subprocess.PIPE, env=variables)
    _, said = await process.communicate()

    assert process.returncode == 2
    assert said.decode().startswith("error invalid_argument: BILLING_MCP_" + name)
