"""Events are written with the change that they tell of: with it they are there, without it they are not."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from billing_mcp.domain.events import EXECUTION_COMPLETED, PUBLIC_EVENTS
from billing_mcp.domain.webhooks import new_secret
from billing_mcp.operations.platform_webhooks import add_endpoint
from tests.conftest import Clock
from tests.webhooks.receiver import Post
from tests.worker.closing import at
from tests.world import World

SOURCES = Path(__file__).parents[2] / "src" / "billing_mcp"
CHANGE = "billing.plan.change(account_id={0!r}, plan_id='smtp_per_mailbox')"
URL = "https://hooks.example.com/"


async def _listening(world: World, *accounts: str) -> None:
    async with world.app.store.write(world.clock()) as tx:
        for account_id in accounts:
            await add_endpoint(tx, account_id, URL)


async def _events(world: World, account_id: str) -> list[tuple[str, Any]]:
    return [(each.event, each.payload) for each in (await world.snapshot(account_id))["events"]]


async def test_an_execution_that_changed_something_tells_each_account_of_its_own_part(world: World) -> None:
    one, other, silent = [await world.account(funds="100.00") for _ in range(3)]
    await _listening(world, one, other)

    answer = await world.run("\n".join(CHANGE.format(each) for each in (one, other, silent)))

    told = dict(await _events(world, one))[EXECUTION_COMPLETED]
    assert told == {
        "execution_id": answer.execution_id,
        "principal_id": "local",
        "functions": ["billing.plan.change"],
        "wallets": [],
    }
    assert EXECUTION_COMPLETED in dict(await _events(world, other))
    assert [event for event, _ in await _events(world, silent)] == ["billing.plan.changed"]


async def test_the_event_of_an_execution_has_what_it_moved_in_that_wallet_alone(world: World, clock: Clock) -> None:
    one, other = [await world.account(funds="100.00", plan="smtp_per_mailbox") for _ in range(2)]
    await _listening(world, one, other)
    clock.now = at("2026-03-22")
    change = "billing.plan.change(account_id={0!r}, plan_id='smtp_per_proxy')"

    answer = await world.run("\n".join(change.format(each) for each in (one, other)))

    effects = {each.account_id: each.model_dump(exclude={"account_id"}) for each in answer.effects.wallets}
    assert set(effects) == {one, other}
    for account_id in (one, other):
        assert dict(await _events(world, account_id))[EXECUTION_COMPLETED]["wallets"] == [effects[account_id]]


async def test_what_is_previewed_rolled_back_or_only_read_tells_nobody(world: World) -> None:
    account_id = await world.account(funds="100.00")
    await _listening(world, account_id)

    preview = await world.run(CHANGE.format(account_id), preview=True)
    failed = await world.run(CHANGE.format(account_id) + "\n1 / 0")
    read = await world.run(f"billing.balance.get(account_id={account_id!r})")

    assert (preview.status, failed.status, read.status) == ("previewed", "failed", "completed")
    assert await _events(world, account_id) == []


async def test_an_invoice_is_told_of_in_the_transaction_that_issues_it(world: World, clock: Clock) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=10)
    clock.now = at("2026-04-12")

    await world.close_period(account_id)
    await world.close_period(account_id)

    (told,) = [payload for event, payload in await _events(world, account_id) if event == "billing.invoice.issued"]
    (invoice,) = (await world.snapshot(account_id))["invoices"][0]
    assert told == {
        "invoice_id": invoice.invoice_id,
        "number": "INV-2026-000001",
        "kind": "invoice",
        "corrects": None,
        "status": "paid",
        "amount": "32.50",
        "credits": "0.00",
        "tax": "6.18",
        "paid": "32.50",
        "currency": "EUR",
        "period_start": "2026-03-12",
        "period_end": "2026-04-12",
    }


async def test_public_events_of_accounts_without_an_endpoint_leave_the_outbox_and_nothing_stays(post: Post) -> None:
    for event in PUBLIC_EVENTS:
        await post.event(event)
    await post.worker().run_once()

    assert await post.outbox() == 0
    assert await post.deliveries() == []


def test_every_event_that_the_code_writes_is_public_or_is_work_of_its_own() -> None:
    """Names of events are written out: whoever adds one says whether accounts hear of it."""
    written = {
        name
        for file in SOURCES.rglob("*.py")
        for name in re.findall(r"Event\([^()]*?\"(billing\.[a-z_.]+)\"", file.read_text("utf-8"))
    }

    assert written <= set(PUBLIC_EVENTS)
    assert "billing.account.past_due" in written
    assert "billing.message.accepted" not in PUBLIC_EVENTS


def test_what_the_page_about_webhooks_shows_verifies_a_message() -> None:
    page = (SOURCES.parents[1] / "docs" / "webhooks.md").read_text("utf-8")
    (snippet,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    shown: dict[str, Any] = {}
    exec(snippet, shown)  # noqa: S102 - it is ours
    now, secret, body = datetime.now(UTC), new_secret(), '{"type":"billing.plan.changed"}'
    headers = {
        "webhook-id": "a",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("a", now, body),
    }

    assert shown["receive"](body.encode(), headers, secret) == {"type": "billing.plan.changed"}
    with pytest.raises(WebhookVerificationError):
        shown["receive"](body.encode(), headers, new_secret())


def test_the_page_about_webhooks_lists_the_events_there_are() -> None:
    page = (SOURCES.parents[1] / "docs" / "webhooks.md").read_text("utf-8")

    rows = dict(re.findall(r"^\| `(billing\.[a-z_.]+)` \| (.*) \|$", page, re.MULTILINE))
    assert rows == PUBLIC_EVENTS
    assert list(rows) == sorted(rows)
