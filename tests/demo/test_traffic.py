"""The demo's messages: as many as it says, tiers that are gained and lost, and every cent explained."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from billing_mcp.app import App
from billing_mcp.demo.history import seed_demo
from billing_mcp.demo.traffic import MESSAGES, SENDER
from billing_mcp.domain.messages import Message
from billing_mcp.domain.tiers import ChannelState
from billing_mcp.settings import Settings
from billing_mcp.store.audit import verify_books
from billing_mcp.store.store import Store
from tests.store.recount import assert_counted

NOW = datetime(2026, 3, 12, 10, tzinfo=UTC)


async def _read(app: App, function: str, **arguments: object) -> Any:
    principal = await app.local_principal()
    return await app.read(principal, function, {"account_id": SENDER.account_id, **arguments})


async def test_the_whole_past_gains_tiers_and_loses_one_and_is_what_a_recount_finds(sqlite: str) -> None:
    async with App.open(Settings(database=sqlite, now=NOW, workers=1)) as app:
        await seed_demo(app.store, NOW)
        async with app.store.read(NOW) as tx:
            messages = await assert_counted(tx, SENDER.account_id)
            assert (await verify_books(tx)).findings == ()
            _assert_varied(messages)
            (campaign_id,) = {each.campaign_id for each in messages if each.status == "paused"}
            assert campaign_id is not None
            assert (await tx.messages.campaign(SENDER.account_id, campaign_id)).status == "paused"
        assert await _tiers(app, "email") == [{"standard"}, {"growth"}, {"growth"}]
        assert await _tiers(app, "rcs") == [{"standard"}, {"growth"}, {"growth"}]
        assert await _tiers(app, "sms") == [{"standard", "growth"}, {"growth"}, {"standard"}]
        now = {each["channel"]: each["tier"] for each in (await _read(app, "billing.tier.get"))["items"]}
        assert now == {"email": "growth", "sms": "standard", "rcs": "growth"}


def _assert_varied(messages: list[Message]) -> None:
    """About as many as it says, in all channels, conversations and states; what is held back costs nothing."""
    assert 0.9 * MESSAGES < len(messages) < 1.15 * MESSAGES
    assert {each.channel for each in messages} == {"email", "sms", "rcs"}
    places = Counter(each.place for each in messages if each.channel == "rcs")
    assert all(places[place] > 50 for place in ("alone", "covered", "a2p_conversation", "p2a_conversation"))
    paused = [each for each in messages if each.status == "paused"]
    assert (len(paused), sum(each.charged_micros for each in paused)) == (60, 0)
    assert {each.status for each in messages} == {"accepted", "delivered", "failed", "paused"}


async def _tiers(app: App, channel: str) -> list[set[str]]:
    """At which tiers a channel was charged in the first month, in the fourth, and in the last whole one."""
    months = []
    for first, end in (("2025-09-01", "2025-10-01"), ("2025-12-01", "2026-01-01"), ("2026-02-01", "2026-03-01")):
        used = await _read(app, "billing.usage.detailed", from_date=first, to_date=end, group_by="channel,tier")
        rows = [row for row in used["items"] if row["channel"] == channel and row["quantity"]]
        months.append({row["tier"] for row in rows})
    return months


async def test_every_transaction_explains_itself(lived_database: str) -> None:
    async with App.open(Settings(database=lived_database, now=NOW, workers=1)) as app:
        async with app.store.read(NOW) as tx:
            ledger = [each async for each in tx.ledger.history(SENDER.account_id)]
        told = [await _read(app, "billing.charges.explain", transaction_id=each.transaction_id) for each in ledger]

    assert len(told) > 700
    assert all(each["matches"] and each["sealed"] for each in told)
    assert {each["type"] for each in told} >= {"topup", "hold", "charge", "release", "reversal"}


async def test_the_messages_are_the_same_on_every_database(lived_databases: dict[str, str]) -> None:
    found = []
    for database in lived_databases.values():
        store = await Store.open(database)
        async with store.read(NOW) as tx:
            messages = await tx.messages.all(SENDER.account_id)
            states: dict[str, ChannelState] = await tx.messages.states(SENDER.account_id)
        await store.close()
        # The hashes of recipients are by a key that each database has for itself.
        found.append(([message._replace(recipients=(), thread=None) for message in messages], states))

    assert found[0] == found[1]
