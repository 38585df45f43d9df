"""Owns describing REST as OpenAPI 3.1: from the registry's own signatures, types, docs and errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from billing_mcp import __version__
from billing_mcp.faces.rest.openapi_parts import (
    AGENTS,
    ANYWHERE,
    HEADERS,
    JSON,
    OWN_SCHEMAS,
    PARAMETERS,
    SCHEMAS,
    SECURITY,
    UNDER_KEY,
    WITH_BODY,
    answered,
    errors_named_in,
    nothing_new,
    parameter,
    problems,
    reference,
    show_examples,
)
from billing_mcp.faces.rest.openapi_platform import complete_platform, watching
from billing_mcp.kernel.answer import Answer
from billing_mcp.kernel.registry import Operation, Parameter
from billing_mcp.operations import REGISTRY

_ABOUT = """\
Every request brings a credential as `Authorization: Bearer …`. An agent's key or token is granted accounts and
permissions (`billing.view`, `billing.manage`); an account that is not granted does not exist for it. A platform key
reaches `/v1/platform`, `/v1/messages`, `/v1/campaigns`, `/v1/accounts` and `/metrics`, and nothing else.

Amounts are exact: decimal texts such as `"12.40"`, or JSON numbers where the schema says number; read these as
decimals. Moments are UTC. Errors are `application/problem+json` with a stable `code`; `type` leads to its page.
Send `Idempotency-Key` with every POST, PUT and PATCH: sent again after any failure, it happens once."""
_EXECUTION_ID = "019ce17d-2100-7ac7-838b-431884db82ec"


class Exact(GenerateJsonSchema):
    """A Decimal of ours is a JSON number."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> dict[str, Any]:  # noqa: ARG002
        """As it is sent."""
        return {"type": "number"}


def function_docs(
    operation: Operation, method: str, path: str, parameters: Mapping[str, Parameter], *, own: bool
) -> dict[str, Any]:
    """A billing function at one of its routes, but for its name."""
    described: dict[str, Any] = {
        "tags": [operation.name.split(".")[1]],
        "summary": operation.summary,
        "description": _description(operation),
        "security": [{"bearer": [operation.permission.value]}],
        "parameters": [_in_path(name, operation) for name in re.findall(r"{(\w+)}", path)],
        "responses": {"200": _result(operation, method), **_refusals(operation, method, own=own)},
        "x-billing-function": operation.name,
    }
    if method == "GET":
        described["parameters"] += [_in_query(name, p) for name, p in parameters.items()]
        described["parameters"].append(parameter("IfNoneMatch"))
        described["responses"]["304"] = nothing_new("ETag", "Link")
        return described
    if operation.writes:
        described["parameters"].append(parameter("IdempotencyKey"))
    described["requestBody"] = _body(parameters)
    return described


def operation_id(operation: Operation, *, own: bool) -> str:
    """Such as `billing_plan_change`, and `own_billing_balance_get` for that of the credential's account."""
    name = operation.name.replace(".", "_")
    return f"own_{name}" if own else name


def execution_docs() -> dict[str, Any]:
    """`POST /v1/executions`."""
    return {
        "tags": ["executions"],
        "summary": "Run a billing script as one transaction.",
        "description": "The tool `execute` over REST. All that the script does commits together or not at all. What a "
        "script did wrong is its answer, with `status` failed; only a request that could not be served is an error. "
        'Payments follow the commit: what came of them within three seconds is in `followups`, as `{"topup": …}` or '
        '`{"payment_method": …}`.',
        "security": [{"bearer": []}],
        "parameters": [parameter("IdempotencyKey")],
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": reference("Script")}},
        },
        "responses": {
            "200": answered("What the script did and returned.", "Answer", "Execution-Id", "Idempotent-Replayed"),
            **problems((*ANYWHERE, *AGENTS, *WITH_BODY, *UNDER_KEY, "server_busy")),
        },
    }


def stored_execution_docs() -> dict[str, Any]:
    """`GET /v1/executions/{execution_id}`."""
    return {
        "tags": ["executions"],
        "summary": "The answer of one of your executions.",
        "security": [{"bearer": []}],
        "parameters": [
            {
                "name": "execution_id",
                "in": "path",
                "required": True,
                "description": "As its answer had it.",
                "schema": {"type": "string", "format": "uuid"},
                "example": _EXECUTION_ID,
            },
            parameter("IfNoneMatch"),
        ],
        "responses": {
            "200": answered("The same answer.", "Answer", "ETag"),
            "304": nothing_new("ETag"),
            **problems(("not_found", *ANYWHERE, *AGENTS)),
        },
    }


def describe(api: FastAPI) -> dict[str, Any]:
    """The whole document."""
    document = get_openapi(
        title="billing-mcp",
        version=__version__,
        summary="A billing server that AI agents operate and finance teams trust.",
        description=_ABOUT,
        routes=api.routes,
        tags=[{"name": r.name, "description": r.doc} for r in REGISTRY.resources]
        + [
            {"name": "executions", "description": "Scripts, each one transaction."},
            {"name": "platform", "description": "For the platform's own servers, with a platform key."},
            {"name": "providers", "description": "For the payment provider, which signs what it sends."},
            {"name": "watching", "description": "For whoever watches the process."},
        ],
    )
    complete_platform(document)
    _show_functions_examples(document)
    document["paths"] |= watching()
    components = document["components"]
    components["schemas"] |= _schemas() | OWN_SCHEMAS
    components["parameters"] = PARAMETERS
    components["headers"] = HEADERS
    components["securitySchemes"] = SECURITY
    return document


def _show_functions_examples(document: dict[str, Any]) -> None:
    """Only now: the framework leaves out of a description what is null, and in answers that says something."""
    for methods in document["paths"].values():
        for operation in methods.values():
            function = operation.get("x-billing-function")
            if function or "executions" in operation["tags"]:
                show_examples(operation, function or operation["operationId"])


def _description(operation: Operation) -> str:
    what = (
        "An execution of this one call: recorded, and done once under its key. What follows its commit is waited for "
        "up to three seconds, and is answered as it stands then. "
    )
    what = what if operation.writes else ""
    return f"{operation.doc}\n\n{what}Needs `{operation.permission.value}`. In a script: `{operation.name}`."


def _in_path(name: str, operation: Operation) -> dict[str, Any]:
    parameter = next(p for p in operation.parameters if p.name == name)
    return {"name": name, "in": "path", "required": True, "schema": _schema_of(parameter)}


def _in_query(name: str, parameter: Parameter) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": parameter.required, "schema": _schema_of(parameter)}


def _schema_of(parameter: Parameter) -> dict[str, Any]:
    """What it takes: in a query and in a path nothing is null, it is left out."""
    schema = TypeAdapter(parameter.annotation).json_schema()
    given = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    schema = given[0] if len(given) == 1 else schema
    if not parameter.required and parameter.default is not None:
        schema = {**schema, "default": parameter.default}
    return schema


def _body(parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    required = [name for name, parameter in parameters.items() if parameter.required]
    schema = {
        "type": "object",
        "properties": {name: _schema_in_body(parameter) for name, parameter in parameters.items()},
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }
    return {"required": bool(required), "content": {JSON: {"schema": schema}}}


def _schema_in_body(parameter: Parameter) -> dict[str, Any]:
    schema = TypeAdapter(parameter.annotation).json_schema()
    return schema if parameter.required else {**schema, "default": parameter.default}


def _result(operation: Operation, method: str) -> dict[str, Any]:
    sent: tuple[str, ...] = ("ETag", "Link") if method == "GET" else ()
    sent = ("Execution-Id", "Idempotent-Replayed") if operation.writes else sent
    return answered(operation.summary, operation.returns.__name__, *sent)


def _refusals(operation: Operation, method: str, *, own: bool) -> dict[str, Any]:
    codes = [*errors_named_in(operation.doc), *ANYWHERE, *AGENTS, "invalid_argument", "unknown_argument"]
    if own:
        codes.append("account_not_named")
    if operation.writes:
        codes += [*UNDER_KEY, "read_only", "unknown_function", "write_time_limit", "time_limit"]
    if method != "GET":
        codes += WITH_BODY
    return problems(codes)


def _schemas() -> dict[str, Any]:
    functions = [(o.name, "serialization", TypeAdapter(o.returns)) for o in REGISTRY.values()]
    answer = ("answer", "serialization", TypeAdapter(Answer))
    _, found = TypeAdapter.json_schemas([*functions, answer], ref_template=SCHEMAS, schema_generator=Exact)  # type: ignore[list-item]
    schemas: dict[str, Any] = found["$defs"]
    return schemas
