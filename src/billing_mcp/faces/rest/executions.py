"""Owns scripts over REST: `POST /v1/executions` is the tool `execute`, with the same body and the same answer."""

from __future__ import annotations

from uuid import UUID

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from billing_mcp.app import App
from billing_mcp.domain.errors import ERRORS, Conflict, Internal, InvalidArgument, NotFound, Unavailable
from billing_mcp.faces.asked import Asked, asked
from billing_mcp.faces.auth import principal_in
from billing_mcp.faces.rest.answering import done, found
from billing_mcp.faces.rest.openapi import execution_docs, stored_execution_docs
from billing_mcp.faces.rest.reading import idempotency_key, json_object
from billing_mcp.faces.scope import EXECUTION_ID
from billing_mcp.kernel.answer import AnswerError

PATH = "/v1/executions"


def add_executions(api: FastAPI, app: App) -> None:
    """Add the routes of executions."""

    async def execute(request: Request) -> Response:
        script = asked(await json_object(request), of=f"POST {PATH}")
        answer = await app.run_script(
            principal_in(request.scope),
            script.code,
            preview=script.preview,
            idempotency_key=_key(request, script),
        )
        request.scope[EXECUTION_ID] = answer.execution_id
        if answer.error is not None and _is_of_the_request(answer.error):
            raise answer.error.as_error()
        return done(answer.to_json().encode(), execution_id=answer.execution_id, replayed=answer.replayed)

    async def stored(request: Request) -> Response:
        execution_id = request.path_params["execution_id"]
        answer = None
        if _is_id(execution_id):
            answer = await app.executor.stored_answer(principal_in(request.scope), execution_id)
        if answer is None:
            message = f"execution {ascii(execution_id[:40])[1:-1]} does not exist, or is not yours"
            raise NotFound(message, field="execution_id")
        return found(request, answer.encode())

    api.add_api_route(
        PATH,
        execute,
        methods=["POST"],
        operation_id="execute",
        response_class=Response,
        openapi_extra=execution_docs(),
    )
    api.add_api_route(
        f"{PATH}/{{execution_id}}",
        stored,
        methods=["GET"],
        operation_id="get_execution",
        response_class=Response,
        openapi_extra=stored_execution_docs(),
    )


def _key(request: Request, script: Asked) -> str:
    """The key, from the body as the tool has it, or from the header as REST has it."""
    in_header = idempotency_key(request)
    if in_header and script.idempotency_key and in_header != script.idempotency_key:
        raise InvalidArgument(
            "idempotency_key in the body and the header Idempotency-Key differ",
            field="idempotency_key",
            hint="Give one of them.",
        )
    return script.idempotency_key or in_header


def _is_of_the_request(error: AnswerError) -> bool:
    """Whether the request could not be served; what a script did wrong is its answer."""
    return issubclass(ERRORS[error.code], Conflict | Unavailable | Internal) or error.field == "idempotency_key"


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
