"""`billing-mcp webhooks`: where accounts hear of events, and what became of telling them, for people and programs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tests.cli.conftest import MAIL, NOBODY, Cli
from tests.webhooks.receiver import Receiver, receiving

URL = "https://hooks.example.com/billing"
LOCAL = {"BILLING_MCP_WEBHOOKS_TO_LOOPBACK": "true"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver in a thread of its own: commands have the loop of this one."""
    ready, found = threading.Event(), list[Receiver]()
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        async with receiving() as opened:
            ended = asyncio.Event()
            stop.append((asyncio.get_running_loop(), ended))
            found.append(opened)
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait()
    yield found[0]
    loop, ended = stop[0]
    loop.call_soon_threadsafe(ended.set)
    thread.join()


def test_an_endpoint_is_added_listed_rotated_and_removed(cli: Cli, database: str, account: str) -> None:
    options = ("--json", "--database", database)
    made = cli("webhooks", "add", account, URL, "--event", "billing.balance_low", *options).json
    endpoint_id, secret = made["endpoint_id"], made.pop("secret")
    assert cli("webhooks", "list", account, *options).json == [made]

    rotated = cli("webhooks", "rotate", account, endpoint_id, *options).json
    assert rotated["secret"] not in ("", secret)
    assert rotated["previous_secret_until"] == "2026-03-13T10:00:00Z"
    told = cli("webhooks", "list", account, "--database", database)
    assert endpoint_id in told.stdout
    assert "billing.balance_low" in told.words
    assert "whsec_" not in told.stdout

    removed = cli("webhooks", "remove", account, endpoint_id, "--database", database)
    assert removed.stdout == f"Removed {endpoint_id}.\n"
    assert cli("webhooks", "list", account, *options).json == []
    assert "billing-mcp webhooks add" in cli("webhooks", "list", account, "--database", database).words


def test_an_event_is_told_by_the_worker_listed_and_replayed(
    cli: Cli, database: str, account: str, receiver: Receiver
) -> None:
    options = ("--database", database)
    added = cli("webhooks", "add", account, receiver.url, "--json", *options, **LOCAL)
    assert added.exit_code == 0, added
    change = f"billing.plan.change(account_id={account!r}, plan_id='smtp_per_proxy')"
    assert cli("run", "-", *options, stdin=change).exit_code == 0
    worked = cli("worker", "--once", *options, **LOCAL)
    assert worked.exit_code == 0, worked

    found = cli("webhooks", "list", account, "--deliveries", "--json", *options).json
    assert {each["event"] for each in found} == {"billing.plan.changed", "billing.execution.completed"}
    assert {each["status"] for each in found} == {"delivered"}
    told = cli("webhooks", "list", account, "--deliveries", *options)
    assert "delivered 2026-03-12 10:00" in told.words
    assert found[0]["delivery_id"] in told.stdout

    replayed = cli("webhooks", "replay", account, found[0]["delivery_id"], *options)
    assert replayed.words.startswith("1 due now.")
    assert cli("worker", "--once", *options, **LOCAL).exit_code == 0
    ids = [heard.message_id for heard in receiver.heard]
    assert len(ids) == 3
    assert ids.count(found[0]["message_id"]) == 2
    assert cli("webhooks", "list", account, "--status", "dead", "--json", *options).json == []
    assert cli("webhooks", "replay", account, "--all-dead", "--json", *options).json == {"replayed": 0}


def test_a_test_says_what_was_answered_and_exits_with_1_where_it_was_not_taken(
    cli: Cli, database: str, account: str, receiver: Receiver
) -> None:
    options = ("--database", database)
    endpoint_id = cli("webhooks", "add", account, receiver.url, "--json", *options, **LOCAL).json["endpoint_id"]

    taken = cli("webhooks", "test", account, endpoint_id, *options, **LOCAL)
    refused = cli("webhooks", "test", account, endpoint_id, "--json", *options)

    assert taken.exit_code == 0
    assert taken.words.startswith("Taken: answered 204, after ")
    assert (refused.exit_code, refused.json["error"]) == (1, "address_refused")
    assert len(receiver.heard) == 1


def test_what_is_wrong_is_said_in_one_line(cli: Cli, database: str, account: str) -> None:
    options = ("--database", database)
    cli("webhooks", "add", account, "http://127.0.0.1/", *options).refused("webhook_url_refused", 2)
    cli("webhooks", "add", account, URL, "--event", "billing.nothing", *options).refused("invalid_argument", 2)
    cli("webhooks", "list", NOBODY, *options).refused("not_found", 3)
    cli("webhooks", "rotate", account, NOBODY, *options).refused("not_found", 3)
    cli("webhooks", "replay", account, *options).refused("invalid_argument", 2)
    assert account == MAIL


def test_help_teaches_the_commands(cli: Cli) -> None:
    told = cli("webhooks", "--help").words
    assert all(command in told for command in ("list", "add", "test", "replay", "remove", "rotate"))
