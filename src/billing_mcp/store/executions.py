"""Owns stored executions, and which of them answered an idempotency key."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import to_epoch_us
from billing_mcp.store.tables import ExecutionRow, IdempotencyKeyRow, table

_EXECUTIONS = table(ExecutionRow)
_KEYS = table(IdempotencyKeyRow)


@dataclass(frozen=True, slots=True)
class ExecutionRecord:
    """What a principal ran, and what was answered."""

    principal_id: str
    execution_id: str
    created_at: datetime
    duration_us: int
    status: str
    changed: bool
    script: str
    answer_json: str


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The answer that an idempotency key already has, and whether the script is the same."""

    same_script: bool
    answer_json: str


class Executions:
    """Executions and idempotency keys, within one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, records: Sequence[ExecutionRecord]) -> None:
        """Store executions."""
        await self._connection.execute(insert(_EXECUTIONS), [_row(record) for record in records])

    async def settle(self, record: ExecutionRecord) -> str:
        """Store an execution, unless one with its id is there; the answer that is stored then.

        Waits for a transaction that is storing it.
        """
        dialect = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        await self._connection.execute(dialect.insert(_EXECUTIONS).on_conflict_do_nothing(), [_row(record)])
        return await self.answer(record.principal_id, record.execution_id) or record.answer_json

    async def add_news(self, principal_id: str, execution_id: str, answer_json: str) -> None:
        """What came of an execution after its commit belongs to its answer."""
        c = _EXECUTIONS.c
        matching = (c.principal_id == principal_id) & (c.execution_id == execution_id)
        await self._connection.execute(update(_EXECUTIONS).where(matching).values(answer_json=answer_json))

    async def answer(self, principal_id: str, execution_id: str) -> str | None:
        """The stored answer of one of the principal's executions."""
        c = _EXECUTIONS.c
        matching = (c.principal_id == principal_id) & (c.execution_id == execution_id)
        return (await self._connection.execute(select(c.answer_json).where(matching))).scalar_one_or_none()

    async def claim(self, principal_id: str, key: str) -> bool:
        """Whether this transaction alone may run under the key, until it ends.

        On SQLite the only writer is alone anyway; on PostgreSQL an advisory lock tells.
        """
        if self._connection.dialect.name != "postgresql":
            return True
        number = int.from_bytes(bytes.fromhex(_digest(f"{principal_id}\n{key}"))[:8], "big", signed=True)
        return bool((await self._connection.execute(select(func.pg_try_advisory_xact_lock(number)))).scalar_one())

    async def answered(self, principal_id: str, key: str, script: str) -> StoredAnswer | None:
        """The answer that the key already has."""
        statement = (
            select(_KEYS.c.script_sha256, _EXECUTIONS.c.answer_json)
            .join_from(
                _KEYS,
                _EXECUTIONS,
                (_EXECUTIONS.c.principal_id == _KEYS.c.principal_id)
                & (_EXECUTIONS.c.execution_id == _KEYS.c.execution_id),
            )
            .where((_KEYS.c.principal_id == principal_id) & (_KEYS.c.key_sha256 == _digest(key)))
        )
        row = (await self._connection.execute(statement)).one_or_none()
        return None if row is None else StoredAnswer(row.script_sha256 == _digest(script), row.answer_json)

    async def keep(self, principal_id: str, key: str, script: str, execution_id: str, now: datetime) -> None:
        """From now on the key has this execution's answer."""
        values = {
            "principal_id": principal_id,
            "key_sha256": _digest(key),
            "script_sha256": _digest(script),
            "execution_id": execution_id,
            "created_at_us": to_epoch_us(now),
        }
        await self._connection.execute(insert(_KEYS).values(**values))


def _row(record: ExecutionRecord) -> dict[str, Any]:
    return {
        "principal_id": record.principal_id,
        "execution_id": record.execution_id,
        "created_at_us": to_epoch_us(record.created_at),
        "duration_us": record.duration_us,
        "status": record.status,
        "changed": record.changed,
        "script": record.script,
        "answer_json": record.answer_json,
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
