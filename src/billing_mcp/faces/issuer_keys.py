"""Owns the public keys of the authorization server: fetched when they are needed, by one for all, and kept.

A key that the issuer has taken back is honoured for `refresh_s` at most, while the issuer can be
reached. While it cannot, the last keys are used for as long as twelve times that, and no longer.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from urllib.error import HTTPError, URLError

import structlog
from jwt import PyJWK, PyJWKClient
from jwt.exceptions import PyJWKClientError, PyJWTError

from billing_mcp.domain.errors import Unavailable

_FETCH_S = 5.0
_WAIT_S = 15.0

# In parts of `refresh_s`:
_AWAY = 12  # how long the last keys are used while the issuer is away
_NEW_KEY = 1 / 10  # how long after a fetch a key that is not known is asked for again
_AGAIN = 1 / 30  # how long after a failure anything is

log = structlog.get_logger()


class IssuerKeys:
    """The keys at one URL, for the requests of one event loop."""

    def __init__(self, url: str, refresh_s: float) -> None:
        self._client = _Client(url, refresh_s)
        # of its own: the one that all share has few threads, which an issuer that hangs would take from the database
        self._thread = ThreadPoolExecutor(1, "issuer-keys")
        self._asking = 0

    @property
    def fetched_at(self) -> float | None:
        """When the keys in use were fetched, on a clock that nobody sets; None while there are none."""
        return self._client.fetched_at if self._client.in_use() else None

    @property
    def due(self) -> bool:
        """Whether the keys should be fetched before the next use, and nobody does yet."""
        return self._client.due() and not self._asking

    async def get(self, key_id: str) -> PyJWK | None:
        """The signing key of that id, if the issuer has it. Raises Unavailable: issuer_unavailable."""
        found = None if self.due else self._client.known(key_id)
        return found or await self._asked_for(key_id)

    async def _asked_for(self, key_id: str) -> PyJWK | None:
        self._asking += 1
        try:
            async with asyncio.timeout(_WAIT_S):
                return await asyncio.get_running_loop().run_in_executor(self._thread, self._client.find, key_id)
        except (_AwayError, TimeoutError):
            found = self._client.known(key_id)
            if found is not None:  # an issuer that answers too slowly is away, too
                return found
            raise Unavailable(
                "the keys of the authorization server cannot be fetched, so no token can be checked",
                code="issuer_unavailable",
                hint="Try again. If it lasts, whoever runs the server checks BILLING_MCP_OAUTH_JWKS_URL.",
            ) from None
        finally:
            self._asking -= 1


class _AwayError(Exception):
    """The issuer has not answered with keys."""


class _Client(PyJWKClient):
    """The library's client, which also spares an issuer that fails, and says when it should be asked again.

    Its lock lets one at a time fetch; who comes after finds what that one has fetched.
    """

    def __init__(self, url: str, refresh_s: float) -> None:
        super().__init__(
            url,
            lifespan=refresh_s * _AWAY,
            cooldown_duration=refresh_s * _NEW_KEY,
            timeout=_FETCH_S,
            ssl_context=ssl.create_default_context(),
        )
        self.fetched_at: float | None = None
        self._refresh_s = refresh_s
        self._due_at = self._not_before = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to fetch the keys (again)."""
        return time.monotonic() >= self._due_at

    def in_use(self) -> list[PyJWK]:
        """The keys that may be used without asking."""
        keys = self.jwk_set_cache.get() if self.jwk_set_cache else None
        return [] if keys is None else keys.keys

    def known(self, key_id: str) -> PyJWK | None:
        """The signing key of that id, without asking."""
        signing = [key for key in self.in_use() if key.public_key_use in ("sig", None)]
        return self.match_kid(signing, key_id)

    def find(self, key_id: str) -> PyJWK | None:
        """The signing key of that id; may ask. Raises _AwayError."""
        if self.due():
            with suppress(_AwayError):
                self.get_jwk_set(refresh=True)
        try:
            return self.get_signing_key(key_id)
        except PyJWKClientError:
            return None

    def fetch_data(self) -> Any:
        """Ask the issuer. Raises _AwayError."""
        if time.monotonic() < self._not_before:
            raise _AwayError
        try:
            found = super().fetch_data()
        except (PyJWTError, OSError, ValueError, TypeError, RecursionError) as error:
            self._not_before = self._due_at = time.monotonic() + self._refresh_s * _AGAIN
            log.warning("issuer_keys_not_fetched", reason=_reason(error))
            raise _AwayError from error
        self.fetched_at = time.monotonic()
        self._due_at = self.fetched_at + self._refresh_s
        return found


def _reason(error: Exception) -> str:
    """What an operator looks for; no text of an exception, which may hold what no log may."""
    cause = error.__cause__ or error
    if isinstance(cause, HTTPError):
        return f"HTTP {cause.code}"
    inner = cause.reason if isinstance(cause, URLError) else cause
    return type(inner).__name__
