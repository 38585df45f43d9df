"""The description of REST is true: the server keeps to it, and all that it serves is in it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from billing_mcp.app import App
from billing_mcp.domain.errors import ERRORS
from billing_mcp.faces.problem import status_of
from billing_mcp.faces.rest.functions import OWN, PUBLIC, Place, places
from billing_mcp.faces.rest.openapi_parts import errors_named_in
from billing_mcp.operations import REGISTRY
from billing_mcp.settings import Settings
from billing_mcp.store.audit import AuditReport, verify_books
from tests.contract.house import NOW, READ, House, housed
from tests.generated import OPENAPI, ROOT

DOCUMENT: dict[str, Any] = json.loads(OPENAPI.read_text("utf-8"))
EXAMPLES = os.environ.get("CONTRACT_EXAMPLES", "10")
"""How many cases are drawn for each operation, beside those of the examples and the edges. Many are a soak."""

OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
EACH_OPERATION = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
EACH_PLACE = pytest.mark.parametrize("place", list(places(REGISTRY)), ids=lambda place: place.name)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A server with limits that nobody reaches, so that it says where one stands."""
    ample = dict.fromkeys(("RATE_LIMIT", "PLATFORM_RATE_LIMIT", "ANONYMOUS_RATE_LIMIT"), "1000000/second")
    with housed(tmp_path, **{f"BILLING_MCP_{name}": rate for name, rate in ample.items()}) as opened:
        yield opened


@pytest.mark.timeout(3600 if "CONTRACT_EXAMPLES" in os.environ else 300)
def test_the_server_keeps_to_its_description_whatever_it_is_asked(house: House) -> None:
    keys = {"AGENT_KEY": house.keys["manager"], "PLATFORM_KEY": house.keys["platform"], "ACCOUNT_ID": READ}
    keys["INVOICE_ID"] = house.of_account["invoice_id"]
    config = Path(__file__).with_name("schemathesis.toml")
    arguments = ["--config-file", str(config), "run", f"{house.url}/openapi.json", "--max-examples", EXAMPLES]

    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *arguments, "--no-color"],
        cwd=ROOT,
        env={**os.environ, **keys, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert asyncio.run(audited(house.database)).findings == ()


async def audited(database: str) -> AuditReport:
    async with App.open(Settings(database=database, workers=1)) as app, app.store.read(NOW) as tx:
        return await verify_books(tx)


def test_it_is_openapi_3_1_and_every_reference_leads_somewhere() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert [str(error) for error in OPENAPI_31_VALIDATOR.iter_errors(DOCUMENT)] == []
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    for reference in references(DOCUMENT):
        assert found_at(reference) is not None, reference


def references(value: Any) -> Iterator[str]:
    """Every reference in it."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def found_at(reference: str) -> Any:
    """What a reference leads to."""
    found: Any = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


@EACH_OPERATION
def test_every_operation_can_be_understood_by_itself(operation: dict[str, Any]) -> None:
    assert operation["summary"].endswith(".")
    assert set(operation["tags"]) <= {tag["name"] for tag in DOCUMENT["tags"]}
    assert all("schema" in each or "$ref" in each for each in operation.get("parameters", []))
    signed_in = operation["security"] != []
    assert all(set(scheme) <= set(DOCUMENT["components"]["securitySchemes"]) for scheme in operation["security"])
    assert {"401", "403", "429", "500", "503"} <= set(operation["responses"]) or not signed_in
    for status, response in operation["responses"].items():
        assert response["description"]
        assert "X-Request-Id" in response["headers"], status
        if status >= "400":
            assert response["content"] == {"application/problem+json": {"schema": PROBLEM}}


PROBLEM = {"$ref": "#/components/schemas/Problem"}


def test_no_two_operations_have_the_same_name() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]

    assert len(set(names)) == len(names)


def test_a_problem_names_a_code_that_there_is() -> None:
    assert found_at(PROBLEM["$ref"])["properties"]["code"]["enum"] == sorted(ERRORS)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if "{" in name])
def test_what_a_path_names_may_not_be_there(name: str) -> None:
    assert "`not_found`" in OPERATIONS[name]["responses"]["404"]["description"]


@EACH_OPERATION
def test_its_examples_are_what_its_schemas_say(operation: dict[str, Any]) -> None:
    (success,) = [
        response for status, response in operation["responses"].items() if status in ("200", "201", "202", "204")
    ]
    bodies = list(operation.get("requestBody", {}).get("content", {}).values())
    for body in bodies:
        assert body["examples"]
        for example in body["examples"].values():
            conforms(example["value"], body["schema"])
    for answer in success.get("content", {}).values():
        conforms(answer["example"], answer["schema"])


def conforms(value: Any, schema: dict[str, Any]) -> None:
    """It is as a schema of the document says."""
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema_rs.Draft202012Validator(whole).validate(value)


@EACH_PLACE
def test_every_function_has_its_routes_with_its_permission_and_errors(place: Place) -> None:
    described = OPERATIONS[place.name]

    assert described["x-billing-function"] == place.operation.name
    assert described["security"] == [{"bearer": [place.operation.permission.value]}]
    for code in errors_named_in(place.operation.doc):
        assert f"`{code}`" in described["responses"][str(status_of(code))]["description"]


def test_nothing_is_served_to_agents_that_is_no_function() -> None:
    served = {name for name, operation in OPERATIONS.items() if "x-billing-function" in operation}

    assert served == {place.name for place in places(REGISTRY)}
    others = {name.partition(" ")[2] for name in OPERATIONS.keys() - served}
    platforms = ("/v1/platform/", "/v1/messages", "/v1/campaigns/", "/v1/accounts/")
    assert {path for path in others if not path.startswith(platforms)} == {
        *("/livez", "/readyz", "/metrics", "/v1/executions", "/v1/executions/{execution_id}"),
        "/v1/providers/{provider}/webhooks",
        *(f"{billing}/invoices/{{invoice_id}}/pdf" for billing in (PUBLIC, OWN)),
        "/v1/documents/{signed}.pdf",
    }


@EACH_PLACE
def test_a_query_or_body_has_the_names_of_the_references(place: Place) -> None:
    described = OPERATIONS[place.name]
    in_query = {each["name"] for each in described["parameters"] if each.get("in") == "query"}
    body = described.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})

    assert in_query | set(body.get("properties", {})) == set(place.parameters)
    assert not {"from_date", "to_date"} & in_query
    assert {"from", "to"} <= in_query or "from_date" not in {each.name for each in place.operation.parameters}


def test_exact_amounts_are_numbers_where_the_references_have_numbers() -> None:
    schemas = DOCUMENT["components"]["schemas"]

    for model in ("Balance", "Account", "Credit", "Hold", "Problem"):
        exact = {name: schemas[model]["properties"].get(name) for name in ("free", "reserved", "total", "shortfall")}
        kinds = {name: shown["type"] for name, shown in exact.items() if shown is not None}
        assert set(kinds.values()) == {"number"}, (model, kinds)
        assert {"free", "reserved"} <= set(kinds), model
