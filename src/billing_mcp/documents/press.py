"""Owns setting documents beside the loop: one after the other, since each takes a core, and so many may wait."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from anyio import CapacityLimiter, to_thread

from billing_mcp.domain.errors import Conflict
from billing_mcp.domain.invoices import Invoice
from billing_mcp.domain.parties import Language

MOST_WAITING = 32
"""The last of them waits for a few seconds."""


class Press:
    """Sets documents in a thread. No transaction is open meanwhile: what is set has been read."""

    def __init__(self, logo: bytes | None = None) -> None:
        self._logo = logo
        self._limiter = CapacityLimiter(1)
        self._waiting = 0

    @classmethod
    def with_logo(cls, file: Path | None) -> Press:
        """One that sets the logo in a file, if there is one. Raises what `read_logo` raises."""
        if file is None:
            return cls()
        # Only who has a logo waits for a typesetter to look at it.
        from billing_mcp.documents.logo import read_logo

        return cls(read_logo(file))

    async def invoice(self, invoice: Invoice, language: Language | None = None) -> bytes:
        """The invoice as PDF, in that language or else in its own. Raises Conflict with code `server_busy`."""
        if self._waiting >= MOST_WAITING:
            raise Conflict("too many documents wait to be set", code="server_busy", hint="Try the same again shortly.")
        # Who starts a server for an agent does not wait for a typesetter to load.
        from billing_mcp.documents.invoice_pdf import render_invoice

        self._waiting += 1
        try:
            work = partial(render_invoice, invoice, language=language, logo=self._logo)
            return await to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._waiting -= 1
