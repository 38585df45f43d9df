"""Owns stored requests of the platform: which key is taken, until when, and what was answered under it.

A key is free, leased or answered. What is done in one transaction is answered in that transaction. What is
done in several takes a lease first; when it has lapsed, because the server that had it is gone, the same
request may take the work over.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.errors import Conflict, InvalidArgument
from billing_mcp.store.tables import PlatformRequestRow, table

_REQUESTS = table(PlatformRequestRow)
_C = _REQUESTS.c


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request under an idempotency key: whose it is, and digests of the key and of all that was asked."""

    principal_id: str
    key_sha256: str
    request_sha256: str

    @classmethod
    def of(cls, principal_id: str, idempotency_key: str, asked: str) -> KeyedRequest:
        """The request with the text of all that was asked: where, and what."""
        return cls(principal_id, _digest(idempotency_key), _digest(asked))


class PlatformRequests:
    """Requests of the platform, within one transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now_us = to_epoch_us(now)

    async def answered(self, request: KeyedRequest) -> str | None:
        """What the request was answered. None: this transaction has the key for itself, until it ends.

        Raises Conflict with code `idempotency_key_in_use` while another one has it, and InvalidArgument with
        code `idempotency_key_reused` when it belongs to another request.
        """
        if not await self._lock(request):
            raise key_in_use()
        statement = select(_C.request_sha256, _C.answer, _C.leased_until_us).where(_same(request)).with_for_update()
        row = (await self._connection.execute(statement)).one_or_none()
        if row is None:
            return None
        if row.request_sha256 != request.request_sha256:
            raise InvalidArgument(
                "this idempotency_key belongs to another request",
                code="idempotency_key_reused",
                field="idempotency_key",
                hint="Send the same request again, or use a new key for a new one.",
            )
        if row.answer is None and row.leased_until_us > self._now_us:
            raise key_in_use()
        answer: str | None = row.answer
        return answer

    async def keep(self, request: KeyedRequest, answer: str) -> None:
        """From now on this is what the request is answered. `answered` has given it to this transaction."""
        await self._put(request, answer, leased_until_us=0)

    async def lease(self, request: KeyedRequest, until: datetime) -> None:
        """Keep others off until then. `answered` has given it to this transaction."""
        await self._put(request, None, leased_until_us=to_epoch_us(until))

    async def settle(self, request: KeyedRequest, leased_until: datetime, answer: str) -> bool:
        """Answer what was leased. False: the lease has lapsed, and another one has taken it over."""
        values = {"answer": answer, "leased_until_us": 0}
        settled = update(_REQUESTS).where(_leased(request, leased_until)).values(**values)
        return (await self._connection.execute(settled)).rowcount == 1

    async def end_lease(self, request: KeyedRequest, leased_until: datetime) -> None:
        """Let the same request take over at once; another one still cannot have the key."""
        await self._connection.execute(
            update(_REQUESTS).where(_leased(request, leased_until)).values(leased_until_us=0)
        )

    async def forget(self, request: KeyedRequest, leased_until: datetime) -> None:
        """Free the key of what was leased."""
        await self._connection.execute(delete(_REQUESTS).where(_leased(request, leased_until)))

    async def oldest(self) -> datetime | None:
        """When the oldest request came."""
        found = (await self._connection.execute(select(func.min(_C.created_at_us)))).scalar_one()
        return None if found is None else from_epoch_us(found)

    async def prune(self, before: datetime, *, limit: int) -> int:
        """Forget up to `limit` requests that came before a moment. Returns how many."""
        old = _C.created_at_us < to_epoch_us(before)
        some = select(_C.principal_id, _C.key_sha256).where(old).order_by(_C.created_at_us).limit(limit)
        mine = tuple_(_C.principal_id, _C.key_sha256).in_(some)
        return (await self._connection.execute(delete(_REQUESTS).where(mine))).rowcount

    async def _lock(self, request: KeyedRequest) -> bool:
        """Whether no other transaction has the key. On SQLite the only writer is alone anyway."""
        if self._connection.dialect.name != "postgresql":
            return True
        name = f"platform\n{request.principal_id}\n{request.key_sha256}"
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        return bool((await self._connection.execute(select(func.pg_try_advisory_xact_lock(number)))).scalar_one())

    async def _put(self, request: KeyedRequest, answer: str | None, *, leased_until_us: int) -> None:
        new = {"answer": answer, "leased_until_us": leased_until_us}
        values: dict[str, Any] = {
            "principal_id": request.principal_id,
            "key_sha256": request.key_sha256,
            "request_sha256": request.request_sha256,
            "created_at_us": self._now_us,
            **new,
        }
        dialect = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        insert = dialect.insert(_REQUESTS).values(**values)
        await self._connection.execute(
            insert.on_conflict_do_update(index_elements=list(_REQUESTS.primary_key), set_=new)
        )


def key_in_use() -> Conflict:
    """The error of whoever sends a request that is being carried out."""
    return Conflict(
        "a request with this idempotency_key is still being carried out",
        code="idempotency_key_in_use",
        hint="Wait a second and send the same again: you will get its answer.",
    )


def _same(request: KeyedRequest) -> ColumnElement[bool]:
    return (_C.principal_id == request.principal_id) & (_C.key_sha256 == request.key_sha256)


def _leased(request: KeyedRequest, until: datetime) -> ColumnElement[bool]:
    return _same(request) & _C.answer.is_(None) & (_C.leased_until_us == to_epoch_us(until))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
