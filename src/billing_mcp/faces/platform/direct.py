"""Owns the way to the platform's handlers, some called thousands of times a second: what signatures declare, no more.

The framework's own way serves any signature, which takes longer than the handler. A handler on this one takes a
path's parameters, one body or a query, and who is asking; it is described as all others are, and refused as those of
agents are.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, get_type_hints

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from billing_mcp.domain.no_card_numbers import refuse_card_numbers
from billing_mcp.faces.platform.desk import PREFIX, asking_of
from billing_mcp.faces.rest.answering import encoded, found, links_of
from billing_mcp.faces.rest.reading import json_object, query
from billing_mcp.faces.scope import ACCOUNT_ID

_WORDS = frozenset({"batch", "inbound", "receipts"})
"""They stand in a path where an id can stand."""
_UNKEPT = frozenset({"text"})
"""The text of a message is counted and not kept: a parcel's number in it must not refuse a thousand messages."""
_ASKED, _ASKING, _BODY, _DESK = "asked", "asking", "given", "desk"


def hot_router(prefix: str = PREFIX) -> APIRouter:
    """A router for some of the platform's routes under a prefix, each named as its handler is.

    What they refuse is described with the rest of REST, by status and code.
    """
    return APIRouter(
        prefix=prefix,
        tags=["platform"],
        responses={"4XX": {"description": "Refused: the `code` says why."}},
        route_class=HotRoute,
        generate_unique_id_function=lambda route: route.name,
    )


class HotRoute(APIRoute):
    """A route whose handler takes parameters of its path, `given` or `asked`, and `asking` or `desk`.

    One that only reads returns what it has found.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether a request is for it: where another route has a word, the word is no parameter of this one."""
        match, found = super().matches(scope)
        if match is not Match.NONE and not _WORDS.isdisjoint(found["path_params"].values()):
            return Match.NONE, {}
        return match, found

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, for a request."""
        endpoint: Callable[..., Awaitable[Response | dict[str, Any]]] = self.endpoint
        hints = get_type_hints(endpoint, include_extras=True)
        path = {name: TypeAdapter(hints[name]) for name in self.param_convertors}
        given = inspect.signature(endpoint).parameters.get(_BODY)
        model: TypeAdapter[Any] | None = None if given is None else TypeAdapter(hints[_BODY])
        asked = TypeAdapter(hints[_ASKED]) if _ASKED in hints else None

        async def handle(request: Request) -> Response:
            arguments = {name: _checked(request, name, adapter) for name, adapter in path.items()}
            if _ASKING in hints:
                arguments[_ASKING] = asking_of(request)
            if _DESK in hints:
                arguments[_DESK] = request.app.state.desk
            if asked is not None:
                arguments[_ASKED] = _query(request, asked)
            if given is not None and model is not None:
                arguments[_BODY] = await _body(request, model, given.default)
            answer = await endpoint(**arguments)
            if isinstance(answer, Response):
                return answer
            return found(request, encoded(answer), links=links_of(request, answer))

        return handle


def _checked(request: Request, name: str, adapter: TypeAdapter[Any]) -> Any:
    given = request.path_params[name]
    refuse_card_numbers(given, field=name)
    try:
        return adapter.validate_python(given)
    except ValidationError as error:
        raise _wrong(error, "path", name) from None


def _query(request: Request, adapter: TypeAdapter[Any]) -> Any:
    asked = query(request)
    refuse_card_numbers(asked)
    try:
        return adapter.validate_python(asked)
    except ValidationError as error:
        raise _wrong(error, "query") from None


async def _body(request: Request, model: TypeAdapter[Any], default: Any) -> Any:
    body = await request.body()
    if not body and isinstance(default, BaseModel):
        return default
    value = await json_object(request)
    refuse_card_numbers(value, but=_UNKEPT)
    try:
        given = model.validate_python(value)
    except ValidationError as error:
        raise _wrong(error, "body", body=value) from None
    request.scope[ACCOUNT_ID] = getattr(given, "account_id", "")
    return given


def _wrong(error: ValidationError, *place: str, body: Any = None) -> RequestValidationError:
    """The framework's own error, so that it is told as its errors are."""
    problems = [{**each, "loc": (*place, *each["loc"])} for each in error.errors(include_url=False)]
    return RequestValidationError(problems, body=body)
