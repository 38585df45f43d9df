"""Owns talking to Stripe: one request with one time limit, and what its errors mean to us.

No text of Stripe's is passed on: it may hold a customer's data, or a part of our key. Its codes may be.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import stripe

from billing_mcp.domain.errors import Unavailable
from billing_mcp.payments.stripe_reading import Json, decline_code

# It logs bodies when it is asked to be talkative, and would tell Stripe about this machine.
logging.getLogger("stripe").setLevel(logging.WARNING)
stripe.enable_telemetry = False

_RETRIES = 1
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Refusal:
    """Stripe understood a request and will not do it. `code` is its own."""

    code: str
    is_missing: bool


class StripeClient:
    """Requests to Stripe. Each ends within `timeout_s`, a second try after a broken connection included."""

    def __init__(self, api_key: str, *, api_base: str, timeout_s: float) -> None:
        self._http = _Http(timeout_s)
        addresses: Any = {"api": api_base} if api_base else {}
        client = stripe.StripeClient(
            api_key, http_client=self._http, base_addresses=addresses, max_network_retries=_RETRIES
        )
        self.v1 = client.v1
        self._timeout_s = timeout_s

    async def ask(self, request: Awaitable[stripe.StripeObject]) -> Json | Refusal:
        """What Stripe answers, or why it will not. Raises Unavailable."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return (await request).to_dict()
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            return Refusal(_code_of(error), error.http_status == httpx.codes.NOT_FOUND)
        except (stripe.AuthenticationError, stripe.PermissionError, stripe.IdempotencyError) as error:
            raise _refused_us(_code_of(error)) from None
        except (stripe.StripeError, TimeoutError):
            raise Unavailable(
                "the payment provider did not answer in time, or could not",
                code="provider_unavailable",
                hint="It is not known what happened: look the payment up.",
            ) from None

    async def tell(self, request: Awaitable[stripe.StripeObject]) -> Json:
        """What Stripe answers. Raises Unavailable, also when it will not."""
        answer = await self.ask(request)
        if isinstance(answer, Refusal):
            raise _refused_us(answer.code)
        return answer

    async def pages(
        self, list_: Callable[[Any], Awaitable[stripe.StripeObject]], params: Mapping[str, Any]
    ) -> AsyncIterator[Json]:
        """Every object of a list. Raises Unavailable."""
        after: dict[str, str] = {}
        while True:
            page = await self.tell(list_({**params, "limit": _PAGE, **after}))
            for each in page["data"]:
                yield each
            if not page["has_more"]:
                return
            after = {"starting_after": page["data"][-1]["id"]}

    async def close(self) -> None:
        """Give connections back."""
        await self._http.close_async()


class _Http(stripe.HTTPClient):
    """Stripe's library over httpx. Its own such client passes bodies in a way that httpx warns of."""

    name = "httpx"

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._client = httpx.AsyncClient(timeout=timeout_s)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """One request. Raises stripe.APIConnectionError when there is no answer."""
        try:
            response = await self._client.request(method, url, headers=dict(headers), content=post_data or None)
        except httpx.HTTPError as error:
            broken: Any = stripe.APIConnectionError
            raise broken(type(error).__name__, should_retry=True) from None
        return response.content, response.status_code, response.headers

    async def sleep_async(self, secs: float) -> None:
        """Wait before the next try."""
        await asyncio.sleep(secs)

    async def close_async(self) -> None:
        """Give connections back."""
        await self._client.aclose()


def _code_of(error: stripe.StripeError) -> str:
    body: Any = error.json_body
    told = body.get("error") if isinstance(body, Mapping) else None
    code = decline_code(told) if isinstance(told, Mapping) else None
    plain = isinstance(code, str) and code.isascii() and code.isidentifier() and len(code) <= 64
    return str(code) if plain else "refused"


def _refused_us(code: str) -> Unavailable:
    return Unavailable(
        f"the payment provider refused this server's request: {code}",
        code="provider_refused_us",
        hint="Check BILLING_MCP_STRIPE_API_KEY, and what that key may do.",
    )
