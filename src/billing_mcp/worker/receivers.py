"""Owns one attempt to tell a receiver: finding out where it is, connecting to nobody else, and hearing its answer.

Whoever registers a URL chooses what we connect to, and may change what its name stands for at any moment. So every
attempt looks the name up itself, refuses it if any of its addresses is not of the public internet, and connects to
the very address that was checked; the certificate must be that of the name. No redirect is followed, no proxy of the
environment asked, no cookie kept, no connection used twice: two names at one address must never share one.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import httpx
import structlog
from httpx_secure import SSRFProtectionError, httpx_ssrf_protection
from standardwebhooks import Webhook

from billing_mcp import __version__
from billing_mcp.domain.addresses import Address, address_of, is_loopback, is_public
from billing_mcp.domain.clock import Clock
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.webhooks import Attempt, Endpoint
from billing_mcp.operations.webhook_urls import ReceiverURL, receiver_url

log = structlog.get_logger()

TIMEOUT_S = 15.0
"""For an attempt in all: the look-up, the connection, the request and the head of the answer."""

_CONNECT_S = 5.0
"""For one of several addresses; then the next is tried."""
_ADDRESSES = 4
_ANSWER_BYTES = 1024
_ANSWER_S = 1.0
_LOOK_UPS_AT_ONCE = 64
_REDIRECTS = range(300, 400)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name, as texts. Raises OSError."""


@dataclass(frozen=True, slots=True)
class Told:
    """An attempt, and the beginning of what was answered: it is shown to whoever tests an endpoint, and not kept."""

    attempt: Attempt
    answer: str = ""


class _AttemptError(Exception):
    """What stood in the way, as a stable word."""


class Receivers:
    """Makes attempts. `resolve`, `trust` and `timeout_s` are there to be others in tests."""

    def __init__(
        self,
        clock: Clock,
        *,
        to_loopback: bool = False,
        resolve: Resolve | None = None,
        trust: ssl.SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._clock = clock
        self._to_loopback = to_loopback
        self._resolve = resolve or _Resolver()
        self._trust = trust
        self._timeout_s = timeout_s

    async def tell(self, endpoint: Endpoint, message_id: str, body: str) -> Told:
        """Send a message to an endpoint once. What goes wrong is in the attempt, and never raised."""
        at, began = self._clock(), time.monotonic()
        status_code, error, answer = None, None, ""
        try:
            async with asyncio.timeout(self._timeout_s):
                status_code, answer = await self._sent(endpoint, message_id, body)
        except TimeoutError:
            error = "timeout"
        except _AttemptError as reason:
            error = str(reason)
        except Exception:
            log.exception("webhook_attempt_crashed", endpoint_id=endpoint.endpoint_id)
            error = "internal_error"
        if status_code in _REDIRECTS:
            error = "redirected"
        milliseconds = int((time.monotonic() - began) * 1000)
        return Told(Attempt(at, milliseconds, status_code, error), answer)

    async def _sent(self, endpoint: Endpoint, message_id: str, body: str) -> tuple[int, str]:
        try:
            url = receiver_url(endpoint.url, to_loopback=self._to_loopback)
        except InvalidArgument:
            raise _AttemptError("address_refused") from None
        headers = self._headers(endpoint, message_id, body) | {"Host": url.authority}
        addresses = await self._checked(url)
        for address in addresses[:-1]:
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._sent_to(address, url, headers, body)
        try:
            return await self._sent_to(addresses[-1], url, headers, body)
        except httpx.ConnectError as error:
            raise _AttemptError("tls_failed" if _is_tls(error) else "connect_failed") from None
        except httpx.ConnectTimeout:
            raise _AttemptError("connect_failed") from None

    def _headers(self, endpoint: Endpoint, message_id: str, body: str) -> dict[str, str]:
        now = self._clock()
        signatures = [Webhook(secret).sign(message_id, now, body) for secret in endpoint.secrets_at(now)]
        return {
            "User-Agent": f"billing-mcp/{__version__}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }

    async def _checked(self, url: ReceiverURL) -> list[Address]:
        """The addresses of a host, all of which may be connected to: with one that may not, none may."""
        if (own := address_of(url.host)) is not None:
            return [own]  # its URL has been checked just now
        try:
            found = await self._resolve(url.host, url.port)
        except (OSError, UnicodeError):
            raise _AttemptError("name_unresolved") from None
        addresses = [address_of(text) for text in dict.fromkeys(found)]
        if not addresses:
            raise _AttemptError("name_unresolved")
        allowed = [each for each in addresses if each is not None and self._may_be(each)]
        if len(allowed) < len(addresses):
            raise _AttemptError("address_refused")
        return allowed[:_ADDRESSES]

    def _may_be(self, address: Address) -> bool:
        return is_public(address) or (self._to_loopback and is_loopback(address))

    async def _sent_to(self, address: Address, url: ReceiverURL, headers: dict[str, str], body: str) -> tuple[int, str]:
        timeout = httpx.Timeout(self._timeout_s, connect=min(_CONNECT_S, self._timeout_s))
        if self._trust is None:  # read once, and by whoever needs it
            self._trust = httpx.create_ssl_context(trust_env=False)
        async with httpx.AsyncClient(verify=self._trust, trust_env=False, timeout=timeout) as client:
            self._lock(client)
            request = client.build_request("POST", url.at(str(address)), content=body.encode(), headers=headers)
            request.extensions = {**request.extensions, "sni_hostname": url.host}
            try:
                response = await client.send(request, stream=True, follow_redirects=False)
            except SSRFProtectionError:
                raise _AttemptError("address_refused") from None
            except (httpx.ConnectError, httpx.ConnectTimeout):
                raise
            except httpx.TimeoutException:
                raise _AttemptError("timeout") from None
            except httpx.RequestError:
                raise _AttemptError("answer_malformed") from None
            try:
                return response.status_code, await _beginning(response)
            finally:
                await response.aclose()

    def _lock(self, client: httpx.AsyncClient) -> None:
        """The last lock, beneath all else: it sees the number that a socket is about to be opened to."""
        httpx_ssrf_protection(
            client,
            check_globally_reachable=not self._to_loopback,
            custom_validator=lambda _host, address, _port: self._may_be(address),
        )


class _Resolver:
    """Asks the system, in threads of its own: look-ups that hang must not keep the database's threads busy."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOK_UPS_AT_ONCE, thread_name_prefix="look-up")

    async def __call__(self, name: str, port: int) -> list[str]:
        def look_up() -> list[str]:
            return [str(found[4][0]) for found in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)]

        return await asyncio.get_running_loop().run_in_executor(self._threads, look_up)


async def _beginning(response: httpx.Response) -> str:
    """The beginning of an answer's body. It was answered by its status: what drips or breaks off is let be."""
    found = b""
    with suppress(httpx.RequestError, TimeoutError):
        async with asyncio.timeout(_ANSWER_S):
            async for part in response.aiter_raw(_ANSWER_BYTES):
                found += part
                if len(found) >= _ANSWER_BYTES:
                    break
    return found[:_ANSWER_BYTES].decode("utf-8", "replace")


def _is_tls(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
