"""What is told of each request: its id, one line of the log, and nothing that is secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from billing_mcp.faces.metrics import Metrics
from billing_mcp.faces.requests import Requests
from tests.faces.asgi import Sent, scope_of
from tests.faces.server import ACCOUNT, BALANCE, HttpServer, answer, connected, execute, make_key, serving


def lines_of(server: HttpServer) -> list[dict[str, Any]]:
    """The lines of the log that tell of requests."""
    lines = [json.loads(line) for line in server.log if line.startswith("{")]
    return [line for line in lines if line["event"] == "request"]


async def test_a_request_is_one_line_of_json_with_all_ids_and_no_secret(demo: str) -> None:
    key, _ = make_key(demo)
    secrets = ("geheim-header", "geheim-query", "geheim-body", key, key.split("_", 2)[2])
    async with serving(demo) as server:
        async with connected(server, key) as client:
            done = answer(await execute(client, f"'geheim-body'\n{BALANCE}"))
        async with httpx2.AsyncClient() as other:
            odd = {"authorization": f"Bearer {key}x", "cookie": "geheim-header", "x-request-id": "mine-1"}
            await other.post(f"{server.url}?key={key}&q=geheim-query", headers=odd, content="geheim-body")
            await other.get(f"http://{server.address}/geheim-query/{ACCOUNT}")
            signed = {"authorization": f"Bearer {key}"}
            await other.get(f"http://{server.address}/nowhere/{ACCOUNT}", headers=signed)
            await other.get(f"http://{server.address}/v1/public/accounts/{ACCOUNT}/billing/balance", headers=signed)
            await other.get(f"http://{server.address}/livez")

    text = "\n".join(server.log)
    assert not [secret for secret in (*secrets, ACCOUNT) if secret in text]
    told = lines_of(server)
    (executed,) = [line for line in told if line.get("execution_id") == done["execution_id"]]
    assert (executed["method"], executed["route"], executed["status"], executed["level"]) == (
        "POST",
        "/mcp",
        200,
        "info",
    )
    assert executed["duration_ms"] > 0
    assert executed["bytes"] > 100
    assert executed["principal_id"]
    assert len({line["request_id"] for line in told}) == len(told)
    (refused,) = [line for line in told if line["request_id"] == "mine-1"]
    assert (refused["status"], refused["route"], "principal_id" in refused) == (400, "none", False)
    assert [line["route"] for line in told if line["status"] == 401] == ["none"]
    assert [line["route"] for line in told if line["status"] == 404] == ["none"]
    assert "/v1/public/accounts/{account_id}/billing/balance" in {line["route"] for line in told}
    assert not [line for line in told if line["status"] == 200 and line["route"] in ("none", "/livez")]


@pytest.mark.parametrize(("given", "kept"), [("a.B_c-9", True), ("x" * 64, True), ("x" * 65, False), ("", False)])
async def test_a_well_formed_id_is_kept_and_another_replaced(demo: str, given: str, kept: bool) -> None:
    async with serving(demo) as server, httpx2.AsyncClient() as client:
        response = await client.get(f"http://{server.address}/livez", headers={"x-request-id": given})
        odd = await client.get(f"http://{server.address}/livez", headers={"x-request-id": 'a b"\\'})

    assert (response.headers["x-request-id"] == given) is kept
    assert len(odd.headers["x-request-id"]) == 36


async def test_lines_for_people_are_asked_for(demo: str) -> None:
    async with serving(demo, "--log-format", "text") as server, httpx2.AsyncClient() as client:
        await client.get(f"http://{server.address}/nowhere")

    assert lines_of(server) == []
    assert [line for line in server.log if "event='request'" in line and "status=401" in line]


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    """What is logged."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def metrics() -> Metrics:
    """What measures."""
    return Metrics(())


async def _never() -> Message:
    raise AssertionError("nobody asks")


async def test_who_hangs_up_is_told_of_and_nothing_is_raised(logs: list[Any], metrics: Metrics) -> None:
    async def gone(_scope: Scope, _receive: Receive, _send: Send) -> None:
        """It ends without an answer, as it may when nobody is there to have one."""

    await Requests(gone, metrics)(scope_of(), _never, Sent())

    assert [(line["event"], line["status"], line["route"]) for line in logs] == [("request", 499, "none")]


async def test_a_defect_is_told_of_as_500_and_goes_on(logs: list[Any], metrics: Metrics) -> None:
    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ValueError("geheim")

    with pytest.raises(ValueError, match="geheim"):
        await Requests(broken, metrics)(scope_of("BREW"), _never, Sent())

    assert [(line["status"], line["method"]) for line in logs] == [(500, "other")]
    assert "geheim" not in str(logs)


async def test_each_part_of_a_stream_passes_when_it_is_sent(metrics: Metrics) -> None:
    sent = Sent()
    seen = []

    async def stream(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": ()})
        for part in (b"a", b"b"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            seen.append(sent.messages[-1]["body"])

    await Requests(stream, metrics)(scope_of(), _never, sent)

    assert seen == [b"a", b"b"]
    assert b"x-request-id" in sent.headers
