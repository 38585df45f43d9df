"""Types as text: in full for stubs, in short for the line that a tool shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Annotated, Any, Literal, NotRequired

import pytest
from pydantic import Field
from typing_extensions import TypedDict

from billing_mcp.kernel.arguments import AccountId, Day, Page
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Operation, Parameter, Resource
from billing_mcp.sandbox.typing_text import doc_of, short_signature, signature, type_text, typed_dicts


class Line(TypedDict):
    """A line."""

    kind: Literal["fee", "usage"]
    amount: str


class Part(TypedDict):
    lines: list[Line]


class Bill(TypedDict):
    """A bill.

    With a second paragraph.
    """

    parts: NotRequired[list[Part]]
    first: Line | None
    note: NotRequired[str | None]
    labels: dict[str, str]


class Stock(TypedDict):
    a: str
    b: str
    c: str
    d: str
    e: str
    f: str
    g: str
    h: str


class Stocks(TypedDict):
    items: list[Stock]
    page: int


class Shelves(TypedDict):
    a: str
    b: str
    c: str
    d: str
    e: str
    shelves: list[Stock]


SHOP = Resource("shop", doc="A shop.")


@SHOP.operation(requires=Permission.VIEW, route="GET /bill")
async def bill(
    ctx: Context,
    *,
    account_id: AccountId,
    kind: Literal["fee", "usage"],
    page: Page = 1,
    since: Day | None = None,
    name: str = "it's",
    all_of_it: bool = False,
) -> Bill:
    """A bill."""
    raise NotImplementedError


@SHOP.operation(requires=Permission.VIEW, route="GET /lines")
async def list_(ctx: Context, *, account_id: AccountId) -> list[Line]:
    """All lines."""
    raise NotImplementedError


BILL, LIST = SHOP.operations
ACCOUNT = LIST.parameters[0]
STOCK = replace(LIST, name="billing.shop.stock", returns=Stock, parameters=(ACCOUNT, Parameter("a", str, None)))
STOCKS = replace(LIST, name="billing.shop.stocks", returns=Stocks, parameters=(ACCOUNT, Parameter("page", int, 1)))
SHELVES = replace(LIST, name="billing.shop.shelves", returns=Shelves)


class TestTypes:
    @pytest.mark.parametrize(
        ("annotation", "text"),
        [
            (str, "str"),
            (int, "int"),
            (bool, "bool"),
            (type(None), "None"),
            (Line, "Line"),
            (dict[str, Line], "dict[str, Line]"),
            (str | None, "str | None"),
            (int | str | None, "int | str | None"),
            (Line | None, "Line | None"),
            (Literal["a", "b"], "Literal['a', 'b']"),
            (Literal["it's"], 'Literal["it\'s"]'),
            (Literal[1, True, None], "Literal[1, True, None]"),
            (Literal["a"] | None, "Literal['a'] | None"),
            (Annotated[int, Field(ge=1)], "int"),
            (Annotated[dict[str, Annotated[int, "x"]], "y"], "dict[str, int]"),
            (NotRequired[Line], "Line"),
            (NotRequired[Annotated[int, "x"]], "int"),
            (AccountId, "str"),
            (Page, "int"),
        ],
    )
    def test_a_type_is_written_as_a_stub_has_it(self, annotation: Any, text: str) -> None:
        assert type_text(annotation) == text

    def test_a_list_is_written_with_its_items(self) -> None:
        assert type_text(list[list[Line]]).lower() == "list[list[line]]"

    @pytest.mark.parametrize("annotation", [complex, bytes, datetime, object, Any, list, tuple[int]])
    def test_what_cannot_cross_the_sandbox_is_refused(self, annotation: Any) -> None:
        with pytest.raises(TypeError, match="a billing function cannot take or return"):
            type_text(annotation)

    def test_a_day_can_be_written_as_text(self) -> None:
        assert "str" in type_text(date).split(" | ")


class TestTypedDicts:
    def test_each_comes_after_those_that_it_needs(self) -> None:
        assert typed_dicts(Bill) == [Line, Part, Bill]

    @pytest.mark.parametrize("annotation", [list[Bill], Bill | None, dict[str, list[Bill]], NotRequired[Bill]])
    def test_they_are_found_within_other_types(self, annotation: Any) -> None:
        assert typed_dicts(annotation) == [Line, Part, Bill]

    def test_a_plain_type_needs_none(self) -> None:
        assert typed_dicts(dict[str, int | None]) == []

    def test_their_documentation_is_their_docstring(self) -> None:
        assert doc_of(Bill) == "A bill.\n\nWith a second paragraph."


class TestSignatures:
    def test_a_full_signature_has_types_and_defaults_by_keyword(self) -> None:
        text = signature(BILL, prefix="bill")
        assert text.startswith("bill(*, account_id: str, kind: Literal['fee', 'usage'], page: int = 1, since: ")
        assert text.endswith(' | None = None, name: str = "it\'s", all_of_it: bool = False) -> Bill')

    def test_a_short_signature_has_choices_defaults_and_the_first_fields_of_the_result(self) -> None:
        assert short_signature(BILL) == (
            "billing.shop.bill(kind: 'fee'|'usage', page=1, since?, name=\"it's\", all_of_it=False)"
            " -> {parts:[{lines}],first,note,labels}"
        )

    def test_a_list_is_shown_by_its_items(self) -> None:
        assert short_signature(LIST) == "billing.shop.list() -> [{kind,amount}]"

    def test_dots_stand_for_fields_that_are_too_many(self) -> None:
        assert short_signature(STOCK) == "billing.shop.stock(a?) -> {b,c,d,e,f,g,...}"

    def test_items_have_the_room_that_their_list_leaves(self) -> None:
        assert short_signature(STOCKS) == "billing.shop.stocks(page=1) -> {items:[{a,b,c,d,e,f,...}],...}"

    def test_items_always_have_some_room_for_what_is_not_told_above_them(self) -> None:
        assert short_signature(SHELVES) == "billing.shop.shelves() -> {a,b,c,d,e,shelves:[{f,g,h,...}]}"

    @pytest.mark.parametrize("operation", SHOP.operations, ids=lambda operation: operation.name)
    def test_a_short_signature_is_one_line(self, operation: Operation) -> None:
        assert "\n" not in short_signature(operation)
