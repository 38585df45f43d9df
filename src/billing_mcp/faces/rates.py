"""Owns how often each caller may ask: so many requests by a credential, so many failed sign-ins from an address."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from typing import TypeVar

import structlog
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing_mcp.domain.errors import InvalidArgument, RateLimited
from billing_mcp.faces.auth import is_link, is_open, is_signed
from billing_mcp.faces.problem import problem
from billing_mcp.faces.scope import CALLER
from billing_mcp.kernel.principal import Platform
from billing_mcp.settings import Settings
from billing_mcp.store.observer import NOBODY, Observer

log = structlog.get_logger()

K = TypeVar("K")
V = TypeVar("V")

_SWEEP_S = 1.0
_REMEMBERED = 10_000
_FAILED_SIGN_INS = (401, 403)
_IPV6_NETWORK_BITS = 64
_NO_ADDRESS = "none"
_FAILED = "failed sign-ins from this address"


@dataclass(frozen=True, slots=True)
class Policy:
    """How often one of a kind of callers may ask."""

    name: str
    item: RateLimitItem
    header: bytes

    @classmethod
    def of(cls, name: str, rate: str) -> Policy | None:
        """A policy such as `100/second`; None for no rate, which is no limit."""
        if not rate:
            return None
        item = parse(rate)
        return cls(name, item, f'"{name}";q={item.amount};w={item.get_expiry()}'.encode())


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a caller stands: whether this request may be, how many more now, and when there are more."""

    policy: Policy
    allowed: bool
    remaining: int
    more_at_s: float

    @property
    def wait_s(self) -> int:
        """Whole seconds until there is room again."""
        return max(1, math.ceil(self.more_at_s - time.time()))

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The fields RateLimit-Policy and RateLimit, as the IETF drafts them."""
        limit = f'"{self.policy.name}";r={self.remaining};t={self.wait_s}'
        return [(b"ratelimit-policy", self.policy.header), (b"ratelimit", limit.encode())]


class Rates:
    """Counts requests in windows that slide, in this process, or in a storage that several share."""

    def __init__(self, settings: Settings) -> None:
        """Raises InvalidArgument for a storage that there is not."""
        self.agent = Policy.of("agent", settings.rate_limit)
        self.platform = Policy.of("platform", settings.platform_rate_limit)
        self.anonymous = Policy.of("anonymous", settings.anonymous_rate_limit)
        self._storage = _storage(settings.rate_limit_storage.get_secret_value())
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)
        self._pause: asyncio.Task[None] | None = None
        self._counts = True

    async def take(self, policy: Policy, who: str) -> Standing:
        """Count a request. One that is refused does not count. Without the storage all are allowed."""
        if isinstance(self._storage, MemoryStorage):
            self._sweep_seldom(self._storage)
        try:
            allowed = await self._limiter.hit(policy.item, policy.name, who)
            stats = await self._limiter.get_window_stats(policy.item, policy.name, who)
        except StorageError:
            if self._counts:  # said once: every request comes by here
                log.warning("rates_not_counted", exc_info=True)
            self._counts = False
            return Standing(policy, True, policy.item.amount, time.time())
        self._counts = True
        return Standing(policy, allowed, stats.remaining, stats.reset_time)

    def _sweep_seldom(self, storage: MemoryStorage) -> None:
        """At every request the library goes through all counters, unless its timer still runs: let it run."""
        if storage.timer is not None and storage.timer is not self._pause and storage.timer.done():
            storage.timer = self._pause = asyncio.create_task(asyncio.sleep(_SWEEP_S))


class CredentialRate:
    """Refuses a caller that asks too often. It stands behind the sign-in, and tells everybody where they stand."""

    def __init__(self, app: ASGIApp, rates: Rates, observer: Observer = NOBODY) -> None:
        self._app = app
        self._rates = rates
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let it pass."""
        caller = scope.get(CALLER)
        policy = self._rates.platform if isinstance(caller, Platform) else self._rates.agent
        if caller is None or policy is None:
            await self._app(scope, receive, send)
            return
        standing = await self._rates.take(policy, caller.principal_id)
        if not standing.allowed:
            await _refuse(standing, self._observer, scope, receive, send, what="requests with this credential")
            return

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *standing.headers()]
            await send(message)

        await self._app(scope, receive, tell)


class AddressRate:
    """Bounds failed sign-ins by address. It stands around the sign-in.

    Once an address has failed too often, a credential that has not been good before is refused unseen:
    so nobody learns by trying which one is, nor loads the database. Those that have been good pass, since
    many clients may share the address of a proxy. For the same reason what a provider signs is looked at always: it
    costs no database to see whether the signature is good, and what is not counts as a failed sign-in.
    """

    def __init__(self, app: ASGIApp, rates: Rates, observer: Observer = NOBODY) -> None:
        self._app = app
        self._rates = rates
        self._observer = observer
        self._good: dict[int, None] = {}
        self._over: dict[str, Standing] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let it pass."""
        policy = self._rates.anonymous
        # Where nobody signs in nobody fails: whoever watches the process may come by the address of those who do.
        if policy is None or scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        credential = _credential(scope["headers"])
        if self._over and credential not in self._good and not is_signed(scope["path"]):
            standing = self._over_at(_address(scope))
            if standing is not None:
                await _refuse(standing, self._observer, scope, receive, send, what=_FAILED)
                return
        refused = False

        async def watch(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start":
                if CALLER in scope:
                    self._remember(credential)
                elif message["status"] in _FAILED_SIGN_INS:
                    standing = await self._failed(policy, _address(scope), credential)
                    refused = not standing.allowed
                    if refused:
                        await _refuse(standing, self._observer, scope, receive, send, what=_FAILED)
            if not refused:
                await send(message)

        await self._app(scope, receive, watch)

    async def _failed(self, policy: Policy, address: str, credential: int | None) -> Standing:
        if credential is not None:
            self._good.pop(credential, None)
        standing = await self._rates.take(policy, address)
        if not standing.allowed:
            _keep(self._over, address, standing)
        return standing

    def _over_at(self, address: str) -> Standing | None:
        standing = self._over.get(address)
        if standing is None or standing.more_at_s > time.time():
            return standing
        del self._over[address]
        return None

    def _remember(self, credential: int | None) -> None:
        if credential is not None and credential not in self._good:
            _keep(self._good, credential, None)


class LinkRate:
    """Bounds by address how often links are followed, good ones too: a document takes a while of a core.

    It stands within AddressRate, for which a link that is no good is a failed sign-in.
    """

    def __init__(self, app: ASGIApp, rates: Rates, observer: Observer = NOBODY) -> None:
        self._app = app
        self._rates = rates
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let it pass."""
        policy = self._rates.anonymous
        if policy is not None and scope["type"] == "http" and is_link(scope["path"]):
            standing = await self._rates.take(policy, f"links {_address(scope)}")
            if not standing.allowed:
                await _refuse(standing, self._observer, scope, receive, send, what="links followed from this address")
                return
        await self._app(scope, receive, send)


def _keep(remembered: dict[K, V], key: K, value: V) -> None:
    """Remember it, and forget what was remembered first when that is too much."""
    if len(remembered) >= _REMEMBERED:
        del remembered[next(iter(remembered))]
    remembered[key] = value


async def _refuse(
    standing: Standing, observer: Observer, scope: Scope, receive: Receive, send: Send, *, what: str
) -> None:
    item, wait_s = standing.policy.item, standing.wait_s
    error = RateLimited(
        f"too many {what}: {item.amount} may be made in {item.get_expiry()} s",
        hint=f"Send the same again in {wait_s} s.",
    )
    observer.refused(error.code)
    told = {name.decode(): value.decode() for name, value in standing.headers()}
    await problem(error, headers={"retry-after": str(wait_s), **told})(scope, receive, send)


def _storage(uri: str) -> Storage:
    try:
        memory = uri.removeprefix("async+").startswith("memory:")  # nothing is away there that could be caught
        found = storage_from_string(uri if uri.startswith("async+") else f"async+{uri}", wrap_exceptions=not memory)
    except (ConfigurationError, ValueError):
        raise InvalidArgument(  # without the library's words, which repeat the password in it
            "BILLING_MCP_RATE_LIMIT_STORAGE names no storage that can be used here",
            field="BILLING_MCP_RATE_LIMIT_STORAGE",
            hint="Give async+memory://, or async+redis://host:6379 with the package of its client installed.",
        ) from None
    if not isinstance(found, Storage):
        raise TypeError(f"{type(found).__name__} cannot be waited for")
    return found


def _credential(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """A credential as a number by which it can be recognised in this process, and not be told."""
    return next((hash(value) for name, value in headers if name == b"authorization"), None)


def _address(scope: Scope) -> str:
    """The client's address; of version 6 its network, since a client has all of that."""
    host = scope["client"][0] if scope.get("client") else _NO_ADDRESS
    try:
        address = ip_address(host)
    except ValueError:
        return _NO_ADDRESS
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None or isinstance(address, IPv4Address):
        return str(mapped or address)
    return f"{int(address) >> (128 - _IPV6_NETWORK_BITS):x}"
