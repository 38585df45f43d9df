"""One server on one database, with credentials of every kind, and the faces to ask it through."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

from httpx2 import Client, Response
from typer.testing import CliRunner

from billing_mcp.app import App
from billing_mcp.cli.main import app as command_line
from billing_mcp.demo.history import STORIES, seed_demo
from billing_mcp.faces.rest.functions import Place, places
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Operation
from billing_mcp.operations import REGISTRY
from billing_mcp.operations.drafts import Draft
from billing_mcp.operations.platform import make_agent_key, make_platform_key, open_account, receive_payment
from billing_mcp.settings import Settings
from billing_mcp.store.store import Transaction
from tests.logs import logs_restored

NOW = datetime(2026, 3, 12, 10, 0, tzinfo=UTC)
READ, OTHERS = STORIES[0].account_id, STORIES[1].account_id
CREDENTIALS = ("viewer", "manager", "read-only", "other account's", "platform", "expired", "revoked", "none")
FACES = ("mcp", "rest", "executions", "cli")
PLAN = "smtp_per_mailbox"
ARGUMENTS: dict[str, dict[str, Any]] = {
    "billing.plan.change": {"plan_id": "smtp_per_proxy"},
    "billing.messages.quote": {"channel": "sms", "market": "DE", "text": "Your code is 1234"},
}
"""What the functions need beside the account, and beside what the account alone has."""
WRITING = [operation for operation in REGISTRY.values() if operation.writes]


@dataclass(frozen=True)
class Outcome:
    """A result, or the code of a refusal."""

    result: Any = None
    refused: str | None = None


def account_of(operation: Operation, face: str) -> str:
    """Who only reads asks of one account. Who changes something does so on one of the face's own, all in one state."""
    if not operation.writes:
        return READ
    number = 1000 + 10 * WRITING.index(operation) + FACES.index(face)
    return f"0190c0de-0000-7000-8000-{number:012d}"


@dataclass(frozen=True)
class House:
    """A server that runs, and who may ask it."""

    url: str
    database: str
    keys: dict[str, str]
    transaction_id: str
    """Of a charge of READ."""
    clients: dict[str, Client]
    """For each credential one that brings it."""

    def ask(self, face: str, credential: str, operation: Operation) -> Outcome:
        """Call a function over a face, with a credential."""
        ask: dict[str, Callable[[str, Operation, dict[str, Any]], Outcome]] = {
            "mcp": self._mcp,
            "rest": self._rest,
            "executions": self._executions,
            "cli": self._cli,
        }
        arguments = {"account_id": account_of(operation, face), **self.needed(operation)}
        return ask[face](credential, operation, arguments)

    def needed(self, operation: Operation) -> dict[str, Any]:
        """What a function needs beside the account."""
        of_account = {"transaction_id": self.transaction_id}
        named = {p.name: of_account[p.name] for p in operation.parameters if p.name in of_account}
        return named | ARGUMENTS.get(operation.name, {})

    def own(self, credential: str, operation: Operation) -> Outcome:
        """Call a function over REST, for the account that the credential means."""
        (place,) = [place for place in places(REGISTRY) if place.operation is operation and place.own]
        path, body = _placed(place, self.needed(operation))
        return _of_rest(self.clients[credential].request(place.method, path, json=body))

    def _mcp(self, credential: str, operation: Operation, arguments: dict[str, Any]) -> Outcome:
        params = {"name": "execute", "arguments": {"code": _script(operation, arguments)}}
        response = self.clients[credential].post(
            "/mcp",
            json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params},
            headers={"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"},
        )
        if response.status_code != 200:
            return _of_rest(response)
        return _of_answer(response.json()["result"]["structuredContent"])

    def _rest(self, credential: str, operation: Operation, arguments: dict[str, Any]) -> Outcome:
        (place,) = [place for place in places(REGISTRY) if place.operation is operation and not place.own]
        path, body = _placed(place, arguments)
        return _of_rest(self.clients[credential].request(place.method, path, json=body))

    def _executions(self, credential: str, operation: Operation, arguments: dict[str, Any]) -> Outcome:
        response = self.clients[credential].post("/v1/executions", json={"code": _script(operation, arguments)})
        return _of_rest(response) if response.status_code != 200 else _of_answer(response.json())

    def _cli(self, credential: str, operation: Operation, arguments: dict[str, Any]) -> Outcome:
        given = [f"{name}={value}" for name, value in arguments.items()]
        env = {"BILLING_MCP_NOW": NOW.isoformat(), "BILLING_MCP_KEY": self.keys.get(credential)}
        command = ["call", operation.name, *given, "--json", "--database", self.database]
        with logs_restored():
            done = CliRunner().invoke(command_line, command, env=env)
        if done.stdout:
            return _of_answer(json.loads(done.stdout))
        code = re.match(r"error (\w+): ", done.stderr)
        assert code, done
        return Outcome(refused=code[1])


@contextmanager
def housed(folder: Path, **more: str) -> Iterator[House]:
    """A server for the block, with more in its environment."""
    database = str(folder / "billing.db")
    keys, transaction_id = asyncio.run(_furnish(database))
    command = ["serve", "--transport", "http", "--port", "0", "--json-response", "--database", database]
    env = dict(os.environ) | {"BILLING_MCP_NOW": NOW.isoformat(), "BILLING_MCP_ANONYMOUS_RATE_LIMIT": ""} | more
    with subprocess.Popen(
        [sys.executable, "-m", "billing_mcp", *command], stderr=subprocess.PIPE, text=True, env=env
    ) as process:
        assert process.stderr is not None
        line = ""
        while "Serving agents on" not in line:
            line = process.stderr.readline()
            assert line, "the server has ended"
        Thread(target=process.stderr.read, daemon=True).start()  # its log would fill the pipe, and then it would wait
        try:
            with ExitStack() as stack:
                url = line.split()[3].removesuffix("/mcp")
                clients = {name: stack.enter_context(_client(url, keys.get(name))) for name in CREDENTIALS}
                yield House(url, database, keys, transaction_id, clients)
        finally:
            process.terminate()
            process.wait()


def _client(url: str, key: str | None) -> Client:
    return Client(base_url=url, headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=60)


async def _furnish(database: str) -> tuple[dict[str, str], str]:
    """Accounts, and a key of each kind; and a charge of READ."""
    moment = [NOW - timedelta(days=3)]
    async with App.open(Settings(database=database, workers=1), clock=lambda: moment[0]) as app:
        await seed_demo(app.store, NOW, messages=1000)
        await _send(app)
        mine = [READ]
        for operation in WRITING:
            for face in FACES:
                mine.append(account_of(operation, face))
                await _open(app, operation, mine[-1])
        async with app.store.write(moment[0]) as tx:
            keys = await _keys(tx, mine)
            await tx.keys.revoke(keys["revoked"].split("_")[1], moment[0])
            history = [transaction async for transaction in tx.ledger.history(READ)]
    return keys, [each.transaction_id for each in history if each.type == "charge"][-1]


async def _send(app: App) -> None:
    """A message that READ is charged for, and OTHERS is not."""
    sent = await app.messages.send(READ, Draft("sms", to=["+4915112345678"], market="DE", text="Hello"))
    assert sent.message is not None
    await app.messages.submit(await app.messages.reporting(READ, sent.message.message_id, "delivered"))


async def _keys(tx: Transaction, mine: list[str]) -> dict[str, str]:
    both, soon = list(Permission), tx.now + timedelta(days=1)
    granted: dict[str, dict[str, Any]] = {
        "viewer": {"permissions": [Permission.VIEW]},
        "manager": {},
        "read-only": {"read_only": True},
        "other account's": {"account_ids": [OTHERS], "default_account_id": OTHERS},
        "expired": {"expires_at": soon},
        "revoked": {},
    }
    usual: dict[str, Any] = {"account_ids": mine, "permissions": both, "default_account_id": READ}
    keys = {name: (await make_agent_key(tx, name, **usual | more))[0] for name, more in granted.items()}
    keys["platform"], _ = await make_platform_key(tx, "platform")
    return keys


async def _open(app: App, operation: Operation, account_id: str) -> None:
    """An account with money and a plan; where there must be something to undo, with a change that is pending."""
    owner = await app.local_principal()
    async with app.store.write(app.clock()) as tx:
        await open_account(tx, account_id, f"Account {account_id[-4:]}", "EUR")
        await receive_payment(tx, account_id, 100_000_000, provider="test")
    changes = [{"plan_id": PLAN}]
    if operation.name == "billing.plan.resume":
        changes.append({"plan_id": "smtp_per_proxy", "effective_date": "2026-04-09"})
    for change in changes:
        answer = await app.call(owner, "billing.plan.change", {"account_id": account_id, **change})
        assert answer.error is None, answer.error


def _placed(place: Place, arguments: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """The path that names them, and the body of all others."""
    body = {name: value for name, value in arguments.items() if f"{{{name}}}" not in place.path}
    return place.path.format(**arguments), body or None


def _script(operation: Operation, arguments: dict[str, Any]) -> str:
    return f"{operation.name}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


def _of_answer(answer: dict[str, Any]) -> Outcome:
    error = answer.get("error")
    return Outcome(refused=error["code"]) if error else Outcome(result=answer.get("result"))


def _of_rest(response: Response) -> Outcome:
    """An exact number is compared as a script has it: as its text."""
    body = json.loads(response.text, parse_float=str)
    if response.status_code == 200:
        return Outcome(result=body)
    assert response.headers["content-type"] == "application/problem+json"
    assert body["status"] == response.status_code
    return Outcome(refused=body["code"])
