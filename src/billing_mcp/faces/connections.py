"""Owns what a connection may take of the server before there is a request: room for its head, and time to send it."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
HEAD_S = 10.0


class Connection(HttpToolsProtocol):
    """A connection that is hung up on when no request comes, or none that can be read.

    The library would wait for ever, for who connects and says nothing, or half of a request; and it would
    keep whatever comes before a head ends, so that one client could fill the memory without a credential.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._in_head = False
        self._got_on = False
        self._unread_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """From now on its first request is awaited."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._await_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on. What is neither a head that ends nor part of a body is kept, so there must not be much of it."""
        self._got_on = False
        super().data_received(data)
        self._unread_bytes = 0 if self._got_on else self._unread_bytes + len(data)
        if self._unread_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The head of a request has at most {MAX_HEAD_BYTES} bytes here.")

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take it, unless it comes after the body: a proxy that looks after headers has not seen it.

        Spaces around a value are not part of it (RFC 9110, 5.5); the parser leaves those at its end.
        """
        if self._in_head:
            super().on_header(name, value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        """The request is here; how long its body may take is looked after elsewhere."""
        self._in_head, self._got_on = False, True
        self._await_nothing()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Part of a body is here."""
        self._got_on = True
        super().on_body(body)

    def on_response_complete(self) -> None:
        """An answer is out: unless another request waits already, the next one is awaited."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._await_head()

    def _await_head(self) -> None:
        self._await_nothing()
        self._deadline = self.loop.call_later(HEAD_S, self.timeout_keep_alive_handler)

    def _await_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
