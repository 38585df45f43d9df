"""One server on one database, with credentials of every kind, and the faces to ask it through."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
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
from billing_mcp.operations.credits import grant_credit
from billing_mcp.operations.drafts import Draft
from billing_mcp.operations.platform import make_agent_key, make_platform_key, open_account, receive_payment
from billing_mcp.settings import Settings
from billing_mcp.store.store import Transaction
from tests.logs import logs_restored
from tests.processes import warm_command

NOW = datetime(2026, 3, 12, 10, 0, tzinfo=UTC)
READ, OTHERS = STORIES[0].account_id, STORIES[1].account_id
CREDENTIALS = ("viewer", "manager", "read-only", "other account's", "platform", "expired", "revoked", "none")
FACES = ("mcp", "rest", "executions", "cli")
PLAN = "smtp_per_mailbox"
ARGUMENTS: dict[str, dict[str, Any]] = {
    "billing.alerts.set": {"amounts": ["50.00", "20.00"], "runway_days": [7]},
    "billing.auto_reload.set": {"enabled": True, "threshold": "20.00", "target": "80.00"},
    "billing.payment_methods.add": {"token": "tok_mastercard", "make_default": True},
    "billing.plan.change": {"plan_id": "smtp_per_proxy"},
    "billing.topups.create": {"amount": "50.00"},
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
    of_account: dict[str, str]
    """Ids of what READ has: a charge's transaction, a top-up, and an invoice."""
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
        named = {p.name: self.of_account[p.name] for p in operation.parameters if p.name in self.of_account}
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
        given = [f"{name}={_as_text(value)}" for name, value in arguments.items()]
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
    keys, of_account = asyncio.run(_furnish(database))
    command = ["serve", "--transport", "http", "--port", "0", "--json-response", "--database", database]
    env = dict(os.environ) | {"BILLING_MCP_NOW": NOW.isoformat(), "BILLING_MCP_ANONYMOUS_RATE_LIMIT": ""} | more
    with subprocess.Popen(warm_command(*command), stderr=subprocess.PIPE, text=True, env=env) as process:
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
                yield House(url, database, keys, of_account, clients)
        finally:
            process.terminate()
            process.wait()


def _client(url: str, key: str | None) -> Client:
    return Client(base_url=url, headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=60)


async def _furnish(database: str) -> tuple[dict[str, str], dict[str, str]]:
    """Accounts, and a key of each kind; and what READ has."""
    moment = [NOW - timedelta(days=3)]
    async with App.open(Settings(database=database, workers=1), clock=lambda: moment[0]) as app:
        await seed_demo(app.store, NOW, messages=1000)
        await _send(app)
        topup_id, _ = [await _top_up(app, *each) for each in ((READ, "1.00"), (OTHERS, "2.00"))]
        mine = [READ]
        for operation in WRITING:
            for face in FACES:
                mine.append(account_of(operation, face))
                await _open(app, operation, mine[-1])
        async with app.store.write(moment[0]) as tx:
            keys = await _keys(tx, mine)
            await grant_credit(tx, READ, 5_000_000, reason="Goodwill")
            (invoice, *_), _ = await tx.invoices.page(READ, page=1, page_size=1)
            await tx.keys.revoke(keys["revoked"].split("_")[1], moment[0])
            history = [transaction async for transaction in tx.ledger.history(READ)]
    charge = [each.transaction_id for each in history if each.type == "charge"][-1]
    return keys, {"transaction_id": charge, "topup_id": topup_id, "invoice_id": invoice.invoice_id}


async def _send(app: App) -> None:
    """A message that READ is charged for, and OTHERS is not."""
    sent = await app.messages.send(READ, Draft("sms", to=["+4915112345678"], market="DE", text="Hello"))
    assert sent.message is not None
    await app.messages.submit(await app.messages.reporting(READ, sent.message.message_id, "delivered"))


async def _top_up(app: App, account_id: str, threshold: str) -> str:
    """An account has a card, has paid with it once, and would by itself below a threshold."""
    owner = await app.local_principal()
    calls: dict[str, dict[str, object]] = {
        "payment_methods.add": {"token": "tok_visa"},
        "auto_reload.set": {"enabled": True, "threshold": threshold, "amount": "50.00"},
        "topups.create": {"amount": "50.00"},
    }
    for function, more in calls.items():
        answer = await app.call(owner, f"billing.{function}", {"account_id": account_id, **more})
        assert answer.error is None, answer.error
    return str(answer.result["topup_id"])


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
    changes: list[dict[str, object]] = [{"plan_id": PLAN}]
    if operation.name == "billing.plan.resume":
        changes.append({"plan_id": "smtp_per_proxy", "effective_date": "2026-04-09"})
    if operation.name in ("billing.topups.create", "billing.auto_reload.set"):
        added: dict[str, object] = {"account_id": account_id, "token": "tok_visa"}
        assert (await app.call(owner, "billing.payment_methods.add", added)).followups
    for change in changes:
        answer = await app.call(owner, "billing.plan.change", {"account_id": account_id, **change})
        assert answer.error is None, answer.error


def _placed(place: Place, arguments: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """The path that names them, and the body of all others."""
    body = {name: value for name, value in arguments.items() if f"{{{name}}}" not in place.path}
    return place.path.format(**arguments), body or None


def _script(operation: Operation, arguments: dict[str, Any]) -> str:
    return f"{operation.name}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


def _as_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _of_answer(answer: dict[str, Any]) -> Outcome:
    """What a script was told; where a followup tells of the same thing it is newer, as REST answers."""
    error = answer.get("error")
    if error:
        return Outcome(refused=error["code"])
    result: Any = answer.get("result")
    told = [thing for followup in answer.get("followups", []) for thing in followup.values()]
    return Outcome(result=next((thing for thing in told if thing.keys() == result.keys()), result))


def _of_rest(response: Response) -> Outcome:
    """An exact number is compared as a script has it: as its text."""
    body = json.loads(response.text, parse_float=str)
    if response.status_code == 200:
        return Outcome(result=body)
    assert response.headers["content-type"] == "application/problem+json"
    assert body["status"] == response.status_code
    return Outcome(refused=body["code"])
