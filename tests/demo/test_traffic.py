"""The demo's messages: as many as it says, tiers that are gained and lost, and every cent explained."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from billing_mcp.app import App
from billing_mcp.demo.history import seed_demo
from billing_mcp.demo.traffic import MESSAGES, SENDER
from billing_mcp.domain.tiers import ChannelState
from billing_mcp.settings import Settings
from billing_mcp.store.audit import verify_books
from billing_mcp.store.store import Store
from tests.store.recount import assert_counted

NOW = datetime(2026, 3, 12, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the whole past."""
    path = tmp_path_factory.mktemp("whole") / "demo.db"

    async def live() -> None:
        store = await Store.open(str(path))
        await seed_demo(store, NOW)
        await store.close()

    asyncio.run(live())
    return path


@pytest.fixture
async def app(whole: Path) -> Any:
    """The app on it."""
    async with App.open(Settings(database=str(whole), now=NOW, workers=1)) as opened:
        yield opened


async def _read(app: App, function: str, **arguments: object) -> Any:
    principal = await app.local_principal()
    return await app.read(principal, function, {"account_id": SENDER.account_id, **arguments})


async def test_there_are_about_as_many_as_it_says_and_what_was_added_up_is_what_a_recount_finds(app: App) -> None:
    async with app.store.read(NOW) as tx:
        messages = await tx.messages.all(SENDER.account_id)
        await assert_counted(tx, SENDER.account_id)
        assert (await verify_books(tx)).findings == ()

    assert 0.9 * MESSAGES < len(messages) < 1.15 * MESSAGES
    assert {each.channel for each in messages} == {"email", "sms", "rcs"}
    places = Counter(each.place for each in messages if each.channel == "rcs")
    assert all(places[place] > 50 for place in ("alone", "covered", "a2p_conversation", "p2a_conversation"))
    statuses = Counter(each.status for each in messages)
    assert all(statuses[status] for status in ("accepted", "delivered", "failed", "paused"))


async def test_a_tier_is_gained_by_email_and_rcs_and_one_is_lost_by_sms(app: App) -> None:
    async def tiers(channel: str) -> list[set[str]]:
        months = []
        for first, end in (("2025-09-01", "2025-10-01"), ("2025-12-01", "2026-01-01"), ("2026-02-01", "2026-03-01")):
            used = await _read(app, "billing.usage.detailed", from_date=first, to_date=end, group_by="channel,tier")
            rows = [row for row in used["items"] if row["channel"] == channel and row["quantity"]]
            months.append({row["tier"] for row in rows})
        return months

    assert await tiers("email") == [{"standard"}, {"growth"}, {"growth"}]
    assert await tiers("rcs") == [{"standard"}, {"growth"}, {"growth"}]
    assert await tiers("sms") == [{"standard", "growth"}, {"growth"}, {"standard"}]
    now = {each["channel"]: each for each in (await _read(app, "billing.tier.get"))["items"]}
    assert [now[channel]["tier"] for channel in ("email", "sms", "rcs")] == ["growth", "standard", "growth"]


async def test_a_campaign_is_held_back_and_its_messages_cost_nothing(app: App) -> None:
    async with app.store.read(NOW) as tx:
        paused = [each for each in await tx.messages.all(SENDER.account_id) if each.status == "paused"]
        (campaign_id,) = {each.campaign_id for each in paused}
        assert campaign_id is not None
        campaign = await tx.messages.campaign(SENDER.account_id, campaign_id)

    assert (campaign.status, len(paused), sum(each.charged_micros for each in paused)) == ("paused", 60, 0)


async def test_every_transaction_explains_itself(store: Store, database: str) -> None:
    await seed_demo(store, NOW, messages=400)
    async with store.read(NOW) as tx:
        ledger = [each async for each in tx.ledger.history(SENDER.account_id)]

    async with App.open(Settings(database=database, now=NOW, workers=1)) as app:
        told = [await _read(app, "billing.charges.explain", transaction_id=each.transaction_id) for each in ledger]

    assert len(told) > 700
    assert all(each["matches"] and each["sealed"] for each in told)
    assert {each["type"] for each in told} >= {"topup", "hold", "charge", "release", "reversal"}


async def test_the_messages_are_the_same_on_every_database(store: Store, sqlite: str) -> None:
    other = await Store.open(f"{sqlite}.other")
    try:
        found = []
        for each in (store, other):
            await seed_demo(each, NOW, messages=300)
            async with each.read(NOW) as tx:
                messages = await tx.messages.all(SENDER.account_id)
                states: dict[str, ChannelState] = await tx.messages.states(SENDER.account_id)
            # The hashes of recipients are by a key that each database has for itself.
            found.append(([message._replace(recipients=(), thread=None) for message in messages], states))
    finally:
        await other.close()

    assert found[0] == found[1]
