"""Owns what the platform's requests about invoices give, and what their answers show."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, BeforeValidator, Field, RootModel, WithJsonSchema
from pydantic_core import PydanticCustomError

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.ids import uuid_of
from billing_mcp.domain.parties import Language
from billing_mcp.faces.platform.fields import Asked, Cents, Given, Name, Reason, Shown, whole
from billing_mcp.operations.account_details import MAX_ADDRESS_LINES, MAX_LINE_CHARS, AccountDetails, check_line
from billing_mcp.operations.shown_invoices import InvoiceInFull, InvoiceSummary

_INVOICE = re.compile("[A-Za-z0-9/-]{1,64}")
_MOST_LINES = 1000


def _line(text: str) -> str:
    try:
        return check_line(text, field="")
    except InvalidArgument as error:
        words = f"be 1 to {MAX_LINE_CHARS} characters that can be shown"
        hint = error.hint or ""
        raise PydanticCustomError("line", "Input should {words}", {"words": words, "hint": hint}) from None


def _invoice_id(value: object) -> str:
    if isinstance(value, str) and _INVOICE.fullmatch(value):
        return uuid_of(value) or value
    words = {"words": "be the id of an invoice, or its number", "hint": "Such as INV-2026-000001."}
    raise PydanticCustomError("invoice", "Input should {words}", words)


InvoiceId = Annotated[
    str,
    BeforeValidator(_invoice_id),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9-]{1,64}$", "examples": ["INV-2026-000001"]}),
    Path(description="The invoice, by its id or its number."),
]
Line = Annotated[
    str,
    AfterValidator(_line),
    Field(json_schema_extra={"minLength": 1, "maxLength": MAX_LINE_CHARS, "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}),
]
Place = Annotated[int, Field(ge=1, le=1_000_000, description="Which line of the invoice, from 1 on."), whole()]


class NewDetails(Given):
    """Who an account's invoices are addressed to; what is not given is not said any more."""

    name: Annotated[Name, Field(description="The company, or the person.")]
    address: Annotated[
        list[Annotated[Line, Field(examples=["1 Harbour Street"])]],
        Field(default_factory=list, max_length=MAX_ADDRESS_LINES, description="Its lines, without name and country."),
    ]
    language: Annotated[Language, Field(description="Of the document.")] = "en"
    reference: Annotated[
        Line | None, Field(description="What the customer wants on its invoices, such as a purchase order.")
    ] = None


class Details(RootModel[AccountDetails]):
    """Who an account's next invoices are addressed to."""


class InvoicesAsked(Asked):
    """Which part of the list of invoices."""

    cursor: Annotated[
        str | None, Field(pattern=r"^[0-9a-f]{1,8}$", description="`next_cursor` of the answer before.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=100, description="How many at most.")] = 20


class Invoices(Shown):
    """Some invoices. `next_cursor` leads to more, null where there are none."""

    items: list[InvoiceSummary]
    next_cursor: str | None


class GivenBack(Given):
    """What is given back of a line."""

    line: Place
    amount: Annotated[Cents, Field(description="Net, in whole cents.")]


class NewCreditNote(Given):
    """What is given back of an invoice, and why."""

    reason: Annotated[Reason, Field(description="It stands on the credit note for good: no personal data.")]
    lines: Annotated[
        list[GivenBack] | None,
        Field(min_length=1, max_length=_MOST_LINES, description="Each line once. Default: all that is left."),
    ] = None


class InvoiceShown(RootModel[InvoiceInFull]):
    """All of an invoice, as its account's agents see it."""
