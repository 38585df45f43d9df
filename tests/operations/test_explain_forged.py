"""billing.charges.explain contradicts whoever changed an amount, or what it was made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from billing_mcp.app import App
from billing_mcp.catalog.loader import default_text
from billing_mcp.settings import Settings
from tests.conftest import Clock
from tests.operations.platform import Platform, talked_with
from tests.store.books import forger
from tests.world import World


@pytest.fixture
async def talked(world: World) -> Platform:
    return await talked_with(world)


Forge = Callable[[list[dict[str, Any]]], None]


def dearer(lines: list[dict[str, Any]]) -> None:
    """The amount alone grows."""
    lines[0]["amount_micros"] += 10_000


def dearer_price(lines: list[dict[str, Any]]) -> None:
    """The price grows, and the amount with it."""
    lines[0]["unit_price_micros"] += 10_000
    lines[0]["amount_micros"] += 10_000 * int(lines[0]["quantity"])


def more(lines: list[dict[str, Any]]) -> None:
    """There are more of it, at the same price."""
    lines[0]["amount_micros"] += lines[0]["unit_price_micros"]
    lines[0]["quantity"] = str(int(lines[0]["quantity"]) + 1)


@pytest.mark.parametrize("forge", [dearer, dearer_price, more])
@pytest.mark.parametrize("kind", ["message", "active_user"])
@pytest.mark.parametrize("whole", [False, True], ids=["the line alone", "the whole transaction"])
async def test_a_forged_amount_does_not_match(
    talked: Platform, database: str, forge: Forge, kind: str, whole: bool
) -> None:
    sound = (await talked.explained_as(kind))[0]

    await forge_line(database, sound, forge, whole=whole)

    found = await talked.ask("charges.explain", transaction_id=sound["transaction_id"])
    assert (sound["matches"], sound["sealed"]) == (True, True)
    assert (found["matches"], found["sealed"]) == (False, False)
    assert found["recomputed"] == sound["amount"]
    assert found["problems"]
    assert found["steps"][-1].startswith("This does not match: ")
    assert found["lines"][0]["recomputed"] != found["lines"][0]["amount"]


async def forge_line(database: str, sound: dict[str, Any], forge: Forge, *, whole: bool) -> None:
    """Change a line of a transaction, and if it is the `whole` also all that was moved by it."""
    transaction_id = sound["transaction_id"]
    async with forger(database) as run:
        ((seq, text),) = await run(_LINES, transaction_id)
        lines = json.loads(text)
        before = sum(line["amount_micros"] for line in lines)
        forge(lines)
        grown = sum(line["amount_micros"] for line in lines) - before
        await run(_SET_LINES, transaction_id, json.dumps(lines, sort_keys=True, separators=(",", ":")))
        if whole:
            await run(_SET_AMOUNT, transaction_id, grown)
            await run(_RAISE_ENTRIES, seq, grown)
            await run(_LOWER_ENTRIES, seq, grown)


_LINES = "SELECT seq, line_items_json FROM ledger_transactions WHERE transaction_id = $1"
_SET_LINES = "UPDATE ledger_transactions SET line_items_json = $2 WHERE transaction_id = $1"
_SET_AMOUNT = "UPDATE ledger_transactions SET amount_micros = amount_micros + $2 WHERE transaction_id = $1"
_RAISE_ENTRIES = "UPDATE ledger_entries SET amount_micros = amount_micros + $2 WHERE seq = $1 AND amount_micros > 0"
_LOWER_ENTRIES = "UPDATE ledger_entries SET amount_micros = amount_micros - $2 WHERE seq = $1 AND amount_micros < 0"


async def test_a_plan_line_whose_amount_was_forged_does_not_match(world: World, database: str) -> None:
    platform = await Platform.of(world, plan="smtp_per_mailbox", mailbox=10)
    world.clock.now = world.clock.now.replace(day=20)
    await world.must(f"billing.plan.cancel(account_id={platform.account_id!r}, cancel_immediately=True)")
    sound = (await platform.explained_as("plan"))[0]

    await forge_line(database, sound, dearer, whole=True)

    found = (await platform.explained_as("plan"))[0]
    assert (sound["matches"], found["matches"], found["recomputed"]) == (True, False, sound["amount"])


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE messages SET place = 'alone'", "message"),
        ("UPDATE messages SET charged_micros = charged_micros + 1", "message"),
        ("DELETE FROM thread_events WHERE outbound = 0", "message"),
        ("DELETE FROM active_users", "active_user"),
        ("UPDATE active_users SET nth = nth + 1", "active_user"),
        ("DELETE FROM messages", "message"),
        ("UPDATE holds SET amount_micros = amount_micros + 1", "hold"),
        ("UPDATE holds SET captured_micros = captured_micros - 1 WHERE captured_micros > 0", "release"),
        ("DELETE FROM holds", "release"),
    ],
)
async def test_what_was_forged_around_a_transaction_does_not_match(
    world: World, database: str, statement: str, kind: str
) -> None:
    platform = await Platform.of(world)
    await platform.hear()
    await platform.delivered(await platform.chat())
    await platform.delivered(await platform.sms(3), segments=2)
    sound = (await platform.explained_as(kind))[0]

    async with forger(database) as run:
        await run(statement)

    found = (await platform.explained_as(kind))[0]
    assert (sound["matches"], found["matches"]) == (True, False)
    assert found["sealed"]  # it is the row's surroundings that were changed


async def test_what_the_catalog_does_not_have_any_more_is_explained_by_what_is_stored(
    talked: Platform, database: str, clock: Clock, tmp_path: Path
) -> None:
    other = tmp_path / "catalog.toml"
    other.write_text(default_text().replace('version = "2020-01"', 'version = "2020-02"'), "utf-8")

    async with App.open(Settings(database=database, catalog=other, workers=1), clock=clock) as app:
        found = await Platform(World(app, clock), talked.account_id).explained()

    assert [each["matches"] for each in found] == [True] * len(found)
    gone = "The catalog has no version 2020-01 any more: the prices stored with the message stand in for it."
    assert all(gone in each["steps"] for each in found if each["kind"] == "message")
    assert any(
        "The catalog has no version 2020-01 any more." in each["steps"]
        for each in found
        if each["kind"] == "active_user"
    )


async def test_a_price_that_was_changed_under_its_version_s_name_contradicts_what_was_charged(
    talked: Platform, database: str, clock: Clock, tmp_path: Path
) -> None:
    other = tmp_path / "catalog.toml"
    text = default_text()
    assert 'DE = ["0.1000"' in text
    other.write_text(text.replace('DE = ["0.1000"', 'DE = ["0.1100"'), "utf-8")

    async with App.open(Settings(database=database, catalog=other, workers=1), clock=clock) as app:
        found = await Platform(World(app, clock), talked.account_id).explained()

    conversation = [each for each in found if each["kind"] == "message"][2]
    assert (conversation["amount"], conversation["recomputed"], conversation["matches"]) == ("0.10", "0.11", False)
    assert any("the message is charged 0.10 in all, and 0.11 is due" in each for each in conversation["problems"])
