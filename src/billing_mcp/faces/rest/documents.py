"""Owns documents over REST: an invoice as PDF for who has a credential, and for who has a link."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from billing_mcp.app import App
from billing_mcp.domain.errors import BillingError, InvalidArgument
from billing_mcp.faces.auth import principal_in
from billing_mcp.faces.documents import MEDIA_TYPE, Document, document_behind, document_of
from billing_mcp.faces.rest.functions import OWN, PUBLIC
from billing_mcp.faces.rest.openapi_documents import document_docs, linked_document_docs
from billing_mcp.faces.rest.reading import query
from billing_mcp.faces.rest.refusing import refusal
from billing_mcp.kernel.principal import Permission
from billing_mcp.settings import DOCUMENTS_PATH

PDF = "/invoices/{invoice_id}/pdf"
LINKED = f"{DOCUMENTS_PATH}/{{signed}}.pdf"


def add_documents(api: FastAPI, app: App) -> None:
    """Add the routes of documents. For a link nobody signs in: it is signed itself."""

    async def linked(request: Request) -> Response:
        return _sent(await document_behind(app, request.path_params["signed"]))

    for path, name, docs in (
        (PUBLIC + PDF, "billing_invoices_pdf", document_docs(own=False)),
        (OWN + PDF, "own_billing_invoices_pdf", document_docs(own=True)),
    ):
        handler = _handler(app, own=path.startswith(OWN))
        api.add_api_route(path, handler, operation_id=name, response_class=Response, openapi_extra=docs)
        api.add_api_route(path, handler, methods=["HEAD"], response_class=Response, include_in_schema=False)
    docs = linked_document_docs()
    api.add_api_route(LINKED, linked, operation_id="get_linked_document", response_class=Response, openapi_extra=docs)
    api.add_api_route(LINKED, linked, methods=["HEAD"], response_class=Response, include_in_schema=False)


def _handler(app: App, *, own: bool) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        principal = principal_in(request.scope)
        unknown = next(iter(query(request)), None)
        if unknown is not None:
            raise InvalidArgument(
                f"this request has no {unknown[:60]}", code="unknown_argument", field=unknown[:60], hint="Leave it out."
            )
        named = request.path_params
        account_id = principal.own_account_id() if own else named["account_id"]
        try:
            return _sent(await document_of(app, principal, account_id, named["invoice_id"]))
        except BillingError as error:
            arguments = {"account_id": account_id}
            return refusal(request, error, app.settings, wanted=[Permission.VIEW], arguments=arguments)

    return handle


def _sent(document: Document) -> Response:
    """A file to be kept by who asked for it, and by nobody in between; nothing in it is ever taken for a page."""
    headers = {
        "Content-Disposition": f'attachment; filename="{document.file_name}"',
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(document.pdf, headers=headers, media_type=MEDIA_TYPE)
