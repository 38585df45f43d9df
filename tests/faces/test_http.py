"""MCP over streamable HTTP: a real server process, the SDK's client, and requests made by hand."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from mcp.shared.exceptions import MCPError

from billing_mcp.demo.history import STORIES
from billing_mcp.domain.error_meanings import MEANINGS
from tests.faces.server import (
    ACCOUNT,
    BALANCE,
    CHANGE,
    HttpServer,
    answer,
    billing_mcp,
    connected,
    environment,
    execute,
    make_key,
    plain_http,
    serving,
)
from tests.processes import warm_command
from tests.sockets import connection_to

ERAS = pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
BINDS = pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0"])  # noqa: S104
SLOW = f"b = {BALANCE}\nn = 0\nfor i in range(30_000_000):\n    n += i\nb"
"""Takes about two seconds."""


def call(code: str) -> dict[str, Any]:
    """A call of the tool, as a client of the earlier era sends it."""
    arguments = {"name": "execute", "arguments": {"code": code}}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": arguments}


async def post(server: HttpServer, *, key: str | None = None, body: Any = None, **headers: str) -> httpx2.Response:
    """One request made by hand, over loopback whatever the server is bound to."""
    given = {"accept": "application/json, text/event-stream", "content-type": "application/json"} | headers
    if key is not None:
        given["authorization"] = f"Bearer {key}"
    url = server.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
    async with plain_http() as client:
        return await client.post(url, headers=given, content=json.dumps(call("1 + 1") if body is None else body))


@pytest.fixture(scope="module")
def shared(seeded: Path) -> tuple[str, str]:
    """A database for tests that change nothing, and a key to it."""
    return str(seeded), make_key(str(seeded), "--permissions", "view")[0]


@pytest_asyncio.fixture(loop_scope="function")
async def server(shared: tuple[str, str]) -> AsyncIterator[HttpServer]:
    """A server on it."""
    async with serving(shared[0]) as running:
        yield running


@ERAS
@pytest.mark.parametrize("options", [(), ("--json-response",)])
async def test_a_script_is_read_previewed_and_committed_over_http(
    demo: str, era: str, options: tuple[str, ...]
) -> None:
    key, _ = make_key(demo, "--permissions", "view,manage")
    async with serving(demo, *options) as server, connected(server, key, era) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["execute"]
        before = answer(await execute(client, BALANCE))
        previewed = answer(await execute(client, CHANGE, preview=True))
        committed = answer(await execute(client, CHANGE, idempotency_key="k"))
        again = answer(await execute(client, CHANGE, idempotency_key="k"))
        after = answer(await execute(client, BALANCE))
        kept = await client.read_resource(f"billing://executions/{committed['execution_id']}")

    assert (previewed["status"], previewed["changed"]) == ("previewed", False)
    assert (committed["status"], committed["effects"]) == ("completed", previewed["effects"])
    assert again == committed
    assert after["result"] != before["result"]
    assert json.loads(kept.contents[0].model_dump()["text"])["execution_id"] == committed["execution_id"]


async def test_answers_come_as_events_or_as_plain_json(demo: str) -> None:
    key, _ = make_key(demo)
    types = []
    for options in ((), ("--json-response",)):
        async with serving(demo, *options) as server:
            response = await post(server, key=key)
            types.append(response.headers["content-type"])
            assert '"result":2' in response.text.replace("\\", "")

    assert types == ["text/event-stream", "application/json"]


@BINDS
async def test_without_a_good_key_there_is_no_service_on_any_address(demo: str, host: str) -> None:
    good, _ = make_key(demo)
    expired, _ = make_key(demo, "--expires-in-days", "1")
    revoked, prefix = make_key(demo)
    billing_mcp("keys", "revoke", prefix, "--database", demo)
    refused = {
        "key_missing": [{"authorization": text} for text in ("", f"Basic {good}", good, "Bearer")] + [{}],
        "invalid_key": [{"authorization": f"Bearer {k}"} for k in ("x", good + "x", good[:-1], good.upper())],
        "key_revoked": [{"authorization": f"Bearer {revoked}"}],
        "key_expired": [{"authorization": f"Bearer {expired}"}],
    }
    async with serving(demo, host=host, BILLING_MCP_NOW="2026-03-14T10:00:00Z") as server:
        for code, attempts in refused.items():
            for headers in attempts:
                response = await post(server, **headers)
                body = response.json()
                assert (response.status_code, body["status"], body["code"]) == (401, 401, code), headers
                assert (body["type"], body["title"]) == (f"/errors#{code}", MEANINGS[code].title)
                assert {"detail", "hint"} <= set(body)
                assert response.headers["www-authenticate"].startswith("Bearer ")
                assert response.headers["content-type"] == "application/problem+json"
        assert (await post(server, key=good)).status_code == 200
        assert await server.stop() == 0
    assert not any(part in line for line in server.log for part in (good, expired, revoked))


async def test_a_key_counts_only_once_and_only_in_its_header(server: HttpServer, shared: tuple[str, str]) -> None:
    _, key = shared
    request = httpx2.Request(
        "POST",
        server.url,
        headers=[
            ("authorization", f"Bearer {key}"),
            ("authorization", "Bearer x"),
            ("content-type", "application/json"),
        ],
        json=call("1"),
    )
    async with httpx2.AsyncClient() as client:
        twice = await client.send(request)
        in_query = await client.post(f"{server.url}?key={key}&access_token={key}", json=call("1"))

    assert (twice.status_code, in_query.status_code) == (401, 400)


@BINDS
async def test_a_foreign_host_or_origin_is_refused_on_every_address_even_with_a_key(demo: str, host: str) -> None:
    key, _ = make_key(demo)
    async with serving(demo, host=host) as server:
        port = server.address.rpartition(":")[2]
        for name in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "", "0.0.0.0"):  # noqa: S104
            response = await post(server, key=key, host=name)
            assert (response.status_code, response.json()["code"]) == (421, "host_not_allowed"), name
        for origin in ("http://evil.example", "null", f"http://evil.example:{port}", "http://localhost.evil.example"):
            response = await post(server, key=key, origin=origin)
            assert (response.status_code, response.json()["code"]) == (403, "origin_not_allowed"), origin
        assert (await post(server, key=key)).status_code == 200
        own = "[::1]" if host == "::1" else "localhost"
        assert (await post(server, key=key, host=f"{own}:{port}", origin=f"http://{own}:{port}")).status_code == 200


async def test_names_and_pages_that_are_ours_are_let_in_once_they_are_named(demo: str) -> None:
    key, _ = make_key(demo)
    names = ("--allowed-hosts", "billing.example.com, other", "--allowed-origins", "https://app.example.com")
    async with serving(demo, *names) as server:
        for host in ("billing.example.com", "billing.example.com:443", "other:1"):
            assert (await post(server, key=key, host=host)).status_code == 200
        for origin in ("https://app.example.com", "https://billing.example.com"):
            assert (await post(server, key=key, origin=origin)).status_code == 200
        assert (await post(server, key=key, host="third.example.com")).status_code == 421
        assert (await post(server, key=key, origin="https://www.example.com")).status_code == 403


async def test_a_revoked_key_is_refused_from_its_next_call_on(demo: str) -> None:
    key, prefix = make_key(demo)
    async with serving(demo) as server, connected(server, key) as client:
        assert not (await execute(client, BALANCE)).is_error
        billing_mcp("keys", "revoke", prefix, "--database", demo)
        with pytest.raises(MCPError):
            await execute(client, BALANCE)


async def test_a_key_bounds_what_its_agent_sees_and_does_and_the_server_bounds_the_key(demo: str) -> None:
    other = STORIES[1].account_id
    viewer, _ = make_key(demo, "--permissions", "view")
    manager, _ = make_key(demo, "--permissions", "view,manage")
    reader, _ = make_key(demo, "--permissions", "view,manage", "--read-only")

    async def code_of(server: HttpServer, key: str, script: str) -> str:
        async with connected(server, key) as client:
            done = answer(await execute(client, script, preview=True))
            return str(done["error"]["code"] if "error" in done else done["status"])

    async with serving(demo) as server:
        assert await code_of(server, viewer, CHANGE) == "permission_denied"
        assert await code_of(server, viewer, BALANCE.replace(ACCOUNT, other)) == "not_found"
        assert await code_of(server, reader, CHANGE) == "unknown_function"
        assert await code_of(server, manager, CHANGE) == "previewed"
    async with serving(demo, "--permissions", "view") as server:
        assert await code_of(server, manager, CHANGE) == "permission_denied"
    async with serving(demo, "--read-only") as server:
        assert await code_of(server, manager, CHANGE) == "unknown_function"


async def test_an_agent_reads_its_own_executions_only(demo: str) -> None:
    (one, _), (two, _) = make_key(demo), make_key(demo)
    async with serving(demo) as server, connected(server, one) as first, connected(server, two) as second:
        done = answer(await execute(first, BALANCE))
        uri = f"billing://executions/{done['execution_id']}"
        await first.read_resource(uri)
        with pytest.raises(MCPError, match="no such execution"):
            await second.read_resource(uri)


async def test_the_key_in_the_environment_is_not_a_key_for_everybody(demo: str) -> None:
    key, _ = make_key(demo)
    async with serving(demo, BILLING_MCP_KEY=key) as server:
        assert (await post(server)).status_code == 401


async def test_only_posts_to_the_one_path_are_answered(server: HttpServer, shared: tuple[str, str]) -> None:
    headers = {"authorization": f"Bearer {shared[1]}", "accept": "text/event-stream"}
    async with httpx2.AsyncClient(headers=headers) as client:
        statuses = [(await client.request(method, server.url)).status_code for method in ("GET", "DELETE", "PUT")]
        elsewhere = (await client.get(server.url.removesuffix("/mcp"))).status_code

    assert (statuses, elsewhere) == ([405, 405, 405], 404)


async def test_a_body_that_is_too_large_or_no_message_is_refused(server: HttpServer, shared: tuple[str, str]) -> None:
    _, key = shared
    large = await post(server, key=key, body=call("1" * 600_000))
    odd = [await post(server, key=key, body=body) for body in ([], "x", 1, {"jsonrpc": "2.0"}, [call("1")])]
    longest = await post(server, key=key, body=call("#" + "\N{EURO SIGN}" * 21_000))

    assert large.status_code == 413
    assert [response.status_code for response in odd] == [400] * len(odd)
    assert longest.status_code == 200


async def test_64_clients_at_once_are_all_answered(server: HttpServer, shared: tuple[str, str]) -> None:
    async def one(number: int) -> Any:
        async with connected(server, shared[1], ("legacy", "2026-07-28")[number % 2]) as client:
            return answer(await execute(client, f"[{number}, {BALANCE}]"))["result"]

    results = await asyncio.gather(*(one(number) for number in range(64)))

    assert [result[0] for result in results] == list(range(64))
    assert len({result[1] for result in results}) == 1


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.05, 0.1])
async def test_a_client_that_hangs_up_mid_call_leaves_the_whole_effect_or_none(demo: str, delay_s: float) -> None:
    key, _ = make_key(demo, "--permissions", "view,manage")
    async with serving(demo) as server:
        async with connected(server, key) as client:
            before = answer(await execute(client, BALANCE))["result"]
        body = json.dumps(call(CHANGE))
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: {server.address}\r\nAuthorization: Bearer {key}\r\n"
            f"Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        async with connection_to(server.address) as (_, writer):
            writer.write((head + body).encode())
            await writer.drain()
            await asyncio.sleep(delay_s)
        async with connected(server, key) as client:
            after = answer(await execute(client, BALANCE))["result"]
            repeated = answer(await execute(client, CHANGE))
    assert (repeated["changed"], after == before) in [(True, True), (False, False), (False, True)]
    if not repeated["changed"]:
        assert repeated["error"]["code"] == "plan_unchanged"
    billing_mcp("audit", "verify", "--database", demo)


async def test_who_is_told_to_end_answers_first_what_it_has_begun(demo: str) -> None:
    key, _ = make_key(demo)
    async with serving(demo, BILLING_MCP_EXECUTION_S="60", BILLING_MCP_WALL_S="60") as server:
        under_way = asyncio.create_task(post(server, key=key, body=call(SLOW)))
        while (await post(server, key=key)).status_code != 200:
            pass
        status = await server.stop()
        response = await under_way

    assert (status, response.status_code) == (0, 200)
    assert '\\"status\\":\\"completed\\"' in response.text
    assert server.log[-1] == "Ended: what was running has been finished."


async def test_it_says_what_whoever_starts_it_needs_to_know(sqlite: str) -> None:
    async with serving(sqlite, host="0.0.0.0") as server:  # noqa: S104
        said = " ".join(server.log)

    for hint in ("billing-mcp keys create", "proxy with TLS", "--allowed-hosts"):
        assert hint in said


def test_an_address_that_is_taken_is_an_error_in_one_line(demo: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        failed = subprocess.run(
            warm_command("serve", "--transport", "http", "--port", port, "--database", demo),
            capture_output=True,
            text=True,
            env=environment(),
            timeout=60,
            check=False,
        )

    assert (failed.returncode, failed.stdout) == (4, "")
    assert failed.stderr.startswith("error address_unavailable: cannot listen on 127.0.0.1 port ")
    assert len(failed.stderr.splitlines()) == 1
