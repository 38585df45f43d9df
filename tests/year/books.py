"""All that a year has left in a database, but for what is random on purpose: secrets, and names that they make."""

from __future__ import annotations

import json
from typing import Any

from sqlmodel import SQLModel

from tests.store.books import raw_connection

Books = dict[str, list[tuple[Any, ...]]]
"""The rows of each table, in an order that does not depend on the database."""

_ELSEWHERE = {"executions", "idempotency_keys", "provider_answers", "provider_objects", "provider_webhooks", "secrets"}
"""What an execution took, and what the provider calls things, is random."""
_RANDOM = {
    "accounts": set[str](),
    "active_users": {"recipient"},  # a hash under a secret of the database
    "messages": {"recipients", "thread"},
    "outbox": {"event_id", "lease", "attempts", "due_at_us", "last_error"},
    "payment_customers": {"customer"},
    "payment_methods": {"reference", "setup_id", "setup_url"},
    "topups": {"payment_id"},
    "test_clock": {"now_us"},
}


async def books_of(database: str) -> Books:
    """What is in the database."""
    found: Books = {}
    async with raw_connection(database) as run:
        for name, table in sorted(SQLModel.metadata.tables.items()):
            if name in _ELSEWHERE:
                continue
            columns = [each.name for each in table.columns if each.name not in _RANDOM.get(name, ())]
            rows = await run(f"SELECT {', '.join(columns)} FROM {name}")  # noqa: S608 - names of our own tables
            found[name] = sorted((_plain(columns, row) for row in rows), key=repr)
    return found


def differences(ours: Books, theirs: Books) -> list[str]:
    """The first rows of each table that are only in one of the two."""
    told = []
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(name, []), theirs.get(name, [])
        if one != other:
            here = [row for row in one if row not in set(other)][:3]
            there = [row for row in other if row not in set(one)][:3]
            told.append(f"{name} ({len(one)} rows, and {len(other)}): {here} | {there}")
    return told


def _plain(columns: list[str], row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values as both databases would say them: a flag is a number, a day is a text."""
    values = []
    for column, value in zip(columns, row, strict=True):
        if isinstance(value, bool):
            value = int(value)
        elif value is not None and not isinstance(value, int | str):
            value = str(value)
        if column == "payload_json":
            facts = json.loads(value)
            facts.pop("execution_id", None)
            value = json.dumps(facts, sort_keys=True)
        values.append(value)
    return tuple(values)
