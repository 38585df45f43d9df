"""Owns describing what the platform itself asks: its routes as the framework knows them, probes and measures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from billing_mcp.faces.health import LIVE_PATH, READY_PATH
from billing_mcp.faces.metrics import METRICS_PATH
from billing_mcp.faces.rest.openapi_parts import (
    ANYWHERE,
    JSON,
    PLATFORMS,
    QUEUED,
    UNDER_KEY,
    WITH_BODY,
    answered,
    done_without_body,
    errors_named_in,
    headers,
    nothing_new,
    parameter,
    problems,
    show_examples,
)

_KEY = "Idempotency-Key"


def complete_platform(document: dict[str, Any]) -> None:
    """Say of the platform's operations what the framework cannot know of them."""
    for method, operation in _operations(document):
        doc = operation["description"]
        under_key = _share_key(operation)
        operation["summary"] = _first_sentence(doc)
        operation["security"] = [{"platform": []}]
        answers = _version(operation) if method == "get" else _success(operation, under_key=under_key)
        operation["responses"] = {**answers, **_refusals(operation)}
        show_examples(operation, operation["operationId"])


def watching() -> dict[str, Any]:
    """The paths for whoever watches the process."""
    alive = {"type": "object", "properties": {"status": {"const": "alive"}}, "required": ["status"]}
    checks = {"type": "object", "additionalProperties": {"type": "string"}}
    ready = {
        "type": "object",
        "properties": {"status": {"const": "ready"}, "checks": checks},
        "required": ["status", "checks"],
    }
    refused = problems([*ANYWHERE, *PLATFORMS])
    exposition = {"schema": {"type": "string"}, "example": 'billing_executions_total{status="completed"} 12.0\n'}
    measures = {
        "operationId": "get_metrics",
        "tags": ["watching"],
        "summary": "What is measured, for Prometheus.",
        "security": [{"platform": []}],
        "responses": {
            "200": {
                "description": "The exposition that `Accept` asks for.",
                "headers": headers("X-Request-Id", "Cache-Control", "RateLimit", "RateLimit-Policy"),
                "content": {"text/plain": exposition, "application/openmetrics-text": exposition},
            },
            **refused,
        },
    }
    return {
        LIVE_PATH: {"get": _probe("is_alive", "Whether the process lives.", alive, {"status": "alive"})},
        READY_PATH: {"get": _probe("is_ready", "Whether the process is ready for requests.", ready, _READY)},
        METRICS_PATH: {"get": measures},
    }


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for methods in document["paths"].values():
        for method, operation in methods.items():
            if "platform" in operation["tags"]:
                yield method, operation


def _share_key(operation: dict[str, Any]) -> bool:
    """Describe the idempotency key as everywhere; whether the operation takes one."""
    given = operation.get("parameters", [])
    others = [each for each in given if each["name"] != _KEY]
    if len(others) == len(given):
        return False
    operation["parameters"] = [*others, parameter("IdempotencyKey")]
    return True


def _success(operation: dict[str, Any], *, under_key: bool) -> dict[str, Any]:
    ((status, declared),) = [each for each in operation["responses"].items() if each[0].startswith("2")]
    name, summary = operation["operationId"], operation["summary"]
    if JSON not in declared.get("content", {}):
        return {status: done_without_body(summary)}
    model = _model(declared)
    sent = ["Idempotent-Replayed"] if under_key else []
    sent += ["Location"] if status == "201" and name in _LOCATED else []
    return {status: answered(summary, model, *sent)}


def _version(operation: dict[str, Any]) -> dict[str, Any]:
    """The answers to who reads, and may have this version already."""
    paged = any(each["name"] == "cursor" for each in operation.get("parameters", []))
    sent = ["ETag", "Link"] if paged else ["ETag"]
    operation["parameters"] = [*operation.get("parameters", []), parameter("IfNoneMatch")]
    model = _model(operation["responses"]["200"])
    return {"200": answered(operation["summary"], model, *sent), "304": nothing_new(*sent)}


def _model(declared: dict[str, Any]) -> str:
    name: str = declared["content"][JSON]["schema"]["$ref"].rpartition("/")[2]
    return name


def _refusals(operation: dict[str, Any]) -> dict[str, Any]:
    codes = [*errors_named_in(operation["description"]), *ANYWHERE, *PLATFORMS]
    if operation.get("parameters"):
        codes += ["invalid_argument", "unknown_argument"]
    if "requestBody" in operation:
        codes += WITH_BODY
    if operation.get("parameters", [])[-1:] == [parameter("IdempotencyKey")]:
        codes += [*UNDER_KEY, *QUEUED, "body_timeout", "body_too_large"]
    if operation["operationId"] in _WITHOUT_KEY:
        codes += [*QUEUED, "outcome_unknown"]
    return problems(codes)


def _probe(name: str, summary: str, schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    told = {
        "description": "It is.",
        "headers": headers("X-Request-Id", "Cache-Control"),
        "content": {JSON: {"schema": schema, "example": example}},
    }
    return {
        "operationId": name,
        "tags": ["watching"],
        "summary": summary,
        "security": [],
        "responses": {"200": told, **problems(["unavailable"] if name == "is_ready" else [])},
    }


def _first_sentence(doc: str) -> str:
    first = doc.partition("\n\n")[0].replace("\n", " ")
    return first.partition(". ")[0].rstrip(".") + "."


_READY = {
    "status": "ready",
    "checks": {"serving": "ok", "database": "ok", "schema": "ok", "postings": "ok", "workers": "ok"},
}
_LOCATED = frozenset({"correct_invoice", "create_account", "create_webhook_endpoint", "place_hold", "send_message"})
_WITHOUT_KEY = frozenset({"report_delivery", "report_deliveries", "report_inbound"})
"""They move money, and are harmless to repeat."""
