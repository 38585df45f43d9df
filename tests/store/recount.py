"""Owns counting again: usage, money and tiers from the ledger's lines and from the messages, beside what is stored."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from typing import Any

from billing_mcp.domain.ledger import LedgerTransaction, LineItem
from billing_mcp.domain.messages import Message
from billing_mcp.store.store import Transaction
from tests.store.second_opinion import NAMES, Channel, Ledger


async def used(tx: Transaction, account_id: str) -> dict[tuple[str, ...], int]:
    """What is stored of usage, each number for itself; none that are zero."""
    found = {}
    for key, usage in await tx.messages.usage(account_id, date(2000, 1, 1), date(2099, 1, 1)):
        names = {"quantity": usage.quantity, "amount": usage.amount_micros}
        names |= {"accepted": usage.accepted, "delivered": usage.delivered, "failed": usage.failed}
        for name, number in names.items():
            found[key.day, key.channel, key.message_type, key.unit, key.tier, key.market, name] = number
    return {key: number for key, number in found.items() if number}


def facts_of(line: LineItem) -> dict[str, str]:
    assert line.metadata is not None
    return dict(line.metadata)


def recounted(rows: list[LedgerTransaction], stored: dict[str, Message]) -> dict[tuple[str, ...], int]:
    """Quantities and amounts, from the lines of the ledger."""
    sums: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        for line in row.line_items:
            if line.source in ("message", "active_user"):
                message = stored[facts_of(line)["message_id"]]
                assert (message.market, message.channel) == (facts_of(line)["market"], line.component_type)
                key = (message.channel, message.message_type, line.unit, message.tier, message.market)
                sums[row.created_at.date().isoformat(), *key, "quantity"] += int(line.quantity)
                sums[row.created_at.date().isoformat(), *key, "amount"] += line.amount_micros
    return {key: number for key, number in sums.items() if number}


def counted(stored: dict[str, Message]) -> dict[tuple[str, ...], int]:
    """What became of messages by recipient, and what they are charged, from the messages."""
    sums: Counter[tuple[str, ...]] = Counter()
    for each in stored.values():
        key = (each.channel, each.message_type, each.unit, each.tier, each.market)
        sums[*key, "accepted"] += 0 if each.status == "paused" else len(each.recipients)
        sums[*key, "delivered"] += each.delivered
        sums[*key, "failed"] += each.failed
        if each.charged_unit is not None:
            charged = (each.channel, each.message_type, each.charged_unit, each.tier, each.market)
            sums[*charged, "quantity"] += each.charged_quantity
            sums[*charged, "amount"] += each.charged_micros
    return {key: number for key, number in sums.items() if number}


def without_days(booked: dict[tuple[str, ...], int]) -> dict[tuple[str, ...], int]:
    sums: Counter[tuple[str, ...]] = Counter()
    for (_, *key), number in booked.items():
        if key[2] != "mau":
            sums[*key,] += number
    return {key: number for key, number in sums.items() if number}


async def assert_counted(tx: Transaction, account_id: str) -> list[Message]:
    """What was added up is what the ledger and the messages say again, and what is held is in flight; all messages."""
    rows = [row async for row in tx.ledger.history(account_id)]
    stored = {each.message_id: each for each in await tx.messages.all(account_id)}
    booked = await used(tx, account_id)
    assert recounted(rows, stored) == {k: number for k, number in booked.items() if k[-1] in ("quantity", "amount")}
    assert counted(stored) == without_days(booked)
    for channel, state in (await tx.messages.states(account_id)).items():
        month = f"{state.month // 12}-{state.month % 12 + 1:02}-"
        units = {k: n for k, n in booked.items() if k[0].startswith(month) and (k[1], k[-1]) == (channel, "quantity")}
        assert state.volume == sum(number for key, number in units.items() if key[3] != "mau")
        assert state.active_users == sum(number for key, number in units.items() if key[3] == "mau")
    held = await tx.holds.older(account_id, than=None, status="open", limit=100_000)
    flying = {name for name, each in stored.items() if each.status == "accepted"}
    assert {hold.reference for hold in held} <= flying
    assert len({hold.reference for hold in held}) == len(held)
    assert sum(hold.remaining_micros for hold in held) == (await tx.ledger.wallet(account_id)).reserved_micros
    return list(stored.values())


async def assert_money_is_whole(
    tx: Transaction, account_id: str, rows: list[LedgerTransaction], stored: dict[str, Message], model: Ledger
) -> None:
    """Revenue is what messages and active users are charged; what leaves is neither held back nor reported."""
    sums: Counter[str] = Counter()
    users = 0
    for row in rows:
        users += sum(line.amount_micros for line in row.line_items if line.source == "active_user")
        for entry in row.entries:
            sums[entry.ledger_account] += entry.amount_micros
    assert sums["revenue"] == model.revenue == users + sum(each.charged_micros for each in stored.values())
    assert (sums["available"], sums["reserved"], sums["receivable"]) == (model.free, model.reserved, -model.owed)
    events = [event for event in await tx.outbox.of(account_id) if event.event == "billing.message.accepted"]
    leaving = {event.event_id for event in events}
    assert len(leaving) == len(events)
    assert leaving == {name for name, sent in model.sent.items() if sent.leaves and not stored[name].is_settled}


def assert_tiers_follow_from(rows: list[LedgerTransaction], model: Ledger) -> None:
    """The states of the channels, from the lines of the ledger in their order."""
    again: dict[str, Channel] = {}
    seen: set[tuple[Any, ...]] = set()
    for row in rows:
        for line in row.line_items:
            name = line.component_type
            if line.source not in ("message", "active_user"):
                continue
            month = (row.created_at.year, row.created_at.month)
            channel = again[name] = again.get(name, Channel(month)).at(row.created_at)
            if line.source == "message":
                channel.use(int(line.quantity))
            else:
                channel.users += 1
                assert (facts_of(line)["month"], facts_of(line)["nth"]) == (
                    f"{month[0]}-{month[1]:02}",
                    str(channel.users),
                )
                seen.add((name, *month, channel.users))
    for name, channel in again.items():
        assert replace(channel, commitment=model.channels[name].commitment) == model.channels[name]
    assert len(seen) == sum(len(people) for people in model.active.values())


async def assert_tiers_are_told(tx: Transaction, account_id: str, model: Ledger) -> None:
    """Every step of a tier, and none of them twice: they lead from the lowest one to what is earned."""
    steps: Counter[str] = Counter()
    for event in await tx.outbox.of(account_id):
        if event.event == "billing.tier.changed":
            before, after = (NAMES.index(str(event.payload[name])) for name in ("previous", "tier"))
            assert event.payload["reason"] == ("volume" if after > before else "missed_months")
            steps[str(event.payload["channel"])] += after - before
    assert dict(+steps) == {name: channel.tier for name, channel in model.channels.items() if channel.tier}
