"""Owns describing where documents are served."""

from __future__ import annotations

from typing import Any

from billing_mcp.faces.documents import MEDIA_TYPE
from billing_mcp.faces.rest.openapi_parts import AGENTS, ANYWHERE, headers, problems
from billing_mcp.kernel.principal import Permission

_INVOICE_ID = {
    "name": "invoice_id",
    "in": "path",
    "required": True,
    "description": "The id of an invoice or credit note, or its number.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9-]{1,64}$"},
}
_ACCOUNT_ID = {
    "name": "account_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}
_SIGNED = {
    "name": "signed",
    "in": "path",
    "required": True,
    "description": "What the link names and until when, with the signature of it.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,200}$"},
}
_NOT_NOW = ("server_busy", "database_busy", "database_unavailable", "internal_error")


def document_docs(*, own: bool) -> dict[str, Any]:
    """An invoice as PDF, for who has a credential; `own` is that of the credential's account."""
    codes = ["not_found", *ANYWHERE, *AGENTS, "invalid_argument", "unknown_argument", "server_busy"]
    return {
        "tags": ["invoices"],
        "summary": "An invoice or credit note as PDF.",
        "description": "The document of `billing.invoices.get`, which is refused as that is. The bytes are the same as "
        f"long as the invoice stands as it does. Needs `{Permission.VIEW.value}`.",
        "security": [{"bearer": [Permission.VIEW.value]}],
        "parameters": [_INVOICE_ID] if own else [_ACCOUNT_ID, _INVOICE_ID],
        "responses": {
            "200": _pdf("RateLimit", "RateLimit-Policy"),
            **problems([*codes, *(["account_not_named"] if own else [])]),
        },
    }


def linked_document_docs() -> dict[str, Any]:
    """The document behind a link."""
    refusals = ("invalid_link", "link_expired", "not_found", "rate_limited", "host_not_allowed", "origin_not_allowed")
    return {
        "tags": ["invoices"],
        "summary": "The document behind a link.",
        "description": "Where `download_url` of an invoice leads. The link is good for a short time, and is all that "
        "is needed: give it to nobody who may not see the invoice.",
        "security": [],
        "parameters": [_SIGNED],
        "responses": {"200": _pdf(), **problems([*refusals, *_NOT_NOW])},
    }


def _pdf(*more: str) -> dict[str, Any]:
    sent = ("X-Request-Id", "Cache-Control", "Content-Disposition", "X-Content-Type-Options")
    content = {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}, "example": "%PDF-1.7 …"}}
    return {"description": "The PDF.", "headers": headers(*sent, *more), "content": content}
