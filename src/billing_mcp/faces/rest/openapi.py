"""Owns describing REST as OpenAPI 3.1: from the registry's own signatures, types, docs and errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from billing_mcp import __version__
from billing_mcp.domain.errors import ERRORS
from billing_mcp.faces.problem import status_of
from billing_mcp.kernel.answer import Answer
from billing_mcp.kernel.registry import Operation, Parameter
from billing_mcp.operations import REGISTRY

_SCHEMAS = "#/components/schemas/{model}"
_JSON = "application/json"
_PROBLEM = "application/problem+json"
_EVERYWHERE = ("key_missing", "invalid_key", "permission_denied", "not_found", "rate_limited", "database_busy")
_WRITING = ("invalid_argument", "not_json", "idempotency_key_reused", "idempotency_key_in_use", "body_too_large")
_ABOUT = """\
Every request brings a credential as `Authorization: Bearer …`. An agent's key or token is granted accounts and
permissions (`billing.view`, `billing.manage`); an account that is not granted does not exist for it. A platform key
reaches `/v1/platform` and nothing else.

Amounts are exact: decimal texts such as `"12.40"`, or JSON numbers where the schema says number; read these as
decimals. Moments are UTC. Errors are `application/problem+json` with a stable `code`; `type` leads to its page.
Send `Idempotency-Key` with every POST and PUT: sent again after any failure, it happens once."""


class Exact(GenerateJsonSchema):
    """A Decimal of ours is a JSON number."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> dict[str, Any]:  # noqa: ARG002
        """As it is sent."""
        return {"type": "number"}


def function_docs(
    operation: Operation, method: str, path: str, parameters: Mapping[str, Parameter], *, own: bool
) -> dict[str, Any]:
    """A billing function at one of its routes."""
    described: dict[str, Any] = {
        "operationId": _operation_id(operation, own=own),
        "tags": [operation.name.split(".")[1]],
        "summary": operation.summary,
        "description": _description(operation),
        "security": [{"bearer": [operation.permission.value]}],
        "parameters": [_in_path(name, operation) for name in re.findall(r"{(\w+)}", path)],
        "responses": {"200": _result(operation), **_refusals(operation, method)},
        "x-billing-function": operation.name,
    }
    if method == "GET":
        described["parameters"] += [_in_query(name, p) for name, p in parameters.items()]
        described["parameters"].append({"$ref": "#/components/parameters/IfNoneMatch"})
        described["responses"]["304"] = {"description": "You have this version already.", "headers": _headers("ETag")}
        return described
    described["parameters"].append({"$ref": "#/components/parameters/IdempotencyKey"})
    described["requestBody"] = _body(operation, parameters)
    return described


def execution_docs() -> dict[str, Any]:
    """`POST /v1/executions`."""
    codes = (*_EVERYWHERE, *_WRITING, "outcome_unknown")
    return {
        "operationId": "execute",
        "tags": ["executions"],
        "summary": "Run a billing script as one transaction.",
        "description": "The tool `execute` over REST. All that the script does commits together or not at all. What a "
        "script did wrong is its answer, with `status` failed; only a request that could not be served is an error.",
        "security": [{"bearer": []}],
        "parameters": [{"$ref": "#/components/parameters/IdempotencyKey"}],
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": {"$ref": _SCHEMAS.format(model="Script")}, "examples": _examples("execute")}},
        },
        "responses": {
            "200": _answer_response("What the script did and returned.", "Execution-Id", "Idempotent-Replayed"),
            **_problems(codes),
        },
    }


def stored_execution_docs() -> dict[str, Any]:
    """`GET /v1/executions/{execution_id}`."""
    return {
        "operationId": "getExecution",
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
            },
            {"$ref": "#/components/parameters/IfNoneMatch"},
        ],
        "responses": {
            "200": _answer_response("The same answer.", "ETag"),
            "304": {"description": "You have this version already.", "headers": _headers("ETag")},
            **_problems(_EVERYWHERE),
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
            {"name": "Platform", "description": "For the platform's own servers, with a platform key."},
        ],
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.update(_schemas())
    components["parameters"] = _PARAMETERS
    components["headers"] = _HEADERS
    components["securitySchemes"] = _SECURITY
    return document


def _operation_id(operation: Operation, *, own: bool) -> str:
    """Such as `billing_plan_change`, and `own_billing_balance_get` for that of the credential's account."""
    name = operation.name.replace(".", "_")
    return f"own_{name}" if own else name


def _description(operation: Operation) -> str:
    what = "An execution of this one call: recorded, and done once under its key. " if operation.writes else ""
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


def _body(operation: Operation, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    required = [name for name, parameter in parameters.items() if parameter.required]
    schema = {
        "type": "object",
        "properties": {name: _schema_in_body(parameter) for name, parameter in parameters.items()},
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }
    content = {"schema": schema, "examples": _examples(operation.name)}
    return {"required": bool(required), "content": {_JSON: {k: v for k, v in content.items() if v}}}


def _schema_in_body(parameter: Parameter) -> dict[str, Any]:
    schema = TypeAdapter(parameter.annotation).json_schema()
    return schema if parameter.required else {**schema, "default": parameter.default}


def _result(operation: Operation) -> dict[str, Any]:
    name = operation.returns.__name__
    content: dict[str, Any] = {"schema": {"$ref": _SCHEMAS.format(model=name)}}
    example = _recorded().get(operation.name, {}).get("response")
    if example is not None:
        content["example"] = example
    sent = ("Execution-Id", "Idempotent-Replayed") if operation.writes else ("ETag", "Link")
    return {"description": operation.summary, "headers": _headers(*sent), "content": {_JSON: content}}


def _refusals(operation: Operation, method: str) -> dict[str, Any]:
    own = [line for line in operation.doc.splitlines() if line.startswith("Errors: ")]
    codes = own[0].removeprefix("Errors: ").rstrip(".").split(", ") if own else []
    writing = _WRITING if method != "GET" else ()
    given = "invalid_argument", "missing_argument", "unknown_argument"
    return _problems((*codes, *_EVERYWHERE, *writing, *given))


def _problems(codes: Iterable[str]) -> dict[str, Any]:
    """The refusals with these codes, by status."""
    by_status: dict[str, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(str(status_of(code)), []).append(code)
    return {
        status: {
            "description": " · ".join(f"`{code}`" for code in found),
            "content": {_PROBLEM: {"schema": {"$ref": _SCHEMAS.format(model="Problem")}}},
            **({"headers": _headers("Retry-After")} if status in ("409", "429", "503") else {}),
            **({"headers": _headers("WWW-Authenticate")} if status in ("401", "403") else {}),
        }
        for status, found in sorted(by_status.items())
    }


def _answer_response(description: str, *headers: str) -> dict[str, Any]:
    content = {"schema": {"$ref": _SCHEMAS.format(model="Answer")}}
    example = _recorded().get("execute", {}).get("response")
    if example is not None:
        content["example"] = example
    return {"description": description, "headers": _headers(*headers), "content": {_JSON: content}}


def _examples(name: str) -> dict[str, Any]:
    request = _recorded().get(name, {}).get("request")
    return {} if request is None else {name.rpartition(".")[2]: {"value": request}}


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


@cache
def _recorded() -> dict[str, Any]:
    """Requests and what they were answered on the demo's data."""
    found: dict[str, Any] = json.loads(files(__package__).joinpath("examples.json").read_text("utf-8"))
    return found


def _schemas() -> dict[str, Any]:
    functions = [(o.name, "serialization", TypeAdapter(o.returns)) for o in REGISTRY.values()]
    answer = ("answer", "serialization", TypeAdapter(Answer))
    _, found = TypeAdapter.json_schemas([*functions, answer], ref_template=_SCHEMAS, schema_generator=Exact)  # type: ignore[list-item]
    return {**found["$defs"], "Script": _SCRIPT, "Problem": _PROBLEM_SCHEMA}


_SCRIPT = {
    "type": "object",
    "description": "A script to execute, and how: what the tool `execute` takes.",
    "properties": {
        "code": {"type": "string", "description": "A Python script; its last expression is the result."},
        "preview": {"type": "boolean", "default": False, "description": "Run it, show its effects, roll it back."},
        "idempotency_key": {"type": "string", "maxLength": 255, "description": "The same as the header."},
    },
    "required": ["code"],
    "additionalProperties": False,
}
_PROBLEM_SCHEMA = {
    "type": "object",
    "description": "Why a request was refused (RFC 9457).",
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "The page of this code."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong here."},
        "code": {"type": "string", "enum": sorted(ERRORS), "description": "Stable: decide by it."},
        "hint": {"type": "string", "description": "How to mend it."},
        "field": {"type": "string", "description": "The offending field."},
        "request_id": {"type": "string"},
        "execution_id": {"type": "string"},
        "shortfall": {"type": "number", "description": "402: what is missing, exact."},
        "free": {"type": "number", "description": "402: what can be spent, exact."},
        "currency": {"type": "string"},
        "ways_to_cover": {"type": "array", "items": {"type": "object"}},
        "idempotency_key": {"type": "string", "description": "402: send the same again with it once it is covered."},
    },
    "required": ["type", "title", "status", "code"],
}
_PARAMETERS = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "With the same key and body it happens once; sending it again returns the first answer.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of the version you have.",
        "schema": {"type": "string", "pattern": "^[!-~]*$"},
    },
}
_HEADERS = {
    "ETag": {"description": "Tells this version from others.", "schema": {"type": "string"}},
    "Link": {"description": "Other pages of the list (RFC 8288).", "schema": {"type": "string"}},
    "Execution-Id": {"description": "Its record: GET /v1/executions/{execution_id}.", "schema": {"type": "string"}},
    "Idempotent-Replayed": {"description": "`true` where it had been done before.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "What is missing (RFC 6750).", "schema": {"type": "string"}},
}
_SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An agent's key `bmcp_…`, or an access token with the scopes.",
    },
    "platform": {"type": "http", "scheme": "bearer", "description": "A platform key `bmpk_…`."},
}
