"""No card number passes through us: it is refused wherever it is given, and turns up in no table and no log."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog

from billing_mcp.kernel.answer import Answer
from tests.faces.platform import PlatformClient, must, refusal
from tests.faces.sender import PHONE, SMS, Sender
from tests.faces.server import ACCOUNT, BALANCE, answer, billing_mcp, connected, execute, make_key, serving
from tests.sandbox.canary import logged
from tests.store.books import raw_connection
from tests.world import MANAGER, World

CARD = "4242424242424242"
GROUPED = "4242 4242 4242 4242"
_GAP = r"[^0-9A-Za-z]{0,8}"
_ANYWHERE = re.compile(_GAP.join(CARD[:10]))
"""Of sixteen digits ten are too many, too."""


async def kept(database: str) -> str:
    """All that a database has stored, and on SQLite what is left in its files."""
    if "://" not in database:
        path = Path(database)
        files = [each for each in path.parent.iterdir() if each.name.startswith(path.name)]
        return "\n".join(each.read_bytes().decode("latin-1") for each in files)
    async with raw_connection(database) as run:
        tables = await run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [await run(f'SELECT t::text FROM "{name}" t') for (name,) in tables]  # noqa: S608 - our own names
        return "\n".join(text for found in rows for (text,) in found)


def silent(text: str) -> None:
    """The number is not in a text, in no writing."""
    assert _ANYWHERE.search(text) is None, text[:2000]


async def scripts(database: str) -> list[str]:
    """The scripts that were recorded, oldest first."""
    async with raw_connection(database) as run:
        return [text for (text,) in await run("SELECT script FROM executions ORDER BY execution_id")]


def refused(given: Answer) -> str | None:
    silent(given.to_json())
    assert (given.error is None, given.changed) != (True, True)
    return given.error.code if given.error else None


IN_ITS_TEXT = {
    "text": f"billing.plan.cancel(account_id='{CARD}')",
    "grouped": f"x = '{GROUPED}'",
    "comment": f"# {CARD}\n1",
    "integer": f"print({CARD})",
    "underscores": "print(4242_4242_4242_4242)",
    "dict": f"print({{'card': ['{CARD}']}})",
    "unseen characters": "x = '4242\u200b4242\u200b4242\u200b4242'",
    "not Python": f"charge {CARD} now",
    "far right": f"x = '{'x' * 180} {GROUPED}'",
}

IN_AN_ARGUMENT = {
    "text": "'4242' * 4",
    "grouped": "' '.join(['4242'] * 4)",
    "integer": "int('4242' * 4)",
    "in a list": "['4242' * 4]",
    "in a dict": "{'card': {'number': '4242' * 4}}",
    "a name in a dict": "{'4242' * 4: 1}",
    "long": "'x' * 50 + ' ' + '4242' * 4",
    "escaped": "'4242\\u200b4242\\u200b4242\\u200b4242'",
    "in pieces": "'42424242' + '42424242'",
}


def giving(value: str, account_id: str) -> str:
    """A script that gives a value to a function. Of what it reads from JSON the type checker knows nothing."""
    loads = f"import json\nvalue = json.loads(json.dumps({value}))"
    return f"{loads}\nbilling.plan.change(account_id={account_id!r}, plan_id=value)"


IN_WHAT_IT_TELLS = {
    "printed": "print('4242' * 4)",
    "returned": "'4242' * 4",
    "integer": "int('4242' * 4)",
    "deep": "{'a': [{'4242' * 4: '4242 ' * 4}]}",
    "raised": "raise ValueError('4242' * 4)",
    "raised far on": "raise ValueError('x' * 975 + ' ' + '4242' * 4 + ' ' + 'x' * 100)",
    "in pieces": "'42424242' + '42424242'",
}


@pytest.mark.parametrize("way", IN_ITS_TEXT)
async def test_a_script_with_a_card_number_in_its_text_is_not_run(world: World, database: str, way: str) -> None:
    source = f"print('so far')\n{IN_ITS_TEXT[way]}"

    given = await world.run(source)

    assert (refused(given), given.output) == ("card_number", "")
    assert given.error is not None
    assert (given.error.field, given.error.line) == ("code", 2)
    assert "token" in (given.error.hint or "")
    await world.app.executor.stored_answer(MANAGER, given.execution_id)
    (script,) = await scripts(database)
    assert script.startswith("print('so far')\n")
    assert "[card …4242]" in script
    silent(await kept(database))


@pytest.mark.parametrize("way", IN_AN_ARGUMENT)
async def test_a_card_number_that_a_script_puts_together_is_no_argument(world: World, database: str, way: str) -> None:
    account_id = await world.account(funds="10.00")
    source = f"""
billing.plan.change(account_id={account_id!r}, plan_id='smtp_per_proxy')
{giving(IN_AN_ARGUMENT[way], account_id)}"""

    given = await world.run(source)

    assert refused(given) == "card_number"
    assert given.error is not None
    assert str(given.error.field).split(".")[0] == "plan_id"
    assert not given.changed
    (script,) = await scripts(database)
    assert "4242" not in script
    silent(await kept(database))


async def test_what_the_type_checker_says_of_one_does_not_tell_it(world: World, database: str) -> None:
    account_id = await world.account()

    given = await world.run(f"billing.plan.change(account_id={account_id!r}, plan_id='42424242' + '42424242')")

    assert refused(given) == "invalid_argument"
    assert "4242" not in "".join(await scripts(database))
    silent(await kept(database))


async def test_a_script_that_catches_the_refusal_and_changes_something_leaves_no_number_behind(
    world: World, database: str
) -> None:
    account_id = await world.account(funds="10.00")
    source = f"""
import json
try:
    billing.plan.change(account_id={account_id!r}, plan_id=json.loads('"42424242"') + json.loads('"42424242"'))
except ValueError as e:
    print(e)
billing.plan.change(account_id={account_id!r}, plan_id='smtp_per_proxy')['status']"""

    given = await world.run(source, idempotency_key="once")
    again = await world.run(source, idempotency_key="once")

    assert (given.changed, given.result, again.replayed) == (True, "completed", True)
    assert given.output.startswith("card_number: plan_id holds")
    assert "4242" not in "".join(await scripts(database))
    silent(await kept(database))


@pytest.mark.parametrize("way", IN_WHAT_IT_TELLS)
async def test_a_card_number_that_a_script_puts_together_is_not_told(world: World, database: str, way: str) -> None:
    given = await world.run(IN_WHAT_IT_TELLS[way])

    silent(given.to_json())
    assert "[card …4242]" in given.to_json()
    stored = await world.app.executor.stored_answer(MANAGER, given.execution_id)
    assert stored == given.to_json()
    silent(await kept(database))
    assert "4242" not in "".join(await scripts(database))


@pytest.mark.parametrize("preview", [False, True])
async def test_an_idempotency_key_holds_none(world: World, database: str, preview: bool) -> None:
    account_id = await world.account(funds="10.00", plan="smtp_per_mailbox")

    given = await world.run(
        f"billing.plan.cancel(account_id={account_id!r})", idempotency_key=f"topup {GROUPED}", preview=preview
    )

    assert refused(given) == "card_number"
    assert given.error is not None
    assert given.error.field == "idempotency_key"
    silent(await kept(database))


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("billing.plan.change", {"account_id": CARD, "plan_id": "smtp_per_proxy"}),
        ("billing.plan.change", {"account_id": "0190c0de-0000-7000-8000-0000000000ff", "plan_id": GROUPED}),
        ("billing.plan.change", {"plan_id": ["x", {"y": int(CARD)}]}),
        ("billing.plan.change", {GROUPED: "x"}),
        ("billing.plan.change", {"plan_id": "4242\u200b4242\u200b4242\u200b4242"}),
        (f"billing.plan.{CARD}", {}),
    ],
)
async def test_a_single_call_takes_none(
    world: World, database: str, function: str, arguments: dict[str, object]
) -> None:
    given = await world.app.call(MANAGER, function, arguments)

    assert refused(given) == ("card_number" if CARD not in function else "unknown_function")
    silent(await kept(database))
    silent("".join(await scripts(database)).replace("\\u200b", ""))


PLATFORM_REQUESTS: dict[str, tuple[str, str, Any, str]] = {
    "a name": ("POST", "/accounts", {"name": f"Card {GROUPED}"}, "name"),
    "a key's name": ("POST", "/keys", {"name": CARD, "account_ids": [], "permissions": ["billing.view"]}, "name"),
    "an id": ("POST", "/accounts", {"name": "Northwind", "account_id": CARD}, "account_id"),
    "a reason": ("POST", "/accounts/{account}/credits", {"amount": "1.00", "reason": f"For {CARD}"}, "reason"),
    "a reference": ("POST", "/accounts/{account}/holds", {"amount": "1.00", "reference": CARD}, "reference"),
    "an amount": ("POST", "/accounts/{account}/holds", {"amount": int(CARD)}, "amount"),
    "an unknown field": ("POST", "/accounts/{account}/holds", {"amount": "1.00", "card": {"pan": CARD}}, "card.pan"),
    "a field's name": ("POST", "/accounts/{account}/holds", {"amount": "1.00", CARD: "x"}, "[card …4242]"),
    "a path": ("GET", f"/accounts/{CARD}", None, "account_id"),
    "a query": ("GET", f"/accounts?cursor={CARD}", None, "cursor"),
    "a tier": ("PUT", "/accounts/{account}/tiers/sms", {"commitment": CARD}, "commitment"),
    "an item": (
        "POST",
        "/holds/batch",
        {"items": [{"action": "place", "account_id": "{account}", "amount": "1.00", "reference": GROUPED}]},
        "items.0.reference",
    ),
    "an item's key": (
        "POST",
        "/holds/batch",
        {"items": [{"action": "place", "account_id": "{account}", "amount": "1.00", "idempotency_key": CARD}]},
        "items.0.idempotency_key",
    ),
    "a sender": ("POST", "/v1/messages", {"account_id": "{account}", **SMS, "sender": CARD}, "sender"),
    "a recipient": ("POST", "/v1/messages", {"account_id": "{account}", **SMS, "to": [CARD]}, "to.0"),
    "a message's reference": (
        "POST",
        "/v1/messages/batch",
        {"account_id": "{account}", "messages": [SMS, {**SMS, "reference": f"r-{CARD}"}]},
        "messages.1.reference",
    ),
    "a campaign's name": (
        "POST",
        "/v1/messages/batch",
        {"account_id": "{account}", "name": CARD, "messages": [SMS]},
        "name",
    ),
    "an event": (
        "POST",
        "/v1/messages/inbound",
        {"account_id": "{account}", "sender": "a", "user": PHONE, "event_id": CARD, "kind": "text"},
        "event_id",
    ),
}


@pytest.mark.parametrize("way", PLATFORM_REQUESTS)
@pytest.mark.parametrize("key", [None, "once"])
async def test_the_platform_can_store_none(
    platform: PlatformClient, world: World, database: str, way: str, key: str | None
) -> None:
    account_id = await world.account(funds="10.00")
    method, path, body, field = PLATFORM_REQUESTS[way]
    body = json.loads(json.dumps(body).replace("{account}", account_id))

    response = await platform.send(method, path.replace("{account}", account_id), body, key=key)

    assert refusal(response, 422, "card_number")["field"] == field
    silent(response.text)
    silent(await kept(database))
    shown = await platform.get(f"/accounts/{account_id}")
    assert (shown["free"], shown["reserved"]) == (10.0, 0.0)


async def test_a_key_of_the_platform_holds_none(platform: PlatformClient, world: World, database: str) -> None:
    account_id = await world.account(funds="10.00")

    response = await platform.place(account_id, key=f"hold-{CARD}")

    assert refusal(response, 422, "card_number")["field"] == "Idempotency-Key"
    silent(response.text)
    silent(await kept(database))


async def test_the_text_of_a_message_is_counted_whatever_number_is_in_it(sender: Sender, database: str) -> None:
    """Such as that of a parcel. It is not kept."""
    text = {"channel": "sms", "to": [PHONE], "market": "DE", "text": f"Parcel {CARD} is here"}

    await must(sender.send(text, key="once"))

    silent(await kept(database))


ROUTES: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "path": ("GET", f"/v1/public/accounts/{CARD}/billing/balance", {}, "account_id"),
    "query": ("GET", f"/v1/billing/usage?from={CARD}", {}, "from"),
    "unknown query": ("GET", f"/v1/billing/usage?card={CARD}", {}, "card"),
    "body": ("POST", f"/v1/public/accounts/{ACCOUNT}/billing/change-plan", {"json": {"plan_id": CARD}}, "plan_id"),
    "number": (
        "POST",
        f"/v1/public/accounts/{ACCOUNT}/billing/change-plan",
        {"json": {"plan_id": int(CARD)}},
        "plan_id",
    ),
    "quote": ("POST", "/v1/billing/messages/quote", {"json": {"channel": "sms", "text": GROUPED}}, "text"),
    "key": (
        "POST",
        f"/v1/public/accounts/{ACCOUNT}/billing/cancel-plan",
        {"json": {}, "headers": {"Idempotency-Key": CARD}},
        "Idempotency-Key",
    ),
    "script's key": (
        "POST",
        "/v1/executions",
        {"json": {"code": "1", "idempotency_key": CARD}},
        "idempotency_key",
    ),
}


async def test_none_gets_into_the_files_or_the_log_of_a_server(demo: str) -> None:
    key, _ = make_key(demo)
    made = billing_mcp("keys", "create", "platform", "--platform", "--json", "--database", demo)
    platform_key = json.loads(made.stdout)["key"]
    async with serving(demo, "--log-format", "json") as server:
        async with connected(server, key) as client:
            for source in (*IN_ITS_TEXT.values(), *IN_WHAT_IT_TELLS.values()):
                silent(json.dumps(answer(await execute(client, source)), ensure_ascii=False))
            for value in IN_AN_ARGUMENT.values():
                told = answer(await execute(client, giving(value, ACCOUNT)))
                assert told["error"]["code"] == "card_number"
            told = answer(await execute(client, BALANCE, idempotency_key=CARD))
            assert told["error"]["code"] == "card_number"
            odd = await client.call_tool("execute", {"code": "1", GROUPED: "x"})
            silent(odd.model_dump_json())
        address = f"http://{server.address}"
        async with httpx2.AsyncClient(base_url=address, headers={"Authorization": f"Bearer {key}"}) as http:
            for way, (method, path, more, field) in ROUTES.items():
                response = await http.request(method, path, **more)
                problem = response.json()
                assert (way, problem["code"], problem["field"]) == (way, "card_number", field)
                silent(response.text)
            silent((await http.get(f"/nowhere/{CARD}")).text)
            silent((await http.get(f"/v1/executions/{CARD}")).text)
            signed = {"x-request-id": CARD, "authorization": f"Bearer {platform_key}"}
            place = f"/v1/platform/accounts/{ACCOUNT}/holds"
            refused_hold = await http.post(place, json={"amount": "1.00", "reference": CARD}, headers=signed)
            assert refused_hold.json()["code"] == "card_number"
            await http.get(f"/livez?{CARD}", headers={"user-agent": CARD, "cookie": CARD})
        running = await kept(demo)

    log = "\n".join(server.log)
    assert '"request_id":"[card …4242]"' in log
    silent(log)
    silent(running)
    silent(await kept(demo))


@pytest.fixture
def log() -> Iterator[Any]:
    with logged() as lines:
        yield lines


def test_a_line_of_the_log_tells_none_whatever_it_is_given(log: Any) -> None:
    error = ValueError(CARD)

    structlog.get_logger().error(
        f"charged {CARD}", card=CARD, number=int(CARD), inside={"a": [GROUPED]}, why=error, exc_info=error
    )
    logging.getLogger("library").error("charged %s", GROUPED, exc_info=error)

    assert log.getvalue().count("[card …4242]") == 6
    silent(log.getvalue())
