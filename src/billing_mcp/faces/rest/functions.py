"""Owns the billing functions over REST: each at its routes, derived from the registry, with one handler for all.

A function that changes something is an execution of one call, with its record and its key. One that only
reads leaves no record.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from billing_mcp.app import App
from billing_mcp.domain.errors import BillingError, InvalidArgument
from billing_mcp.domain.no_card_numbers import card_number
from billing_mcp.faces.auth import principal_in
from billing_mcp.faces.rest.answering import done, encoded, found, links_of
from billing_mcp.faces.rest.openapi import function_docs, operation_id
from billing_mcp.faces.rest.reading import idempotency_key, json_object, query
from billing_mcp.faces.rest.refusing import refusal
from billing_mcp.faces.scope import EXECUTION_ID
from billing_mcp.kernel.answer import Answer
from billing_mcp.kernel.arguments import ArgumentParser, from_json, from_text
from billing_mcp.kernel.principal import Principal
from billing_mcp.kernel.registry import Operation, Parameter, Registry

PUBLIC = "/v1/public/accounts/{account_id}/billing"
OWN = "/v1/billing"

_WIRE = {"from_date": "from", "to_date": "to"}
"""What the references call an argument whose name is a keyword of Python."""


@dataclass(frozen=True)
class Place:
    """A function at one of its routes. `own` is that of the credential's own account, which no path names."""

    operation: Operation
    method: str
    path: str
    own: bool

    @property
    def name(self) -> str:
        """The method and the path, as people write them."""
        return f"{self.method} {self.path}"

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """What the query or the body may hold, by its name there."""
        inside = {p.name: p for p in self.operation.parameters if f"{{{p.name}}}" not in self.path}
        inside.pop("account_id", None)
        return {_WIRE.get(name, name): parameter for name, parameter in inside.items()}


def places(registry: Registry) -> Iterator[Place]:
    """All routes of all functions."""
    for operation in registry.values():
        method, _, path = operation.route.partition(" ")
        yield Place(operation, method, PUBLIC + path, own=False)
        if operation.own_route is not None:
            method, _, path = operation.own_route.partition(" ")
            yield Place(operation, method, OWN + path, own=True)


def add_functions(api: FastAPI, app: App, registry: Registry) -> None:
    """Add the routes of all functions."""
    for place in sorted(places(registry), key=lambda place: not place.own):
        api.add_api_route(
            place.path,
            _handler(app, place),
            methods=[place.method],
            name=place.operation.name,
            operation_id=operation_id(place.operation, own=place.own),
            response_class=Response,
            openapi_extra=function_docs(place.operation, place.method, place.path, place.parameters, own=place.own),
        )


def _handler(app: App, place: Place) -> Callable[[Request], Awaitable[Response]]:
    operation = place.operation
    explain = _Explainer(place)

    async def handle(request: Request) -> Response:
        principal = principal_in(request.scope)
        sent = await _sent(place, request)
        arguments = _arguments(place, request, principal, sent)
        try:
            if operation.writes:
                return await _execute(app, operation, request, principal, arguments)
            result = await app.read(principal, operation.name, arguments)
        except BillingError as error:
            refused = explain(error, request, sent) if isinstance(error, InvalidArgument) else error
            return refusal(request, refused, app.settings, wanted=[operation.permission], arguments=arguments)
        if place.method != "GET":
            return done(encoded(result))
        return found(request, encoded(result), links=links_of(request, result))

    return handle


async def _sent(place: Place, request: Request) -> dict[str, Any]:
    """What the query or the body holds, by its name there."""
    known = place.parameters
    if place.method != "GET":
        body = await json_object(request)
        return {name: from_json(known[name].annotation, v) if name in known else v for name, v in body.items()}
    texts = query(request)
    return {name: from_text(known[name].annotation, text) if name in known else text for name, text in texts.items()}


def _arguments(place: Place, request: Request, principal: Principal, sent: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the call, in the order of its signature: what an idempotency key is bound to."""
    known = place.parameters
    named = {known[name].name if name in known else name: value for name, value in sent.items()}
    if "account_id" in sent:
        raise InvalidArgument(
            f"{place.name} takes no account_id beside its path", code="unknown_argument", field="account_id"
        )
    named.update(request.path_params)
    if place.own:
        named["account_id"] = principal.own_account_id()
    order = [parameter.name for parameter in place.operation.parameters]
    return {name: named[name] for name in (*order, *sorted(named.keys() - set(order))) if name in named}


async def _execute(
    app: App, operation: Operation, request: Request, principal: Principal, arguments: dict[str, Any]
) -> Response:
    answer = await app.call(principal, operation.name, arguments, idempotency_key=idempotency_key(request))
    request.scope[EXECUTION_ID] = answer.execution_id
    if answer.error is not None:
        raise answer.error.as_error()
    return done(encoded(_newest(answer)), execution_id=answer.execution_id, replayed=answer.replayed)


def _newest(answer: Answer) -> Any:
    """The result, as a followup tells of the very same thing if one does: here nothing else shows followups."""
    told = [each for followup in answer.followups for each in followup.items()]
    for name, thing in told:
        same = isinstance(answer.result, dict) and thing.keys() == answer.result.keys()
        if same and thing[f"{name}_id"] == answer.result[f"{name}_id"]:
            return thing
    return answer.result


class _Explainer:
    """Says what is wrong of the arguments in the words of the route: `from`, where a script has `from_date`."""

    def __init__(self, place: Place) -> None:
        self._wire = {parameter.name: name for name, parameter in place.parameters.items()}
        parameters = {name: (p.annotation, p.default) for name, p in place.parameters.items()}
        self._parser = ArgumentParser(place.name, parameters)

    def __call__(self, error: InvalidArgument, request: Request, sent: dict[str, Any]) -> BillingError:
        if error.code == "card_number":
            name, _, within = (error.field or "").partition(".")
            return card_number(".".join(filter(None, (self._wire.get(name, name), within))))
        if error.field in request.path_params or error.code == "idempotency_key_reused":
            return error
        try:
            self._parser.parse(sent)
        except InvalidArgument as better:
            return better
        error.field = self._wire.get(error.field or "", error.field)
        return error
