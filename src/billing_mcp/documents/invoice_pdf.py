"""Owns the PDF of an invoice: what stands on it, set by the template beside this module."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from billing_mcp.documents.content import content_of
from billing_mcp.documents.logo import drawing_of
from billing_mcp.documents.typesetter import CannotBeSet, typeset
from billing_mcp.domain.errors import Internal
from billing_mcp.domain.invoices import Invoice
from billing_mcp.domain.parties import Language

_LOGO = "logo.svg"


def render_invoice(invoice: Invoice, *, language: Language | None = None, logo: bytes | None = None) -> bytes:
    """The invoice as PDF, in that language or else in its own: of the same invoice always the same bytes.

    `logo` is a PNG or SVG, as `read_logo` gives it. It takes a core for a while, so call it in a thread.
    Raises InvalidArgument with code `invalid_logo`.
    """
    content = content_of(invoice, language)
    pictures = {}
    if logo is not None:
        pictures[_LOGO] = drawing_of(logo)
        content["logo"] = _LOGO
    try:
        return typeset(_template(), json.dumps(content), pictures, moment=invoice.issued_at)
    except CannotBeSet as error:
        raise Internal(f"invoice {invoice.invoice_id} cannot be set: {error}") from error


@cache
def _template() -> str:
    return Path(__file__).with_name("invoice.typ").read_text("utf-8")
