"""Owns what every route of the platform shares: who calls, under which key, and how it is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict, TypeVar

import msgspec
from fastapi import Depends, Header, Path, Request
from pydantic import BaseModel
from starlette.responses import Response

from billing_mcp.app import App
from billing_mcp.faces.auth import platform_in
from billing_mcp.faces.platform.fields import Uuid
from billing_mcp.faces.rest.answering import encoded
from billing_mcp.faces.rest.reading import idempotency_key
from billing_mcp.kernel.principal import Platform
from billing_mcp.operations.platform_money import PlatformMoney
from billing_mcp.operations.platform_requests import OnceUnderKey, Seal, Told
from billing_mcp.store.platform_requests import KeyedRequest
from billing_mcp.store.store import Transaction
from billing_mcp.worker.receivers import Receivers

T = TypeVar("T")

PREFIX = "/v1/platform"
MESSAGES = "/v1/messages"
CAMPAIGNS = "/v1/campaigns"
ACCOUNTS = "/v1/accounts"
MAX_BATCH_BYTES = 4 * 1024 * 1024


class Reply(msgspec.Struct, array_like=True, frozen=True):
    """An answer as it is sent, and as it is kept to be sent again."""

    status: int
    body: str
    location: str | None = None

    @classmethod
    def of(cls, shown: Mapping[str, Any], *, status: int = 200, location: str | None = None) -> Reply:
        """The answer that shows this. Amounts that are Decimal are exact numbers."""
        return cls(status, encoded(shown).decode(), location)

    def response(self, *, replayed: bool = False) -> Response:
        """The response; `replayed` says that it was given before."""
        headers = {"cache-control": "no-store"}
        if self.location:
            headers["location"] = self.location
        if replayed:
            headers["idempotent-replayed"] = "true"
        return Response(self.body, self.status, headers, "application/json")


class Desk:
    """What the routes work with, of one app."""

    def __init__(self, app: App) -> None:
        self.clock = app.clock
        self.catalog = app.catalog
        self.currency = app.catalog.currency
        self.book = app.catalog.book
        self.tax = app.catalog.tax
        self.links = app.settings.links()
        self.holds = app.holds
        self.messages = app.messages
        self.money = PlatformMoney(app.store, app.clock)
        self.once = OnceUnderKey(app.store, app.clock)
        self.to_loopback = app.settings.webhooks_to_loopback
        self.receivers = Receivers(app.clock, to_loopback=self.to_loopback)
        self._store = app.store

    async def read(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """What `work` finds in a snapshot."""
        async with self._store.read(self.clock()) as tx:
            return await work(tx)

    async def transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """What `work` does in one transaction, each time it is asked for. Raises Conflict: `database_busy`."""
        return await self.once.transact(work)

    async def revoke(self, prefix: str) -> bool:
        """Revoke a live key of an agent; False if there is none."""

        async def work(tx: Transaction) -> bool:
            return await tx.keys.revoke(prefix, tx.now, kind="agent")

        return await self.once.transact(work)


@dataclass(frozen=True, slots=True)
class Done:
    """The answer to work of several transactions, and what of it is kept, as Told says."""

    reply: Reply
    keep: Literal["answer", "claim", "nothing"]


class UnderKey(TypedDict):
    """A key, and whose it is."""

    idempotency_key: str
    principal_id: str


@dataclass(frozen=True, slots=True)
class Asking:
    """A request that changes something: who sends it, where to, and under which key, "" for none."""

    desk: Desk
    platform: Platform
    where: str
    key: str
    credential: str

    @property
    def under_key(self) -> UnderKey:
        """The key as the operations take it that move money."""
        return {"idempotency_key": self.key, "principal_id": self.platform.principal_id}

    async def in_one_transaction(
        self, given: BaseModel, work: Callable[[Transaction], Awaitable[Reply]], *, sealed: bool = False
    ) -> Response:
        """Answer what `work` does, once under the key. What is `sealed` can only be read with the credential."""

        async def text(tx: Transaction) -> str:
            return _kept(await work(tx))

        request = self._request(given)
        seal = Seal(self.credential) if sealed and request else None
        answered = await self.desk.once.in_one_transaction(request, text, seal=seal)
        return _reply(answered.text).response(replayed=answered.replayed)

    async def in_several(self, given: BaseModel, work: Callable[[], Awaitable[Done]]) -> Response:
        """Answer what `work` does in transactions of its own, once under the key."""

        async def told() -> Told:
            done = await work()
            return Told(_kept(done.reply), done.keep)

        request = self._request(given)
        if request is None:
            return (await work()).reply.response()
        answered = await self.desk.once.in_several(request, told)
        return _reply(answered.text).response(replayed=answered.replayed)

    def _request(self, given: BaseModel) -> KeyedRequest | None:
        if not self.key:
            return None
        # Without defaults: a field that a later version adds does not make another request of this one.
        asked = f"{self.where}\n{given.model_dump_json(exclude_defaults=True)}"
        return KeyedRequest.of(self.platform.principal_id, self.key, asked)


def _kept(reply: Reply) -> str:
    return msgspec.json.encode(reply).decode()


def _reply(text: str) -> Reply:
    return msgspec.json.decode(text, type=Reply)


def asking_of(request: Request) -> Asking:
    """Who asks for a change, where, and under which key. Raises InvalidArgument for what is no key."""
    credential = request.headers.get("authorization", "").partition(" ")[2].strip()
    where = f"{request.method} {request.scope['path']}"
    desk: Desk = request.app.state.desk
    return Asking(desk, platform_in(request.scope), where, idempotency_key(request), credential)


async def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


async def _asking(
    request: Request,
    _key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="Under one key a request happens once, and is answered the same for 24 hours or more.",
            examples=["7d0c2a52-6f0b-4b9e-9d0e-3f4e8a1b2c3d"],
        ),
    ] = None,
) -> Asking:
    return asking_of(request)


AtDesk = Annotated[Desk, Depends(_desk)]
Keyed = Annotated[Asking, Depends(_asking)]
AccountId = Annotated[Uuid, Path(description="The account.")]
HoldId = Annotated[Uuid, Path(description="The hold.")]
MessageId = Annotated[Uuid, Path(description="The message.")]
CampaignId = Annotated[Uuid, Path(description="The campaign.")]
EndpointId = Annotated[Uuid, Path(description="The webhook endpoint.")]
DeliveryId = Annotated[Uuid, Path(description="The delivery.")]
