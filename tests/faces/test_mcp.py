"""MCP over standard input and output, with the SDK's own client and the real server process."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, TextContent, TextResourceContents

from billing_mcp.demo.history import STORIES
from billing_mcp.operations import REGISTRY
from tests.faces.server import ACCOUNT, BALANCE, CHANGE, answer, billing_mcp, environment, execute
from tests.processes import cold_command, warm_command

ERAS = pytest.mark.parametrize("era", ["legacy", "2026-07-28"])


@asynccontextmanager
async def served(database: str, *options: str, era: str = "auto", **more: str) -> AsyncIterator[Client]:
    program, *arguments = warm_command("serve", "--database", database, *options)
    parameters = StdioServerParameters(command=program, args=arguments, env=environment(**more))
    async with Client(parameters, mode=era, read_timeout_seconds=60) as client:
        yield client


def text(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


@ERAS
async def test_a_script_is_read_previewed_and_committed_in_both_eras(demo: str, era: str) -> None:
    async with served(demo, era=era) as client:
        before = answer(await execute(client, BALANCE))
        previewed = answer(await execute(client, CHANGE, preview=True))
        between = answer(await execute(client, BALANCE))
        committed = answer(await execute(client, CHANGE, idempotency_key="k"))
        again = answer(await execute(client, CHANGE, idempotency_key="k"))
        after = answer(await execute(client, BALANCE))

    assert (previewed["status"], previewed["changed"]) == ("previewed", False)
    assert between["result"] == before["result"]
    assert (committed["status"], committed["changed"]) == ("completed", True)
    assert committed["effects"] == previewed["effects"]
    assert again == committed
    assert after["result"] != before["result"]


@ERAS
async def test_there_is_one_tool_and_it_costs_an_agent_less_than_6_kb(demo: str, era: str) -> None:
    async with served(demo, era=era) as client:
        listed = await client.list_tools()

    (tool,) = listed.tools
    assert tool.name == "execute"
    assert len(listed.model_dump_json(by_alias=True, exclude_none=True).encode()) < 6 * 1024
    assert tool.description is not None
    for name in REGISTRY:
        assert sum(line.startswith(f"{name}(") for line in tool.description.splitlines()) == 1
    assert tool.annotations is not None
    assert tool.annotations.read_only_hint is False
    assert tool.output_schema is not None


@ERAS
async def test_a_failure_is_an_error_whose_text_tells_how_to_mend_it(demo: str, era: str) -> None:
    async with served(demo, era=era) as client:
        result = await execute(client, f"print('hi')\nbilling.plan.change(account_id={ACCOUNT!r}, plan='smtp')")

    assert result.is_error
    assert text(result).splitlines() == [
        "unknown_argument: billing.plan.change has no argument 'plan'",
        f"Line 2: billing.plan.change(account_id={ACCOUNT!r}, plan='smtp')",
        "Hint: Did you mean plan_id? Its arguments are account_id, plan_id, effective_date, billing_period.",
        "Nothing was changed.",
    ]
    assert answer(result)["error"]["code"] == "unknown_argument"


@ERAS
async def test_a_success_is_one_compact_json_in_text_and_structure(demo: str, era: str) -> None:
    async with served(demo, era=era) as client:
        result = await execute(client, "{'a': 1}")

    assert not result.is_error
    assert json.loads(text(result)) == answer(result)
    assert "\n" not in text(result)


@ERAS
async def test_stubs_and_executions_can_be_read(demo: str, era: str) -> None:
    async with served(demo, era=era) as client:
        ran = answer(await execute(client, "6 * 7"))
        (stubs,) = (await client.read_resource("billing://stubs")).contents
        (stored,) = (await client.read_resource(f"billing://executions/{ran['execution_id']}")).contents
        with pytest.raises(MCPError):
            await client.read_resource("billing://executions/0190c0de-0000-7000-8000-000000000001")

    assert isinstance(stubs, TextResourceContents)
    assert isinstance(stored, TextResourceContents)
    assert "def change(*, account_id: str" in stubs.text
    assert json.loads(stored.text) == ran


@ERAS
async def test_a_read_only_server_has_no_manage_function_and_says_so(demo: str, era: str) -> None:
    async with served(demo, "--read-only", era=era) as client:
        (tool,) = (await client.list_tools()).tools
        refused = await execute(client, CHANGE)
        read = await execute(client, BALANCE)
        (stubs,) = (await client.read_resource("billing://stubs")).contents

    assert tool.annotations is not None
    assert tool.annotations.read_only_hint is True
    assert tool.description is not None
    assert "billing.plan.change" not in tool.description
    assert answer(refused)["error"]["code"] == "unknown_function"
    assert not read.is_error
    assert isinstance(stubs, TextResourceContents)
    assert "def change" not in stubs.text


async def test_permissions_of_the_local_principal_are_the_servers_option(demo: str) -> None:
    async with served(demo, "--permissions", "view") as client:
        refused = await execute(client, CHANGE)
        read = await execute(client, BALANCE)

    assert answer(refused)["error"]["code"] == "permission_denied"
    assert not read.is_error


async def test_the_key_in_the_environment_is_the_principal(demo: str) -> None:
    other = STORIES[1].account_id
    key = json.loads(billing_mcp("keys", "create", "agent", "--account", ACCOUNT, "--json", "--database", demo).stdout)
    async with served(demo, BILLING_MCP_KEY=key["key"]) as client:
        assert not (await execute(client, BALANCE)).is_error
        assert answer(await execute(client, CHANGE))["error"]["code"] == "permission_denied"
        foreign = await execute(client, BALANCE.replace(ACCOUNT, other))
        assert answer(foreign)["error"]["code"] == "not_found"
        helped = answer(await execute(client, "billing.help()"))["result"]
        assert ACCOUNT in helped
        assert other not in helped
        billing_mcp("keys", "revoke", key["prefix"], "--database", demo)
        revoked = await execute(client, BALANCE)
        assert answer(revoked)["error"]["code"] == "key_revoked"


async def test_two_processes_on_one_file_both_read_and_write(demo: str) -> None:
    change_back = CHANGE.replace("smtp_per_proxy", "smtp_per_mailbox")
    async with served(demo) as one, served(demo) as two:
        first = answer(await execute(one, CHANGE))
        second = answer(await execute(two, change_back))
        many = await asyncio.gather(*(execute(client, BALANCE) for client in (one, two) for _ in range(10)))

    assert first["changed"]
    assert second["changed"]
    assert len({answer(result)["result"] for result in many}) == 1


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.05, 0.1])
async def test_a_client_that_vanishes_mid_execution_leaves_the_whole_effect_or_none(demo: str, delay_s: float) -> None:
    async with served(demo) as client:
        before = answer(await execute(client, BALANCE))["result"]
    server = await asyncio.create_subprocess_exec(
        *cold_command("serve", "--database", demo),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    )
    assert server.stdin is not None
    assert server.stdout is not None
    for message in _handshake_and_call(CHANGE):
        server.stdin.write(json.dumps(message).encode() + b"\n")
    await server.stdin.drain()
    await server.stdout.readline()  # it has started to serve
    await asyncio.sleep(delay_s)
    server.kill()
    await server.wait()

    async with served(demo) as client:
        after = answer(await execute(client, BALANCE))["result"]
        repeated = answer(await execute(client, CHANGE))
    if after == before:
        assert repeated["changed"]
    else:
        assert repeated["error"]["code"] == "plan_unchanged"
    billing_mcp("audit", "verify", "--database", demo)


async def test_nothing_but_messages_is_on_standard_output_whatever_is_printed(demo: str) -> None:
    messages = _handshake_and_call("print('to stdout')\nimport sys\nprint('to stderr', file=sys.stderr)")
    stdin = "".join(json.dumps(message) + "\n" for message in messages) + "this is no message\n"
    server = billing_mcp("serve", "--database", demo, stdin=stdin)

    lines = server.stdout.splitlines()
    assert lines
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in lines)
    assert "Traceback" not in server.stderr


def test_what_a_library_prints_does_not_reach_the_client(demo: str) -> None:
    chatty = "import os, billing_mcp.kernel.execution as e; old = e.new_id\n"
    chatty += "e.new_id = lambda now: (print('stray'), os.write(1, b'stray\\n'), old(now))[2]\n"
    chatty += "from billing_mcp.cli import main; main()"
    messages = "".join(json.dumps(message) + "\n" for message in _handshake_and_call("1 + 1"))
    server = subprocess.Popen(
        [sys.executable, "-c", chatty, "serve", "--database", demo],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    with server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(messages)
        server.stdin.flush()
        lines = [server.stdout.readline(), server.stdout.readline()]
        rest, errors = server.communicate(timeout=60)

    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in (*lines, *rest.splitlines()))
    assert errors.count("stray") == 2


def _handshake_and_call(code: str) -> list[dict[str, Any]]:
    who = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    return [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": who},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "execute", "arguments": {"code": code}}},
    ]


@ERAS
async def test_an_argument_that_does_not_exist_is_refused_and_nothing_runs(demo: str, era: str) -> None:
    async with served(demo, era=era) as client:
        before = answer(await execute(client, BALANCE))["result"]
        refused = await execute(client, CHANGE, dry_run=True)
        missing = await client.call_tool("execute", {"script": CHANGE})
        empty = await client.call_tool("execute", {})
        after = answer(await execute(client, BALANCE))["result"]

    assert isinstance(missing, CallToolResult)
    assert isinstance(empty, CallToolResult)
    assert answer(refused)["error"]["code"] == "unknown_argument"
    assert "'dry_run'" in text(refused)
    assert "preview" in text(refused)
    assert answer(missing)["error"]["code"] == "unknown_argument"
    assert answer(empty)["error"]["code"] == "missing_argument"
    assert after == before


@pytest.mark.parametrize(
    "wrong",
    [{"code": 1}, {"code": ["1"]}, {"preview": "no"}, {"preview": 1}, {"preview": "true"}, {"idempotency_key": 7}],
    ids=str,
)
async def test_an_argument_of_another_kind_is_refused_and_nothing_runs(demo: str, wrong: dict[str, Any]) -> None:
    async with served(demo) as client:
        before = answer(await execute(client, BALANCE))["result"]
        refused = await client.call_tool("execute", {"code": CHANGE, **wrong})
        unset = await client.call_tool("execute", {"code": BALANCE, "preview": None, "idempotency_key": None})

    assert isinstance(refused, CallToolResult)
    assert isinstance(unset, CallToolResult)
    assert answer(refused)["error"]["code"] == "invalid_argument"
    assert text(refused).startswith(f"invalid_argument: {next(iter(wrong))} must be ")
    assert answer(unset)["result"] == before


@ERAS
async def test_a_prompt_that_does_not_exist_is_the_callers_mistake(demo: str, era: str) -> None:
    async with served(demo, era=era) as client:
        with pytest.raises(MCPError, match="there is no prompt 'x'") as caught:
            await client.get_prompt("x")

    assert caught.value.error.code == -32602


async def test_a_server_whose_database_cannot_be_opened_says_so_and_serves_once_it_can(demo: str) -> None:
    database = Path(demo).with_name("elsewhere") / "billing.db"
    async with served(str(database)) as client:
        assert len((await client.list_tools()).tools) == 1
        refused = await execute(client, BALANCE)
        database.parent.mkdir()
        shutil.copy(demo, database)
        served_now = await execute(client, BALANCE)

    assert answer(refused)["error"]["code"] == "database_unavailable"
    assert "Nothing was changed." in text(refused)
    assert answer(served_now)["status"] == "completed"
