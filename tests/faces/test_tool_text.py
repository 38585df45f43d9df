"""The text of the tool `execute`: every byte of it is paid for by every agent, and it has to do at the first try."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any, get_type_hints

import jsonschema_rs
import pytest

from billing_mcp.faces import mcp
from billing_mcp.faces.slim import slimmed
from billing_mcp.kernel.answer import Answer, AnswerError, CallRecord, Effects, SettingEffect, WalletEffect
from billing_mcp.operations import REGISTRY
from billing_mcp.sandbox.typing_text import item_of
from billing_mcp.settings import Settings
from tests.sandbox import corpus


def tool(*, read_only: bool = False) -> dict[str, Any]:
    """The tool as it goes over the wire."""
    (listed,) = asyncio.run(mcp.build_stdio_server(Settings(database="none.db", read_only=read_only)).list_tools())
    over_the_wire: dict[str, Any] = listed.model_dump(mode="json", by_alias=True, exclude_none=True)
    return over_the_wire


def test_nine_of_ten_fields_that_agents_scripts_read_are_told_before_they_ask() -> None:
    told = {name: words(line) for name, line in re.findall(r"^(billing\.[\w.]+)\((.*)$", tool()["description"], re.M)}
    told |= {name: told["billing.plan.change"] for name, words_ in told.items() if {"as", "change"} <= words_}
    read = [each for file in corpus.FILES for case in corpus.read(file) for each in fields_read(case.script)]

    untold = [f"{name}: {field}" for name, field in read if field not in told[name]]

    assert len(read) > 100
    assert len(untold) <= len(read) / 10, sorted(untold)


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def fields_read(script: str) -> Iterator[tuple[str, str]]:
    """The fields, by function, that a script takes out of what it calls, at the top or of an item."""
    keys = {a or b or c for a, b, c in re.findall(r"""\[["'](\w+)["']\]|\.get\(["'](\w+)["']|\.(\w+)\b""", script)}
    for name in sorted(set(re.findall(r"billing\.\w+\.\w+", script)) & REGISTRY.keys()):
        hints = get_type_hints(REGISTRY[name].returns)
        items = item_of(REGISTRY[name].returns)
        known = {*hints, *(get_type_hints(items) if items else ())}
        yield from ((name, field) for field in sorted(keys & known))


def test_the_account_is_told_once_for_all_functions() -> None:
    assert [o.name for o in REGISTRY.values() if not o.parameters[0].required] == []
    assert {o.parameters[0].name for o in REGISTRY.values()} == {"account_id"}
    assert tool()["description"].count("account_id") == 1


def test_a_read_only_server_tells_of_no_other_permission() -> None:
    description = tool(read_only=True)["description"]
    assert "billing.view" in description
    assert "billing.manage" not in description
    assert "preview=true" not in description


def test_the_tools_schemas_have_neither_titles_nor_references() -> None:
    listed = tool()
    schemas = json.dumps([listed["inputSchema"], listed["outputSchema"]])
    assert [word for word in ('"title"', '"$ref"', '"$defs"') if word in schemas] == []


def test_whatever_is_answered_is_what_the_schema_says() -> None:
    wallet = WalletEffect(account_id="a", currency="EUR", available="-1.00", reserved="0.00", total="-1.00")
    setting = SettingEffect(account_id="a", setting="plan", before=None, after="smtp_per_proxy")
    answer = Answer(
        status="completed",
        changed=True,
        execution_id="e",
        result={"a": [1]},
        effects=Effects(wallets=[wallet], settings=[setting]),
        calls=[CallRecord(function="billing.plan.change", line=1)],
        error=AnswerError(code="not_found", message="none", amounts={"free": "1.00"}),
    ).to_dict()
    schema = tool()["outputSchema"]

    jsonschema_rs.validate(schema, answer)
    del answer["effects"]["wallets"][0]["total"]
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(schema, answer)


class TestSlimmed:
    def test_what_is_defined_stands_where_it_is_meant(self) -> None:
        schema = {
            "$defs": {"A": {"title": "A", "items": {"$ref": "#/$defs/B"}}, "B": {"type": "string"}},
            "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"anyOf": [{"$ref": "#/$defs/B"}, {"type": "null"}]}},
        }
        assert slimmed(schema) == {
            "properties": {
                "a": {"items": {"type": "string"}},
                "b": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            }
        }

    def test_a_property_may_be_called_title(self) -> None:
        schema = {"title": "Book", "properties": {"title": {"title": "Title", "type": "string"}}, "required": ["title"]}
        assert slimmed(schema) == {"properties": {"title": {"type": "string"}}, "required": ["title"]}

    def test_that_an_object_may_have_other_properties_goes_without_saying_and_that_it_may_not_is_said(self) -> None:
        other = {"additionalProperties": {"type": "string"}, "type": "object"}
        none = {"additionalProperties": False, "type": "object"}
        assert slimmed({"items": {"additionalProperties": True, "type": "object"}}) == {"items": {"type": "object"}}
        assert slimmed({"items": other, "not": none}) == {"items": other, "not": none}

    def test_the_schema_itself_stays_as_it_was(self) -> None:
        schema = {"title": "Book", "$defs": {}, "type": "object"}
        slimmed(schema)
        assert schema == {"title": "Book", "$defs": {}, "type": "object"}
