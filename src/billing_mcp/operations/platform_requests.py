"""Owns requests of the platform that happen once under a key: sent again, they are answered the same."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from billing_mcp.domain.clock import Clock
from billing_mcp.domain.errors import BillingError
from billing_mcp.store.engine import TransactionAbortedError, busy, uninterrupted
from billing_mcp.store.platform_requests import KeyedRequest, key_in_use
from billing_mcp.store.store import Store, Transaction

T = TypeVar("T")

LEASE = timedelta(seconds=60)
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Answered:
    """The text of an answer, and whether it was given before."""

    text: str
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What work of several transactions came to, and what is kept of it.

    "answer": it is final. "claim": part of it is done and part can be tried again, by the same request.
    "nothing": nothing was done.
    """

    text: str
    keep: Literal["answer", "claim", "nothing"]


class Seal:
    """Closes what only whoever sends `secret` may read again: the server keeps no more than a hash of it."""

    def __init__(self, secret: str) -> None:
        derived = HKDF(SHA256(), length=32, salt=None, info=b"billing-mcp platform answer").derive(secret.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))

    def close(self, text: str) -> str:
        """The text, encrypted."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, text: str) -> str:
        """What was closed under the same secret."""
        return self._fernet.decrypt(text).decode()


class OnceUnderKey:
    """Carries out requests on one store: under a key once, without a key each time."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._running: set[tuple[str, str]] = set()

    async def in_one_transaction(
        self, request: KeyedRequest | None, work: Callable[[Transaction], Awaitable[str]], *, seal: Seal | None = None
    ) -> Answered:
        """What `work` answers, kept in the transaction that it does its work in; under a `seal` as it is kept.

        Raises what `work` raises, then nothing is done and the key is free; Conflict, with code
        `idempotency_key_in_use` or `database_busy`; and InvalidArgument with code `idempotency_key_reused`.
        """

        async def once(tx: Transaction) -> Answered:
            stored = await tx.platform_requests.answered(request) if request else None
            if stored is not None:
                tx.rollback_only = True
                return Answered(seal.open(stored) if seal else stored, replayed=True)
            text = await work(tx)
            if request:
                await tx.platform_requests.keep(request, seal.close(text) if seal else text)
            return Answered(text)

        with self._alone(request):
            return await self.transact(once)

    async def in_several(self, request: KeyedRequest, work: Callable[[], Awaitable[Told]]) -> Answered:
        """What `work` answers, which commits as it likes and must not do twice what it did under the same key.

        The key is leased meanwhile. When `work` raises, the same request may take over at once; when the server is
        gone, after LEASE. Raises what `in_one_transaction` raises.
        """
        with self._alone(request):
            leased_until = self._clock() + LEASE
            stored = await self.transact(lambda tx: _lease(tx, request, leased_until))
            if stored is not None:
                return Answered(stored, replayed=True)
            try:
                told = await work()
            except Exception:
                with suppress(BillingError):  # then it lapses
                    await self.transact(lambda tx: tx.platform_requests.end_lease(request, leased_until))
                raise
            await self.transact(lambda tx: _end(tx, request, leased_until, told))
            return Answered(told.text)

    async def transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """What `work` returns, from a transaction of its own. Raises Conflict with code `database_busy`."""
        return await uninterrupted(self._written(work))

    async def _written(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        now = self._clock()
        for _ in range(_ATTEMPTS):
            try:
                async with self._store.write(now) as tx:
                    return await work(tx)
            except TransactionAbortedError:
                continue
        raise busy()

    @contextmanager
    def _alone(self, request: KeyedRequest | None) -> Iterator[None]:
        """One at a time in this process; the database tells of others. Raises Conflict."""
        if request is None:
            yield
            return
        claim = (request.principal_id, request.key_sha256)
        if claim in self._running:
            raise key_in_use()
        self._running.add(claim)
        try:
            yield
        finally:
            self._running.discard(claim)


async def _lease(tx: Transaction, request: KeyedRequest, leased_until: datetime) -> str | None:
    stored = await tx.platform_requests.answered(request)
    if stored is None:
        await tx.platform_requests.lease(request, leased_until)
    return stored


async def _end(tx: Transaction, request: KeyedRequest, leased_until: datetime, told: Told) -> None:
    if told.keep == "nothing":
        await tx.platform_requests.forget(request, leased_until)
    elif told.keep == "claim":
        await tx.platform_requests.end_lease(request, leased_until)
    elif not await tx.platform_requests.settle(request, leased_until, told.text):
        raise key_in_use()  # another server has taken over, and will have the answer
